"""What several degradations need: draws from ranges, sRGB and linear light, sub-pixel deposits."""

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


def to_linear(image: Tensor) -> Tensor:
    """sRGB values in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def to_srgb(light: Tensor) -> Tensor:
    """Linear light to sRGB values in [0, 1] (IEC 61966-2-1); light outside [0, 1] is clipped first."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def to_8_bit(image: Tensor) -> Tensor:
    """The nearest of the 256 levels that an 8-bit file can hold."""
    return (image * 255).round() / 255


def deposit(y: Tensor, x: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """`(height, width)` image of point masses, each shared bilinearly by its four pixels; what falls outside is lost."""
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    rows = torch.stack([top, top, top + 1, top + 1])
    columns = torch.stack([left, left + 1, left, left + 1])
    shares = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]) * weight
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = (rows * width + columns).long()[inside]
    mass = (shares * _FIXED_POINT).round().long()[inside]
    image = torch.zeros(height * width, dtype=torch.long, device=y.device).index_add_(0, index, mass)
    return (image.to(weight.dtype) / _FIXED_POINT).view(height, width)
