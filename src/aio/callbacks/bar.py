"""The progress bar of a training: Lightning's, with the speed, and the time left of the whole training."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar

from aio.callbacks.watch import logs_step

_SHOWN: Final = {"train/loss": "loss", "val/psnr": "PSNR"}


class Bar(RichProgressBar):
    """Shows loss, validation PSNR, samples a second, time spent waiting for data, and the time left in all.

    Over Lightning's bar, whose times are of the epoch: numbers change when they are logged, so that a GPU need not be
    waited for after every step.
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[str, Any] = {}

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        if not trainer.training or logs_step(trainer) or not self._texts:
            self._texts = bar_texts({key: float(value) for key, value in trainer.callback_metrics.items()})
        return self._texts


def bar_texts(metrics: dict[str, float]) -> dict[str, str]:
    """What the bar says of what was logged: few words, as it has one line."""
    texts = {text: f"{metrics[name]:.4g}" for name, text in _SHOWN.items() if name in metrics}
    if "watch/samples_per_second" in metrics:
        texts["img/s"] = f"{metrics['watch/samples_per_second']:.3g}"
    if "watch/data_wait" in metrics:
        texts["data"] = f"{metrics['watch/data_wait']:.0%}"
    if "watch/gpu_gib" in metrics:
        texts["GiB"] = f"{metrics['watch/gpu_gib']:.1f}"
    if "watch/hours_left" in metrics:
        texts["left"] = str(timedelta(seconds=round(3600 * metrics["watch/hours_left"])))
    return texts
