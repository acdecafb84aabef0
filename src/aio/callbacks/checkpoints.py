"""Checkpoints: `best.ckpt` by validation PSNR and `last.ckpt`, each whole or not there at all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.types import STEP_OUTPUT

from aio.errors import InputError
from aio.files import atomic_write

_CLOCK_EVERY: Final = 10  # optimiser steps; ranks agree on the time by a message, which each step would wait for


class Checkpoints(ModelCheckpoint):
    """Keeps the best by `monitor` as `best.ckpt`; `last` is the callback that keeps the last.

    Args:
        monitor: validation score that decides, higher is better.
        every_n_epochs: epochs between two checkpoints.
        every_n_minutes: `last.ckpt` is written as often within an epoch, too; None leaves it to epochs and steps.
        every_n_steps: `last.ckpt` is written after so many optimiser steps, too.
    """

    def __init__(
        self,
        *,
        monitor: str = "val/psnr",
        every_n_epochs: int = 1,
        every_n_minutes: float | None = 10.0,
        every_n_steps: int | None = None,
    ) -> None:
        for name, value in (("minutes", every_n_minutes), ("steps", every_n_steps)):
            if value is not None and not value > 0:
                raise InputError(f"--checkpoint.every_n_{name} {value}: expected a number above 0, or null for never")
        super().__init__(
            monitor=monitor,
            mode="max",
            filename="best",
            save_top_k=1,
            every_n_epochs=every_n_epochs,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self.every_n_minutes, self.every_n_steps = every_n_minutes, every_n_steps

    def last(self) -> LastCheckpoint:
        """Keeps `last.ckpt` beside `best.ckpt`; Lightning's `save_last` would write it only when a best one is."""
        return LastCheckpoint(
            folder=self.dirpath,
            every_n_epochs=self.every_n_epochs,
            every_n_minutes=self.every_n_minutes,
            every_n_steps=self.every_n_steps,
        )


class LastCheckpoint(ModelCheckpoint):
    """Writes `last.ckpt` after validations and, from time to time, between the steps of an epoch.

    Over Lightning's callback: steps, minutes and epochs at once; it waits where a checkpoint would not tell all, amid
    gradients that still accumulate and before a validation, which a resumed training would leave out; it holds the
    state of the generator that nets with random parts draw from, so that they go on as if nothing had been.
    """

    def __init__(
        self,
        *,
        folder: str | Path | None,
        every_n_epochs: int | None = 1,
        every_n_minutes: float | None = None,
        every_n_steps: int | None = None,
    ) -> None:
        super().__init__(dirpath=folder, filename="last", every_n_epochs=every_n_epochs, enable_version_counter=False)
        self.every_n_minutes, self.every_n_steps = every_n_minutes, every_n_steps
        self._saved_at = time.monotonic()
        self._generators: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._saved_at, self._last_global_step_saved = time.monotonic(), trainer.global_step
        _set_generators(self._generators)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        if (
            self._is_between_steps(trainer)
            and not self._should_skip_saving_checkpoint(trainer)
            and self._is_due(trainer)
        ):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self._saved_at = time.monotonic()

    def _is_between_steps(self, trainer: L.Trainer) -> bool:
        loop = trainer.fit_loop.epoch_loop
        validates = loop._should_check_val_fx(cast(Any, trainer.fit_loop._data_fetcher))
        return not (validates or loop.batch_progress.is_last_batch or loop._should_accumulate())

    def _is_due(self, trainer: L.Trainer) -> bool:
        """The same on all ranks."""
        if self.every_n_steps and trainer.global_step - self._last_global_step_saved >= self.every_n_steps:
            return True
        if self.every_n_minutes is None or trainer.global_step % _CLOCK_EVERY:
            return False
        return bool(trainer.strategy.broadcast(time.monotonic() - self._saved_at >= 60 * self.every_n_minutes))

    def state_dict(self) -> dict[str, Any]:
        """With the state of torch's generators, those of rank 0: ranks draw alike."""
        return {**super().state_dict(), "generators": _generators()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._generators = state_dict["generators"]


def _generators() -> dict[str, torch.Tensor]:
    """The state of torch's generator on the CPU and of that of the present GPU."""
    states = {"cpu": torch.get_rng_state()}
    return {**states, "cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else states


def _set_generators(states: dict[str, torch.Tensor]) -> None:
    if "cpu" in states:
        torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(states["cuda"].cpu())


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, replaced only by whole ones; read without executing code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        if storage_options is not None:
            raise InputError(f"{path}: storage options {storage_options!r} mean nothing to a local file")
        with atomic_write(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return super().load_checkpoint(path, map_location, weights_only=True)
