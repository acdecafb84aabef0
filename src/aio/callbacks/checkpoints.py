"""Checkpoints: `best.ckpt` by validation PSNR and `last.ckpt`, each whole or not there at all."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Final, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import STEP_OUTPUT

from aio.callbacks.signals import Signals, Stopped
from aio.errors import InputError
from aio.files import atomic_write, sync_folder

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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The best goes with a run whose folder was moved; else the next validation would overwrite it."""
        here = Path(str(self.dirpath)) / f"{self.filename}{self.FILE_EXTENSION}"
        if state_dict["best_model_path"] and here.is_file():
            path, score = str(here), state_dict["best_model_score"]
            state_dict = {**state_dict, "dirpath": self.dirpath, "best_k_models": {path: score}}
            state_dict |= {"best_model_path": path, "kth_best_model_path": path}
        super().load_state_dict(state_dict)

    def last(self, signals: Signals | None = None) -> LastCheckpoint:
        """Keeps `last.ckpt` beside `best.ckpt`; Lightning's `save_last` would write it only when a best one is."""
        return LastCheckpoint(
            folder=self.dirpath,
            signals=signals or Signals(),
            every_n_epochs=self.every_n_epochs,
            every_n_minutes=self.every_n_minutes,
            every_n_steps=self.every_n_steps,
        )


class LastCheckpoint(ModelCheckpoint):
    """Writes `last.ckpt` after validations, from time to time between the steps of an epoch, and at a signal.

    Over Lightning's callback: steps, minutes and epochs at once; it waits where a checkpoint would not tell all, amid
    gradients that still accumulate and before a validation, which a resumed training would leave out; it holds the
    state of the generator that nets with random parts draw from, so that they go on as if nothing had been.

    At a signal it ends the training by `Stopped`, between two steps; a validation is broken off, and a resumed
    training repeats it from its first image. Ranks agree by one number after each step. A signal to a single rank in
    a validation waits until the others have measured their part.
    """

    def __init__(
        self,
        *,
        folder: str | Path | None,
        signals: Signals,
        every_n_epochs: int | None = 1,
        every_n_minutes: float | None = None,
        every_n_steps: int | None = None,
    ) -> None:
        super().__init__(dirpath=folder, filename="last", every_n_epochs=every_n_epochs, enable_version_counter=False)
        self.every_n_minutes, self.every_n_steps = every_n_minutes, every_n_steps
        self.signals = signals
        self._saved_at = time.monotonic()
        self._generators: dict[str, torch.Tensor] = {}
        self._stop = 0  # the signal for which a checkpoint has been written

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        _require_one_start(trainer)
        self._saved_at = time.monotonic()
        to_validate = trainer.fit_loop.epoch_loop.val_loop.restarted_mid_evaluation
        self._last_global_step_saved = 0 if to_validate else trainer.global_step
        _set_generators(self._generators)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        if not self._is_between_steps(trainer):
            return
        self._stop = self.signals.agreed(trainer)
        if not self._should_skip_saving_checkpoint(trainer) and (self._stop or self._is_due(trainer)):
            self._save_now(trainer)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ends here and not where the checkpoint was written, so that the last step has been logged."""
        if self._stop:
            raise self._stopped(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop_in_validation(trainer)

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Leaves out the other images: Lightning's loop takes StopIteration for their end."""
        if self.signals.seen and not trainer.sanity_checking:
            raise StopIteration

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Before the scores are gathered, for which a rank that had left would be awaited; the raw weights are back."""
        self._stop_in_validation(trainer)

    def _stop_in_validation(self, trainer: L.Trainer) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self._stop = self.signals.agreed(trainer)
        if self._stop:
            _forget_validation(trainer)
            self._save_now(trainer)
            raise self._stopped(trainer)

    def _stopped(self, trainer: L.Trainer) -> Stopped:
        return Stopped(self._stop, trainer, Path(self.best_model_path))

    def _save_now(self, trainer: L.Trainer) -> None:
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
        super().load_state_dict({**state_dict, "dirpath": self.dirpath, "best_model_path": ""})  # it may have moved
        self._generators = state_dict["generators"]


def _require_one_start(trainer: L.Trainer) -> None:
    """Raises InputError where ranks begin at different steps, as when they see different run folders."""
    if trainer.world_size > 1:
        step = torch.tensor(trainer.global_step, device=trainer.strategy.root_device)
        first, last = (
            -int(trainer.strategy.reduce(-step, reduce_op="max")),
            int(trainer.strategy.reduce(step, reduce_op="max")),
        )
        if first != last:
            raise InputError(
                f"some ranks begin at step {first} and others at {last}: every machine has to see the same --ckpt_dir"
            )


def _forget_validation(trainer: L.Trainer) -> None:
    """Counts the validation that is going on as begun and no image of it as done: so it is repeated."""
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    progress.reset()
    progress.increment_ready()
    progress.increment_started()


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
        try:
            with atomic_write(path) as file:
                torch.save(checkpoint, file)
            sync_folder(Path(path).parent)
        except (OSError, RuntimeError) as error:
            refused = error if isinstance(error, OSError) else error.__context__  # torch's own follows a failed write
            if not isinstance(refused, OSError):
                raise
            raise InputError(_unwritten(Path(path), _bytes_of(checkpoint), refused)) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return super().load_checkpoint(path, map_location, weights_only=True)


def _unwritten(path: Path, size: int, error: OSError) -> str:
    free = shutil.disk_usage(path.parent).free
    return (
        f"{path}: not written ({error.strerror or error}); about {size:,} bytes are needed and {free:,} are free. What "
        "was there before is whole: make room and go on by --resume_from last"
    )


def _bytes_of(content: Any) -> int:
    """Of all tensors in it."""
    if isinstance(content, torch.Tensor):
        return content.nbytes
    if isinstance(content, dict):
        return sum(map(_bytes_of, content.values()))
    return sum(map(_bytes_of, content)) if isinstance(content, (list, tuple)) else 0
