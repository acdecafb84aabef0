"""RestorationTask: the LightningModule round any net. One batch: net -> criterion -> optimiser -> scores."""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from aio.colour import luma, with_luma
from aio.errors import InputError
from aio.losses.mixture import Mixture
from aio.losses.pixel import L1
from aio.metrics import Means, ScoreTable, TaskErrors, find_protocol, input_name
from aio.nets.base import RestorationNet, restore_any_size
from aio.vocabulary import DEGRADATIONS
from aio.weights import start_from

Batch = dict[str, Any]


class RestorationTask(L.LightningModule):
    """Trains `net`, validates it per degradation.

    Args:
        net: any restoration net.
        lr: highest learning rate.
        optimizer: `adamw` or `adam`.
        betas: of the optimiser's moments.
        weight_decay: of the optimiser.
        warmup_epochs: epochs in which the rate grows linearly from 0.
        hold_epochs: epochs after them in which it stays at its highest; then it falls as a cosine to `min_lr`.
        min_lr: the last learning rate.
        protocol: of the validation scores, see `aio.metrics.PROTOCOLS`.
        channels_last: keeps weights and images in channels-last memory.
        compile_net: compiles the net with `torch.compile`.
        fine_tune_from: a checkpoint whose weights the net starts from.
        tell_task: gives the net the degradation's id, in training and validation; by default it is blind.

    Attributes:
        steps_of_epochs: optimiser steps of each epoch where these differ; who makes them differ sets it in `setup`.
        rate_factors: parts of the net whose rate is so many times all others', by the start of their names.
        training_errors: of the training samples; who logs them reads it out.
    """

    def __init__(
        self,
        *,
        net: RestorationNet,
        lr: float = 2e-4,
        optimizer: Literal["adamw", "adam"] = "adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 1e-4,
        warmup_epochs: float = 0.0,
        hold_epochs: float = 0.0,
        min_lr: float = 1e-6,
        protocol: str = "aio",
        channels_last: bool = False,
        compile_net: bool = False,
        fine_tune_from: str | None = None,
        tell_task: bool = False,
    ) -> None:
        super().__init__()
        if lr <= 0 or not 0 <= min_lr <= lr:
            raise InputError(f"--lr {lr} with min_lr {min_lr}: expected 0 <= min_lr <= lr and lr above 0")
        if warmup_epochs < 0:
            raise InputError(f"--warmup_epochs {warmup_epochs}: expected a number of at least 0")
        if hold_epochs < 0:
            raise InputError(f"--model.hold_epochs {hold_epochs}: expected a number of at least 0")
        self.save_hyperparameters({"net": net.config, "lr": lr, "protocol": protocol}, logger=False)
        self.net = net
        self.lr, self.min_lr, self.warmup_epochs, self.hold_epochs = lr, min_lr, warmup_epochs, hold_epochs
        self.optimizer_name, self.betas, self.weight_decay = optimizer, betas, weight_decay
        self.protocol = find_protocol(protocol, scale=net.scale)
        self.channels_last, self.compile_net, self.tell_task = channels_last, compile_net, tell_task
        self.criterion = Mixture(l1=(L1(), 1.0))
        self.scores = self._empty_scores()
        self.steps_of_epochs: list[int] | None = None
        self.rate_factors: dict[str, float] = {}
        self._said: dict[str, Any] = {}
        self._plan: int | list[int] = 0
        self._resumed_plan: int | list[int] | None = None
        self.training_errors = TaskErrors(len(DEGRADATIONS))
        if fine_tune_from is not None:
            self.net = start_from(net, fine_tune_from)

    def setup(self, stage: str) -> None:
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last)
        if self.compile_net:
            self.net.compile()

    def forward(self, degraded: Tensor, task: Tensor | None = None) -> Tensor:
        """Restores `(B, C, H, W)` of any size; not clamped. Colour goes round a net of one channel."""
        if (self.net.in_channels, degraded.shape[1]) == (1, 3):
            return with_luma(degraded, self(luma(degraded), task))
        if self.channels_last:
            degraded = degraded.contiguous(memory_format=torch.channels_last)
        return restore_any_size(self.net, degraded, task)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        restored = self(batch["degraded"], batch["task"] if self.tell_task else None)
        self.training_errors.add(restored, batch["clean"], batch["task"])
        terms = self.criterion(restored, batch["clean"])
        extra = self.net.extra_losses(batch.get("second_view"))
        loss = self.criterion.total(terms) + sum(extra.values())
        size = len(batch["name"])
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        self.log_dict({f"train/{name}": value for name, value in {**terms, **extra}.items()}, batch_size=size)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.scores = self._empty_scores()

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Scores each image of the batch; returns the restored images, clamped, for the gallery."""
        degraded, clean = self.protocol.crop(batch["degraded"]), self.protocol.crop(batch["clean"])
        restored = self(degraded, batch["task"] if self.tell_task else None).float().clamp(0, 1)
        before, after = self.protocol.input_scores(degraded, clean), self.protocol.scores(restored, clean)
        for task, name, *scores in zip(batch["task"].tolist(), batch["name"], before, after, strict=True):
            self.scores.add(DEGRADATIONS[task], name, *scores)
        return restored

    def on_validation_epoch_end(self) -> None:
        """The scores of all ranks, so that every rank logs the same means."""
        self.scores = self.scores.gather()
        if self.trainer.sanity_checking or not len(self.scores):
            return
        for task, means in {**self.scores.means(), "mean": self.scores.mean()}.items():
            self._log_means("val" if task == "mean" else f"val/{task}", means)

    def _empty_scores(self) -> ScoreTable:
        return ScoreTable(self.protocol.name, before=input_name(self.net.scale, views=self.net.in_channels == 6))

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.validation_step(batch, batch_idx)

    def on_test_epoch_start(self) -> None:
        self.on_validation_epoch_start()

    def on_test_epoch_end(self) -> None:
        self.on_validation_epoch_end()

    def _log_means(self, prefix: str, means: Means) -> None:
        # Already equal on every rank: a reduction over ranks could only add rounding.
        values = {f"{prefix}/psnr": means.psnr, f"{prefix}/ssim": means.ssim}
        for name, value in values.items():
            self.log(name, torch.tensor(value, dtype=torch.float64), prog_bar=name == "val/psnr", sync_dist=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        pairs = zip(self._groups(), self._rates(), strict=True)
        groups: list[dict[str, Any]] = [{"params": parameters, "lr": rate} for parameters, rate in pairs]
        kind = torch.optim.AdamW if self.optimizer_name == "adamw" else torch.optim.Adam
        optimizer = kind(groups, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)
        self._said = {name: value for name, value in optimizer.param_groups[0].items() if name not in ("params", "lr")}
        warmup, held, total = self._planned_steps()
        schedule = WarmupCosine(warmup=warmup, hold=held - warmup, total=total, floor=self.min_lr / self.lr)
        # A resumed training restores the numbers of a callable object, so that `--epochs` could not prolong it.
        scheduler = {"scheduler": LambdaLR(optimizer, lambda step: schedule(step)), "interval": "step"}
        return cast(OptimizerLRScheduler, {"optimizer": optimizer, "lr_scheduler": scheduler})

    def _groups(self) -> list[list[nn.Parameter]]:
        """What trains at the rate of all, then each part with a rate of its own."""
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        parts = [[name for name in trained if is_within(name, f"net.{part}")] for part in self.rate_factors]
        of_parts = {name for names in parts for name in names}
        names_of_groups = [[name for name in trained if name not in of_parts], *parts]
        return [[trained[name] for name in names] for names in names_of_groups]

    def _rates(self) -> list[float]:
        """The highest rate of each group."""
        return [self.lr * factor for factor in (1.0, *self.rate_factors.values())]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["steps_of_epochs"] = self._plan

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed_plan = checkpoint.get("steps_of_epochs")
        for state in checkpoint.get("optimizer_states", [])[:1]:
            stored, groups = [[len(group["params"]) for group in state["param_groups"]], [*map(len, self._groups())]]
            if stored != groups:
                raise InputError(
                    f"the checkpoint's optimiser has groups of {stored} weights, this one of {groups}: the parts that "
                    "have a rate of their own (parts.lr) must be those it was saved with"
                )

    def on_train_start(self) -> None:
        """What a resumed optimiser was saved with gives way to what is said now; it goes on at the same epoch.

        Where nothing differs, nothing changes.
        """
        scheduler = cast(LambdaLR, self.lr_schedulers())
        if self._resumed_plan is not None:
            epoch = self.trainer.current_epoch
            scheduler.last_epoch += _steps_before(epoch, self._plan) - _steps_before(epoch, self._resumed_plan)
        rates = self._rates()
        scheduler.base_lrs = [*rates]
        factors = zip(rates, scheduler.lr_lambdas, strict=True)
        scheduler._last_lr = [rate * factor(scheduler.last_epoch) for rate, factor in factors]
        for group, rate, highest in zip(scheduler.optimizer.param_groups, scheduler._last_lr, rates, strict=True):
            group.update(self._said, lr=rate, initial_lr=highest)

    def _planned_steps(self) -> tuple[float, float, float]:
        """Optimiser steps until the warm-up ends, until the rate falls, and in all."""
        self.trainer.fit_loop.setup_data()  # counts the batches, also of an endless training
        ends = (self.warmup_epochs, self.warmup_epochs + self.hold_epochs)
        if self.steps_of_epochs is not None:
            self._plan = self.steps_of_epochs
            warmup, held = (_steps_until(end, self.steps_of_epochs) for end in ends)
            return warmup, held, sum(self.steps_of_epochs)
        self._plan = per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        return ends[0] * per_epoch, ends[1] * per_epoch, self.trainer.estimated_stepping_batches


def is_within(name: str, part: str) -> bool:
    """Whether a parameter or module of that dotted name is `part` or lies in it."""
    return f"{name}.".startswith(f"{part}.")


def _steps_before(epoch: int, plan: int | list[int]) -> int:
    """The steps before `epoch`, which is no more than one beyond the last; each is of as many, or as `plan` lists."""
    return plan * epoch if isinstance(plan, int) else sum(plan[:epoch])


def _steps_until(epoch: float, steps: list[int]) -> float:
    """The steps before `epoch`, which may lie within one or beyond the last; `steps` of each."""
    whole, part = divmod(epoch, 1)
    counted = steps[: int(whole) + 1]
    return sum(counted[: int(whole)]) + part * counted[-1]


class WarmupCosine:
    """Factor of the learning rate at each step: linear from `1 / warmup` to 1, 1 for `hold` steps, then a half cosine
    down to `floor`.

    An endless training (`total` infinite) stays at 1 after the warm-up.
    """

    def __init__(self, *, warmup: float, hold: float = 0.0, total: float, floor: float) -> None:
        self.warmup, self.falls, self.total, self.floor = warmup, warmup + hold, total, floor

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / math.ceil(self.warmup)
        if step < self.falls or math.isinf(self.total):
            return 1.0
        progress = min(1.0, (step - self.falls) / max(1.0, self.total - self.falls))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2
