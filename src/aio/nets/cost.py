"""What a net costs: multiply-accumulates as fvcore counts them."""

from __future__ import annotations

import logging
import warnings
from copy import deepcopy
from typing import Final

import torch

from aio.nets.base import RestorationNet

SIDE: Final = 256


def count_macs(net: RestorationNet, side: int = SIDE) -> int:
    """Multiply-accumulates of one `side x side` image, as fvcore counts them (one MAC is one of its "flops").

    Every operation here costs a constant or a constant per pixel, so two small images give the large one exactly.
    """
    small = max(net.multiple_of, net.cost_period)
    if side == small:
        return traced_macs(net, side)
    counted = [traced_macs(net, size) for size in (small, 2 * small)]
    return counted[0] + (counted[1] - counted[0]) * (side**2 - small**2) // (3 * small**2)


def traced_macs(net: RestorationNet, side: int) -> int:
    """Of one `side x side` image, a multiple of the net's size rule, counted as it is."""
    traced = deepcopy(net).cpu().float().eval()
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)  # lists every uncounted activation otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore stands on jit.trace, deprecated, which warns of every shape it reads
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(traced, torch.zeros(1, net.in_channels, side, side))
        return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())
