"""Bicubic resizing as MATLAB's `imresize` does it, by which super-resolution makes and judges its images.

Keys' kernel with a = -1/2; when it shrinks, the kernel is widened by the factor (antialiasing); beyond its edges an
image is mirrored, the edge pixel included. PyTorch's own `antialias=True` differs at the edges.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def bicubic(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`image (..., H, W)` at `size` (height, width), in float32; not clipped, so that it may leave [0, 1] a little."""
    rows, columns = (_weights(old, new).to(image.device) for old, new in zip(image.shape[-2:], size, strict=True))
    with torch.autocast(image.device.type, enabled=False):
        return rows @ image.float() @ columns.T


@lru_cache(maxsize=64)
def _weights(old: int, new: int) -> Tensor:
    """`(new, old)`: what each old pixel of a line counts in each new one."""
    scale = new / old
    stretch = max(1.0, 1 / scale)
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) / scale - 0.5
    reach = math.ceil(2 * stretch) + 1
    taps = centres.floor().long()[:, None] + torch.arange(-reach, reach + 1)
    values = _keys((centres[:, None] - taps) / stretch)
    values /= values.sum(dim=1, keepdim=True)
    taps = taps % (2 * old)
    mirrored = torch.minimum(taps, 2 * old - 1 - taps)
    return torch.zeros(new, old, dtype=torch.float64).scatter_add_(1, mirrored, values).float()


def _keys(x: Tensor) -> Tensor:
    x = x.abs()
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
