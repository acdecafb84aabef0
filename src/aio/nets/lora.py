"""Low-rank stand-ins for a 1x1 convolution: squeeze to a few channels, work there, expand again.

`plain` is the LoRA-gate Restormer's convolution, `seed` the enhanced model's spatial-aware one, `spatial` the same
idea without batch statistics. Three or more thin convolutions replace one wide one: parameters and MACs fall with the
rank, but each of them reads and writes memory, so that a low-rank net is slower than its MACs promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from aio.nets.blocks import LayerNorm

LowRank = Literal["none", "plain", "spatial", "seed"]
Pointwise = Callable[..., nn.Module]

MIN_RANK = 4


def pointwise(inputs: int, outputs: int, kind: LowRank = "none", ratio: float = 0.0, bias: bool = False) -> nn.Module:
    """A 1x1 convolution, of rank `ratio * min(inputs, outputs)` where that is below full rank; ratio 0 is dense too."""
    full = min(inputs, outputs)
    rank = max(MIN_RANK, int(full * ratio))
    if kind == "none" or ratio == 0 or rank >= full:
        return nn.Conv2d(inputs, outputs, kernel_size=1, bias=bias)
    if kind == "plain":
        return LowRankConv(inputs, outputs, rank, bias)
    return SpatialLowRankConv(inputs, outputs, rank, bias, batch_norm=kind == "seed")


class LowRankConv(nn.Module):
    """expand(GELU(depth-wise(squeeze x)))."""

    def __init__(self, inputs: int, outputs: int, rank: int, bias: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, rank, kernel_size=1, bias=False)
        self.dwconv = _depthwise(rank)
        self.conv2 = nn.Conv2d(rank, outputs, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(nn.functional.gelu(self.dwconv(self.conv1(x))))


class SpatialLowRankConv(nn.Module):
    """expand(d + s * g): d the squeezed map, s its depth-wise context, g a gate from the mean of s.

    With `batch_norm` it is the published module. Without, a layer norm over the channels of each pixel normalises the
    context, so that training equals evaluation and a batch of one will do; the context starts at zero, so that the
    module starts as the bare low-rank product, where the gate's few hidden units need GELU not to be dead.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, bias: bool = False, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv_down = nn.Conv2d(inputs, rank, kernel_size=1, bias=False)
        norm = nn.BatchNorm2d(rank) if batch_norm else LayerNorm(rank)
        last = _depthwise(rank)
        if not batch_norm:
            nn.init.zeros_(last.weight)
        self.spatial_context = nn.Sequential(_depthwise(rank), norm, nn.GELU(), last)
        self.global_context = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(rank, rank // 4, kernel_size=1),
            nn.ReLU() if batch_norm else nn.GELU(),
            nn.Conv2d(rank // 4, rank, kernel_size=1),
            nn.Sigmoid(),
        )
        self.conv_up = nn.Conv2d(rank, outputs, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        down = self.conv_down(x)
        context = self.spatial_context(down)
        return self.conv_up(torch.addcmul(down, context, self.global_context(context)))


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False)
