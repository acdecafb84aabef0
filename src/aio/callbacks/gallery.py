"""`gallery.png`: degraded | restored | clean, one row per degradation, each with its PSNR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from aio.metrics import comparable, psnr
from aio.pictures import Panel, draw_sheet, write_picture
from aio.vocabulary import DEGRADATIONS


class Example(NamedTuple):
    """One row of a gallery: three images `(3, H, W)` in [0, 1] of one size."""

    title: str
    degraded: Tensor
    restored: Tensor
    clean: Tensor


class Gallery(L.Callback):
    """Draws the first validation image of every degradation after each validation, into the run folder and loggers.

    Args:
        size: images are cropped to this side at their centre, in pixels.
    """

    def __init__(self, *, size: int = 256) -> None:
        self.size = size
        self._examples: dict[int, Example] = {}

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._examples = {}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for i, task in enumerate(batch["task"].tolist()):
            if task not in self._examples:
                clean = batch["clean"][i]
                images = (comparable(batch["degraded"][i], clean), outputs[i], clean)
                crops = (self._centre(image.detach().float().cpu()) for image in images)
                self._examples[task] = Example(DEGRADATIONS[task], *crops)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Every rank learns what the others saw; each has a part of the images only."""
        if dist.is_available() and dist.is_initialized():
            every: list[dict[int, Example]] = [{}] * dist.get_world_size()
            dist.all_gather_object(every, self._examples)
            self._examples = {task: example for seen in reversed(every) for task, example in seen.items()}

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero or not self._examples:
            return
        picture = draw_gallery([self._examples[task] for task in sorted(self._examples)])
        write_picture(picture, Path(trainer.default_root_dir) / "gallery.png")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
                shaped = pixels.view(picture.height, picture.width, 3)
                logger.experiment.add_image("gallery", shaped, trainer.global_step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image("gallery", [picture], step=trainer.global_step)

    def _centre(self, image: Tensor) -> Tensor:
        top, left = (max(0, (side - self.size) // 2) for side in image.shape[-2:])
        return image[..., top : top + self.size, left : left + self.size]


def draw_gallery(examples: Sequence[Example]) -> Image.Image:
    """One labelled row per example."""
    return draw_sheet([_panels(example) for example in examples])


def _panels(example: Example) -> list[Panel]:
    before, after = (psnr(image[None], example.clean[None]).item() for image in (example.degraded, example.restored))
    return [
        Panel(f"{example.title}  {before:.2f} dB", example.degraded),
        Panel(f"restored  {after:.2f} dB", example.restored),
        Panel("clean", example.clean),
    ]
