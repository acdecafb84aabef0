"""What several degradations need: draws from ranges, sub-pixel deposits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Range = tuple[float, float]

# A sum of integers is the same in any order, so that threads and GPUs deposit the same bytes.
_FIXED_POINT = 2**24


def draw(generator: torch.Generator, *ranges: Range) -> list[float]:
    """One uniform number from each (low, high)."""
    unit = torch.rand(len(ranges), generator=generator, device=generator.device).tolist()
    return [low + (high - low) * u for u, (low, high) in zip(unit, ranges, strict=True)]


def draw_log(generator: torch.Generator, *ranges: Range) -> list[float]:
    """One number from each (low, high), both positive, uniform in its logarithm."""
    logs = draw(generator, *((math.log(low), math.log(high)) for low, high in ranges))
    return [math.exp(value) for value in logs]


def to_8_bit(image: Tensor) -> Tensor:
    """The nearest of the 256 levels that an 8-bit file can hold."""
    return (image * 255).round() / 255


def deposit(y: Tensor, x: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """`(height, width)` of point masses, each shared bilinearly by its four pixels; what falls outside is lost."""
    near = ((y > -1) & (y < height) & (x > -1) & (x < width)).flatten().nonzero()[:, 0]
    y, x, weight = (values.flatten()[near] for values in (y, x, weight))
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    stride = width + 2  # of a canvas with one more pixel on every side
    index = ((top + 1) * stride + left + 1).long()
    lower, upper = weight * down, weight * (1 - down)
    shares = torch.stack([upper * (1 - right), upper * right, lower * (1 - right), lower * right])
    mass = (shares * _FIXED_POINT).round().long()
    canvas = torch.zeros((height + 2) * stride, dtype=torch.long, device=y.device)
    canvas.index_add_(0, torch.cat([index, index + 1, index + stride, index + stride + 1]), mass.flatten())
    return (canvas.view(height + 2, stride)[1:-1, 1:-1].to(weight.dtype) / _FIXED_POINT).contiguous()
