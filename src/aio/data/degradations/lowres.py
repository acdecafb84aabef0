"""Low resolution: the input of super-resolution, made from its clean image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.data.degradations._common import to_8_bit
from aio.resize import bicubic

LowResKernel = Literal["bicubic", "bilinear", "area"]
LOW_RES_KERNELS: Final[tuple[LowResKernel, ...]] = ("bicubic", "bilinear", "area")


def low_resolution(
    image: Tensor, generator: torch.Generator, *, scale: int, kernels: Sequence[LowResKernel] = ("bicubic",)
) -> Tensor:
    """`image (C, scale * H, scale * W)` shrunk to `(C, H, W)`, rounded to 8 bit as the field's files are.

    One of `kernels` is drawn: `bicubic` as MATLAB's imresize (the field's standard), `bilinear` (antialiased too), or
    `area`, the mean of `scale x scale` pixels.
    """
    kernel = kernels[int(torch.randint(len(kernels), (), generator=generator, device=generator.device))]
    size = (image.shape[-2] // scale, image.shape[-1] // scale)
    return to_8_bit(_SHRINK[kernel](image, size).clamp(0, 1))


def _bilinear(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]


def _area(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(image, size)


_SHRINK: Final = {"bicubic": bicubic, "bilinear": _bilinear, "area": _area}
