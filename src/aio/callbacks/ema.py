"""Exponential moving average of the weights: what is validated, saved and deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from aio.errors import InputError


class EMA(EMAWeightAveraging):
    """Averages after every optimiser step; checkpoints hold the average as `state_dict`.

    Over Lightning's callback: the decay warms up, `min(decay, (1 + n) / (10 + n))` after `n` updates, so that a short
    run is not held at its first weights; a step without any gradient, such as `NonFinite` leaves of one that went
    wrong, changed nothing and is not averaged in; a checkpoint without the average cannot be resumed, and one with it
    cannot be resumed without this callback; the callback can be pickled, as `ddp_spawn` needs.

    Args:
        decay: weight of the past; 0 keeps no average at all (the command line then leaves the callback out).
        device: where the average lives; by default where the model trains.
    """

    def __init__(self, *, decay: float = 0.999, device: str | None = None) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"--ema_decay {decay}: expected a number from 0 up to, but not, 1")
        super().__init__(device=device, decay=decay)
        self.decay = decay
        self._kwargs = {"multi_avg_fn": _WarmingDecay(decay)}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ModelCheckpoint) and callback.save_weights_only:
                raise InputError("save_weights_only=True would store the raw weights, not their average: leave it out")
        # the module itself comes to its device only after this hook
        self._device = self._device or trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > self._latest_update_step and all(p.grad is None for p in pl_module.parameters()):
            self._latest_update_step = trainer.global_step
            return
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint["ema_decay"] = self.decay

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._average_model is not None and "averaging_state" not in checkpoint:
            raise InputError("the checkpoint holds no averaged weights: resume it with --use_ema false")
        super().on_load_checkpoint(trainer, pl_module, checkpoint)


def refuse_lost_average(checkpoint: dict[str, Any], has_ema: bool) -> None:
    """Raises InputError if `checkpoint` was written with an average and would be resumed without one."""
    if "averaging_state" in checkpoint and not has_ema:
        raise InputError(
            "the checkpoint holds averaged weights: resume it with --use_ema true "
            f"--ema_decay {checkpoint.get('ema_decay', 0.999)}"
        )


class _WarmingDecay:
    """The averaging rule as an object that can be pickled."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averages: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        """Tensors of one type and device; one transfer to the host for all of them."""
        n = int(updates)
        decay = min(self.decay, (1 + n) / (10 + n))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)
