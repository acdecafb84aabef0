"""How a training goes, for all loggers and the progress bar: per degradation, rate, gradients, speed, time left."""

from __future__ import annotations

import math
import time
from typing import Any, Final, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from aio.data.loader import TrainingLoader
from aio.task import RestorationTask
from aio.vocabulary import DEGRADATIONS

_GIB: Final = 2**30
_STATE: Final = "training_errors"
_OF_TASK: Final = ("l1", "psnr")


class Watch(L.Callback):
    """Logs, every `trainer.log_every_n_steps` optimiser steps, what passed since the last time.

    - `train/TASK/l1`, `train/TASK/psnr`: mean absolute error and mean PSNR (dB) of the samples of a degradation, over
      all ranks, as the net in training restores them; absent where there was none.
    - `train/lr`, `train/grad_norm`: of this step; the latter is the 2-norm of all gradients before they are clipped.
    - `watch/samples_per_second`: of all ranks, validations left out.
    - `watch/seconds_per_step`: of optimiser steps, validations left out; the hours of a training add up from these.
    - `watch/data_wait`: the share of that time in which rank 0 waited for the loader, 0 to 1.
    - `watch/gpu_gib`: most memory that tensors took on the GPU of rank 0 since the start, where there is one.
    - `watch/hours_left`: of the whole training with its validations, if steps go on to take as long as those after the
      first one of this process; absent in an endless training.

    A resumed training logs the same errors as one that was never stopped.
    """

    def __init__(self) -> None:
        self._samples = self._step_before = 0
        self._since = self._paused_at = 0.0
        self._step: dict[str, float | Tensor] = {}
        self._first: tuple[int, float] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since, self._samples, self._first = time.monotonic(), 0, None
        self._step_before = trainer.global_step

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._paused_at = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since += time.monotonic() - self._paused_at

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        if logs_step(trainer):
            self._step = {"train/lr": optimizer.param_groups[0]["lr"], "train/grad_norm": gradient_norm(pl_module)}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        self._samples += len(batch["name"])
        self._first = self._first or (trainer.global_step, time.monotonic())
        if logs_step(trainer) and not trainer.fit_loop._should_accumulate():
            _forget_errors(trainer)
            values = {**_errors(pl_module), **self._step, **self._speed(trainer)}
            pl_module.log_dict(values, batch_size=1)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """On all ranks, as checkpoints are saved by all."""
        errors = cast(RestorationTask, pl_module).training_errors
        errors.gather()
        checkpoint[_STATE] = errors.sums.cpu()

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        errors = cast(RestorationTask, pl_module).training_errors
        sums = checkpoint.get(_STATE)
        if trainer.is_global_zero and sums is not None and sums.shape == errors.sums.shape:
            errors.sums = sums.to(errors.sums.device)

    def _speed(self, trainer: L.Trainer) -> dict[str, float]:
        now = time.monotonic()
        seconds, samples = now - self._since, self._samples * trainer.world_size
        steps = trainer.global_step - self._step_before
        self._since, self._samples, self._step_before = now, 0, trainer.global_step
        values = {"watch/samples_per_second": samples / seconds, "watch/seconds_per_step": seconds / steps}
        if isinstance(loader := trainer.train_dataloader, TrainingLoader):
            values["watch/data_wait"] = min(1.0, loader.waited / seconds)
            loader.waited = 0.0
        if (device := trainer.strategy.root_device).type == "cuda":
            values["watch/gpu_gib"] = torch.cuda.max_memory_allocated(device) / _GIB
        left = self._seconds_left(trainer, now)
        return values if left is None else {**values, "watch/hours_left": left / 3600}

    def _seconds_left(self, trainer: L.Trainer, now: float) -> float | None:
        """None before there is a second step, and where there is no end."""
        first, began = self._first or (trainer.global_step, now)
        steps = steps_in_all(trainer)
        if trainer.global_step == first or math.isinf(steps):
            return None
        return max(0.0, steps - trainer.global_step) * (now - began) / (trainer.global_step - first)


def _errors(module: L.LightningModule) -> dict[str, float]:
    means = cast(RestorationTask, module).training_errors.read()
    return {f"train/{DEGRADATIONS[task]}/{key}": getattr(mean, key) for task, mean in means.items() for key in _OF_TASK}


def _forget_errors(trainer: L.Trainer) -> None:
    """Lightning would log them again for a degradation of which there was no sample since."""
    for name in (f"{task}/{key}" for task in DEGRADATIONS for key in _OF_TASK):
        cast(dict[str, Any], trainer._results).pop(f"on_train_batch_end.train/{name}", None)


def logs_step(trainer: L.Trainer) -> bool:
    """Whether loggers write after this optimiser step; the same on all ranks, unlike Lightning's answer."""
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return bool(every) and (trainer.fit_loop.epoch_loop._batches_that_stepped + 1) % every == 0


def steps_in_all(trainer: L.Trainer) -> float:
    """Optimiser steps of the whole training, also where epochs differ in length; infinite where it has no end."""
    epochs = cast(RestorationTask, trainer.lightning_module).steps_of_epochs
    steps = trainer.estimated_stepping_batches if epochs is None else sum(epochs)
    return min(steps, trainer.max_steps) if trainer.max_steps > 0 else steps


def gradient_norm(module: torch.nn.Module) -> Tensor:
    """The 2-norm of all gradients together, on their device; of all shards where they are sharded (a collective)."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
