"""Parts of a net that train otherwise than the rest: at a rate of their own, or not at all in the first epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import lightning as L
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from aio.errors import InputError
from aio.task import RestorationTask, is_within

T = TypeVar("T")


class Parts(L.Callback):
    """Tells the task its parts' rates, and keeps parts as they are until their epoch comes.

    Of a part that rests the gradients are dropped before each step, and its batch norms go by the statistics that they
    have. Its backward pass runs all the same: so all processes exchange the same gradients in every epoch, on any
    strategy, and no optimiser, average or checkpoint knows of the rest.

    Args:
        lr: the highest rate of a part, by the beginning of its weights' names in the net, as `cnn_extractor`; its
            schedule is that of all others in proportion.
        frozen: how many epochs a part rests, by the same names.
    """

    def __init__(self, *, lr: dict[str, float] | None = None, frozen: dict[str, int] | None = None) -> None:
        for part, rate in (lr or {}).items():
            if rate <= 0:
                raise InputError(f"parts.lr {part} {rate}: expected a rate above 0")
        for part, epochs in (frozen or {}).items():
            if epochs < 0:
                raise InputError(f"parts.frozen {part} {epochs}: expected a whole number of at least 0")
        self.lr, self.frozen = lr or {}, frozen or {}
        self._told = False
        self._still: list[nn.Module] = []

    def tell(self, task: RestorationTask) -> None:
        """Gives `task` the rates, in proportion to that which it has as this is called.

        Raises:
            InputError: a part is none of the net's, two with a rate of their own overlap, or nothing is left to train.
        """
        trained = [name for name, weight in task.net.named_parameters() if weight.requires_grad]
        for option, part in [*(("lr", part) for part in self.lr), *(("frozen", part) for part in self.frozen)]:
            if not any(is_within(name, part) for name in trained):
                known = ", ".join(dict.fromkeys(name.partition(".")[0] for name in trained))
                raise InputError(f"parts.{option} {part}: no weights of {type(task.net).__name__} train there: {known}")
        for part in self.lr:
            if within := [other for other in self.lr if other != part and is_within(part, other)]:
                raise InputError(f"parts.lr {part}: lies in {within[0]}, which has a rate too; expected parts apart")
        if all(any(is_within(name, part) for part, epochs in self.frozen.items() if epochs) for name in trained):
            raise InputError(f"parts.frozen {', '.join(self.frozen)}: nothing is left to train in the first epoch")
        task.rate_factors = {part: rate / task.lr for part, rate in self.lr.items()}
        self._told = True

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit" and not self._told:
            self.tell(cast(RestorationTask, pl_module))

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Epochs may begin in their middle, and Lightning turns the whole net to training and back at will."""
        for module in self._still:
            module.train()
        resting = self._resting(trainer, cast(RestorationTask, pl_module).net.named_modules)
        self._still = [module.eval() for module in resting if isinstance(module, _BatchNorm) and module.training]

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """No gradient at all: one of zero would still meet weight decay and Adam's moments."""
        for weight in self._resting(trainer, cast(RestorationTask, pl_module).net.named_parameters):
            weight.grad = None

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for module in self._still:
            module.train()
        self._still = []

    def _resting(self, trainer: L.Trainer, named: Callable[[], Iterator[tuple[str, T]]]) -> list[T]:
        """Those of `named` that lie in parts which rest in this epoch."""
        parts = [part for part, epochs in self.frozen.items() if trainer.current_epoch < epochs]
        return [each for name, each in named() if any(is_within(name, part) for part in parts)] if parts else []
