"""What the net costs: parameters, and multiply-accumulates at 256 x 256 by fvcore, logged once before training."""

from __future__ import annotations

from typing import cast

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from aio.nets.base import count_parameters
from aio.nets.cost import SIDE, count_macs
from aio.task import RestorationTask


class Cost(L.Callback):
    """Prints and logs `cost/parameters` and `cost/gmacs`; a resumed training has logged them before."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}

    @rank_zero_only
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Before a strategy may shard the net, of which counting makes a copy."""
        if stage != "fit":
            return
        net = cast(RestorationTask, pl_module).net
        parameters, macs = count_parameters(net), count_macs(net)
        summary = f"{type(net).__name__}: {parameters:,} parameters, {macs / 1e9:.2f} GMACs at {SIDE} x {SIDE}"
        Console().print(summary)
        self._values = {"cost/parameters": parameters, "cost/gmacs": macs / 1e9}

    @rank_zero_only
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The number of done steps is known from here on."""
        for logger in trainer.loggers if trainer.global_step == 0 else []:
            logger.log_metrics(self._values, step=0)
