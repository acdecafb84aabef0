"""Progressive learning: stages with their own patches, batches and degradations, one after another (Restormer, 5.1).

Small patches in large batches first, then the reverse; or easy degradations first, then all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import lightning as L

from aio.callbacks.accumulation import batches_per_step
from aio.data.datamodule import RestorationData
from aio.errors import InputError
from aio.task import RestorationTask
from aio.vocabulary import Degradation, expand


@dataclass(frozen=True)
class Stage:
    """So many epochs of one kind.

    Attributes:
        epochs: how long it lasts; the last stage lasts until the training ends.
        patch_size: side of its crops in pixels; `data.patch_size` by default, which is the largest there may be.
        batch_size: its samples per step and device; `data.batch_size` by default.
        de_type: its degradations, some of `data.de_type`; all by default.
        effective_batch: samples of each of its optimiser steps over all devices, gathered by accumulation; that of
            `Progressive` by default.
    """

    epochs: int
    patch_size: int | None = None
    batch_size: int | None = None
    de_type: Sequence[str] | None = None
    effective_batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "patch_size", "batch_size", "effective_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"progressive stage: {name} {value}, expected a whole number of at least 1")

    @property
    def tasks(self) -> list[Degradation] | None:
        return None if self.de_type is None else expand(self.de_type)


class Progressive(L.Callback):
    """Takes the data through `stages`; with none, it does nothing.

    The learning rate follows its cosine over the steps of all stages; validation is of all degradations throughout.

    Args:
        stages: in their order.
        effective_batch: samples of each optimiser step over all devices, of stages that do not say their own and of a
            training without stages: batches accumulate until they are so many. By default a step is of
            `trainer.accumulate_grad_batches`.
    """

    def __init__(self, *, stages: Sequence[Stage] = (), effective_batch: int | None = None) -> None:
        if effective_batch is not None and effective_batch < 1:
            raise InputError(f"--effective_batch {effective_batch}: expected a whole number of at least 1")
        self.stages, self.effective_batch = list(stages), effective_batch
        said = (effective_batch, *(stage.effective_batch for stage in self.stages))
        self._effective = [samples for samples in said if samples is not None]
        self._ends = list(accumulate(stage.epochs for stage in self.stages))
        self._entered: Stage | None = None

    def check(self, data: RestorationData) -> None:
        """Raises InputError where a stage asks for more than `data` holds, or for steps of no whole batches."""
        self._check_steps(data)
        for number, stage in enumerate(self.stages, start=1):
            try:
                surplus = set(stage.tasks or []) - set(data.tasks)
            except ValueError as error:
                raise InputError(f"progressive stage {number}: {error}") from error
            if surplus:
                raise InputError(f"progressive stage {number}: {', '.join(sorted(surplus))} is not in --de_type")
            if stage.patch_size is not None and stage.patch_size > data.patch_size:
                raise InputError(
                    f"progressive stage {number}: patch_size {stage.patch_size} exceeds --patch_size {data.patch_size}"
                )
            if stage.patch_size is not None and data.patch_sizes:
                raise InputError(
                    f"progressive stage {number}: patch_size {stage.patch_size} and data.patch_sizes: give one of them"
                )
            data.check_batches(batch_size=stage.batch_size, tasks=stage.tasks)

    def _check_steps(self, data: RestorationData) -> None:
        accumulated = cast(L.Trainer, data.trainer).accumulate_grad_batches
        if accumulated != 1 and self._effective:
            raise InputError(
                f"--accum_grad {accumulated} with an effective batch of {self._effective[0]}: the batches of a step "
                "follow from that: leave --accum_grad out"
            )
        stages: list[Stage | None] = [*self.stages]
        for stage in stages or [None]:
            self.batches_per_step(data, stage)

    def batches_per_step(self, data: RestorationData, stage: Stage | None) -> int:
        """Of each device, in `stage` or in a training without stages.

        Raises:
            InputError: whole batches do not make up the effective batch.
        """
        trainer = cast(L.Trainer, data.trainer)
        effective = (stage and stage.effective_batch) or self.effective_batch
        if effective is None:
            return 1 if self._effective else trainer.accumulate_grad_batches
        return batches_per_step(
            effective,
            batch_size=(stage and stage.batch_size) or data.batch_size,
            devices=trainer.world_size,
            what="--effective_batch" if stage is None else f"progressive stage {self.stages.index(stage) + 1}:",
        )

    def samples_per_step(self, data: RestorationData) -> int:
        """Of all devices; in the first stage, where there are some."""
        stage = self._first()
        batch_size = (stage and stage.batch_size) or data.batch_size
        return batch_size * cast(L.Trainer, data.trainer).world_size * self.batches_per_step(data, stage)

    def stage_of(self, epoch: int) -> Stage:
        """The stage of `epoch`, counted from 0."""
        return next((stage for stage, end in zip(self.stages, self._ends, strict=True) if epoch < end), self.stages[-1])

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        data = _data(trainer)
        # The loop asks for this as it restores its counters; a stage that begins then begins later.
        trainer.accumulate_grad_batches = self.batches_per_step(data, self._entered or self._first())
        if not self.stages:
            return
        epochs = trainer.max_epochs
        if epochs is not None and epochs > 0:
            steps = [self._steps(data, self.stage_of(epoch)) for epoch in range(epochs)]
            cast(RestorationTask, pl_module).steps_of_epochs = steps
        self.enter(data, 0)

    def _first(self) -> Stage | None:
        return self.stages[0] if self.stages else None

    def _steps(self, data: RestorationData, stage: Stage) -> int:
        """Optimiser steps of an epoch."""
        batches = data.batches_per_epoch(batch_size=stage.batch_size, tasks=stage.tasks)
        return math.ceil(batches / self.batches_per_step(data, stage))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A resumed training begins in the stage where it stopped."""
        self._prepare(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._prepare(trainer, trainer.current_epoch + 1)

    def _prepare(self, trainer: Any, epoch: int) -> None:
        if self.stages:
            # Lightning looks at this number as the next epoch begins.
            trainer.reload_dataloaders_every_n_epochs = int(self.enter(_data(trainer), epoch))
            trainer.accumulate_grad_batches = self.batches_per_step(_data(trainer), self.stage_of(epoch))

    def enter(self, data: RestorationData, epoch: int) -> bool:
        """Tells `data` what to give in `epoch`; whether that is another stage than it was told last."""
        if not self.stages or self.stage_of(epoch) is self._entered:
            return False
        stage = self.stage_of(epoch)
        data.train_on(tasks=stage.tasks, batch_size=stage.batch_size, patch_size=stage.patch_size)
        self._entered = stage
        return True


def _data(trainer: Any) -> RestorationData:
    return cast(RestorationData, trainer.datamodule)
