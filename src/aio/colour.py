"""Luma and linear light; colour images through a net of one channel.

That net gets the luma, and the colour differences are only resized. BT.601 at full range, as in JPEG: the luma of a
gray image is the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aio.resize import bicubic

_LUMA = (0.299, 0.587, 0.114)


def luma(image: Tensor) -> Tensor:
    """`(..., 1, H, W)` of RGB `(..., 3, H, W)`; an image of one channel is returned as it is."""
    if image.shape[-3] == 1:
        return image
    red, green, blue = image.split(1, dim=-3)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def with_luma(image: Tensor, restored: Tensor) -> Tensor:
    """RGB `(..., 3, sH, sW)` whose luma is `restored (..., 1, sH, sW)`, in the colours of `image (..., 3, H, W)`.

    A new luma moves all three channels alike, which leaves both colour differences as they are.
    """
    size = (restored.shape[-2], restored.shape[-1])
    enlarged = image if image.shape[-2:] == size else bicubic(image, size)
    return enlarged + (restored - luma(enlarged))


def for_channels(image: Tensor, channels: int) -> Tensor:
    """What a net of so many channels sees of `image`: its luma, or the image itself."""
    return luma(image) if channels == 1 else image


def to_linear(image: Tensor) -> Tensor:
    """sRGB values in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def to_srgb(light: Tensor) -> Tensor:
    """Linear light to sRGB values in [0, 1] (IEC 61966-2-1); light outside [0, 1] is clipped first."""
    light = light.clamp(0, 1)
    bright = light.clamp(min=0.0031308)  # below, the slope of a power would be infinite at 0
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * bright ** (1 / 2.4) - 0.055)
