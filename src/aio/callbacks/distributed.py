"""How the ranks of DDP exchange gradients: compressed or not, and where they lie in memory."""

from __future__ import annotations

from typing import Any, Literal, cast

import lightning as L
from lightning.pytorch.strategies import DDPStrategy
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from aio.errors import InputError

Compression = Literal["none", "fp16", "bf16", "powersgd"]


class Distributed(L.Callback):
    """Tells DDP, where a training is of several processes; with one it does nothing.

    Args:
        compression: of the gradients on their way: `fp16` and `bf16` halve them; `powersgd` sends factors of a low rank
            and adds what they leave out to the next step (Vogels et al., PowerSGD, NeurIPS 2019). Each rank holds that
            rest in memory, and a checkpoint does not: a training resumed with it goes on, but not to the bit.
        powersgd_rank: of those factors.
        powersgd_start: steps before which gradients are sent whole.
        gradient_as_bucket_view: gradients lie in the memory that is sent, which saves a copy of them.
        static_graph: every step uses the same parameters in the same order; not with accumulated batches.
        find_unused_parameters: some steps leave parameters out; costs a walk through the graph of each.
    """

    def __init__(
        self,
        *,
        compression: Compression = "none",
        powersgd_rank: int = 4,
        powersgd_start: int = 1000,
        gradient_as_bucket_view: bool = True,
        static_graph: bool = False,
        find_unused_parameters: bool = False,
    ) -> None:
        for name, value, least in (("rank", powersgd_rank, 1), ("start", powersgd_start, 2)):
            if value < least:
                raise InputError(f"distributed.powersgd_{name} {value}: expected a whole number of at least {least}")
        self.compression, self.powersgd_rank, self.powersgd_start = compression, powersgd_rank, powersgd_start
        self.options = {
            "gradient_as_bucket_view": gradient_as_bucket_view,
            "static_graph": static_graph,
            "find_unused_parameters": find_unused_parameters,
        }
        self._power: powerSGD_hook.PowerSGDState | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Before the strategy wraps the model."""
        if stage != "fit" or trainer.world_size == 1:
            return
        if isinstance(trainer.strategy, DDPStrategy):
            trainer.strategy._ddp_kwargs.update({name: True for name, chosen in self.options.items() if chosen})
            self._check_graph(trainer.accumulate_grad_batches)
        elif self.compression != "none":
            raise InputError(
                f"distributed.compression {self.compression} with {type(trainer.strategy).__name__}: only DDP has it"
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        ddp = trainer.strategy.model
        if not isinstance(ddp, DistributedDataParallel):
            return
        if self.compression == "powersgd":
            self._power = powerSGD_hook.PowerSGDState(
                process_group=None,
                matrix_approximation_rank=self.powersgd_rank,
                start_powerSGD_iter=self.powersgd_start,
            )
            ddp.register_comm_hook(self._power, powerSGD_hook.powerSGD_hook)
        elif self.compression != "none":
            hooks = {"fp16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}
            ddp.register_comm_hook(None, cast(Any, hooks[self.compression]))

    def _check_graph(self, accumulated: int) -> None:
        if self.options["static_graph"] and accumulated > 1:
            raise InputError(
                f"distributed.static_graph with {accumulated} batches to a step: ranks exchange gradients in one of "
                "them alone, which is another graph: leave static_graph out"
            )

    def on_before_zero_grad(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """A rest that is not finite would spoil all steps to come: after a skipped step it begins anew."""
        if self._power is not None and all(p.grad is None for p in pl_module.parameters()):
            for rest in (self._power.error_dict, self._power.p_memory_dict, self._power.q_memory_dict):
                rest.clear()
