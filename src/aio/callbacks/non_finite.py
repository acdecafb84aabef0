"""Steps whose loss or gradient is not finite: skipped on all ranks together, counted, and named by their files."""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.types import STEP_OUTPUT
from rich.console import Console
from torch import Tensor
from torch.optim import Optimizer

from aio.callbacks.moving import Moving
from aio.callbacks.skipped_csv import SKIPPED, Row, append_rows, forget_rows
from aio.callbacks.watch import gradient_norm
from aio.errors import InputError
from aio.vocabulary import DEGRADATIONS

_WINDOW: Final = 10  # times as many steps as may be skipped
_SHOWN: Final = 5


class _Seen(NamedTuple):
    """A batch of the present step."""

    tasks: Tensor
    names: list[str]


class NonFinite(L.Callback):
    """Skips a step whose gradients are not finite, as if its batches had never been; the schedule alone goes on.

    A loss that is not finite makes the gradients so, and DDP's own reduction carries that to all ranks: they agree
    without a message of their own, and none waits for another. The gradients become None, so that no optimiser touches
    weights or moments and the average rests; statistics and queues that the forward pass changed are put back. A
    skipped step prints its files, adds them to `skipped.csv` and logs `train/skipped`, how many there were so far. What
    a gradient scaler skips while it looks for its scale is not reported.

    Whether a step is finite takes one transfer to the host, as clipping and averaging may both ask for.

    Args:
        max_skipped: so many among ten times as many steps end the training.

    Attributes:
        norm: of the gradients of the last step, before clipping.
        skipped: steps so far, also before a resumption.
    """

    def __init__(self, *, max_skipped: int = 100) -> None:
        if max_skipped < 1:
            raise InputError(f"--max_skipped {max_skipped}: expected a whole number of at least 1")
        self.max_skipped = max_skipped
        self.norm, self.skipped = math.nan, 0
        self._recent: deque[int] = deque(maxlen=max_skipped)
        self._batches: list[_Seen] = []
        self._losses: list[Tensor] = []
        self._moving: Moving | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._batches, self._losses, self._moving = [], [], Moving(pl_module)
        if trainer.is_global_zero:
            forget_rows(_file(trainer), since=trainer.global_step)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: dict[str, Any], batch_idx: int
    ) -> None:
        if not self._batches:
            cast(Moving, self._moving).keep()
        self._batches.append(_Seen(batch["task"], batch["name"]))

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Some infinite losses have finite gradients, which would hide them from the other ranks."""
        value = loss.detach()
        self._losses.append(value)
        loss.register_hook(lambda gradient: torch.where(value.isfinite(), gradient, math.nan))

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        losses = [loss.float() for loss in self._losses]
        norm = gradient_norm(pl_module).to(pl_module.device, torch.float32)
        *values, self.norm = torch.stack([*losses, norm]).tolist()
        if not math.isfinite(self.norm):
            pl_module.zero_grad(set_to_none=True)
            cast(Moving, self._moving).restore()
            self._note(trainer, values)
        self._batches, self._losses = [], []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        if self.skipped:
            pl_module.log("train/skipped", float(self.skipped), batch_size=1)
        too_many = len(self._recent) == self.max_skipped
        if too_many and trainer.global_step - self._recent[0] <= _WINDOW * self.max_skipped:
            raise InputError(
                f"{self.max_skipped} of the last {trainer.global_step - self._recent[0]} steps were not finite "
                f"(--max_skipped {self.max_skipped}); {_file(trainer)} names their files. The weights are those of "
                "the last finite step: go on by --resume_from last with a lower --lr, another --precision or without "
                "those files"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped, "recent": list(self._recent)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped = state_dict["skipped"]
        self._recent = deque(state_dict["recent"], maxlen=self.max_skipped)

    def _note(self, trainer: L.Trainer, losses: list[float]) -> None:
        """The same on all ranks."""
        step, epoch, rank = trainer.global_step, trainer.current_epoch, trainer.global_rank
        rows = [
            Row(step, epoch, rank, "gradient" if math.isfinite(loss) else "loss", loss, DEGRADATIONS[task], name)
            for seen, loss in zip(self._batches, losses, strict=True)
            for task, name in zip(seen.tasks.tolist(), seen.names, strict=True)
        ]
        rows = _of_all_ranks(rows)
        self._recent.append(step)
        guilty = [row for row in rows if row.reason == "loss"]
        if not guilty and getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        self.skipped += 1
        if trainer.is_global_zero:
            append_rows(_file(trainer), guilty or rows)
            _print(guilty or rows, self.skipped)


def _of_all_ranks(rows: list[Row]) -> list[Row]:
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, rows)
    return [row for part in gathered for row in part]


def _print(rows: list[Row], skipped: int) -> None:
    first = rows[0]
    named = ", ".join(f"{row.task} {row.name}" for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN} more in {SKIPPED}" if len(rows) > _SHOWN else ""
    what = f"loss {first.loss}" if first.reason == "loss" else "gradient not finite"
    text = f"step {first.step} skipped ({skipped} so far), {what}: {named}{more}"
    Console(soft_wrap=True).print(text, markup=False)


def _file(trainer: L.Trainer) -> Path:
    return Path(trainer.default_root_dir) / SKIPPED
