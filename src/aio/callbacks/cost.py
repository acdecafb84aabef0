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
    """Prints and logs `cost/parameters` and `cost/gmacs`."""

    @rank_zero_only
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        net = cast(RestorationTask, pl_module).net
        parameters, macs = count_parameters(net), count_macs(net)
        summary = f"{type(net).__name__}: {parameters:,} parameters, {macs / 1e9:.2f} GMACs at {SIDE} x {SIDE}"
        Console().print(summary)
        for logger in trainer.loggers:
            logger.log_metrics({"cost/parameters": parameters, "cost/gmacs": macs / 1e9}, step=0)
