"""What the net costs: parameters, and multiply-accumulates at 256 x 256 by fvcore, logged once before training."""

from __future__ import annotations

import logging
import warnings
from copy import deepcopy
from typing import Final, cast

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from aio.nets.base import RestorationNet, count_parameters
from aio.task import RestorationTask

_SIDE: Final = 256
_TRACED: Final = 32


def count_macs(net: RestorationNet, side: int = _SIDE) -> int:
    """Multiply-accumulates of one `side x side` image, as fvcore counts them (one MAC is one of its "flops").

    Every operation here costs a constant or a constant per pixel, so two small images give the large one exactly.
    """
    small = max(net.multiple_of, _TRACED)
    counted = [_traced_macs(net, size) for size in (small, 2 * small)]
    return counted[0] + (counted[1] - counted[0]) * (side**2 - small**2) // (3 * small**2)


def _traced_macs(net: RestorationNet, side: int) -> int:
    traced = deepcopy(net).cpu().float().eval()
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)  # lists every uncounted activation otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore stands on jit.trace, deprecated, which warns of every shape it reads
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(traced, torch.zeros(1, net.in_channels, side, side))
        return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


class Cost(L.Callback):
    """Prints and logs `cost/parameters` and `cost/gmacs`."""

    @rank_zero_only
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        net = cast(RestorationTask, pl_module).net
        parameters, macs = count_parameters(net), count_macs(net)
        summary = f"{type(net).__name__}: {parameters:,} parameters, {macs / 1e9:.2f} GMACs at {_SIDE} x {_SIDE}"
        Console().print(summary)
        for logger in trainer.loggers:
            logger.log_metrics({"cost/parameters": parameters, "cost/gmacs": macs / 1e9}, step=0)
