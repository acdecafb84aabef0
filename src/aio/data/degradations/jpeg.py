"""JPEG's artefacts by its own arithmetic: blocks of 8 x 8, quantised cosines, coarse colours (ITU-T T.81, JFIF).

Written in torch, so that every device takes one path and results do not hang on the version of a library; files of
libjpeg differ by far less than a level on average.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.data.degradations._common import Range, draw

# Tables K.1 and K.2 of T.81, which nearly every encoder scales by its quality
_LUMA: Final = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99
"""
_CHROMA: Final = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99
"""
_HALF: Final = 0.5 + 1e-3  # flat blocks often lie between two levels: up they go, though float32 be a little below
_TO_YCC: Final = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def jpeg(
    image: Tensor, generator: torch.Generator, *, quality: Range = (10.0, 90.0), subsampling: float = 0.5
) -> Tensor:
    """`image` written as a JPEG file and read again.

    Args:
        quality: as libjpeg scales it, from 1 to 100; a whole number is drawn.
        subsampling: share of images whose colours are halved both ways (4:2:0); the others keep all (4:4:4).
            It is without effect unless there are three channels.
    """
    level, chance = draw(generator, (quality[0] - 0.5, quality[1] + 0.5), (0, 1))
    level = min(max(round(level), math.ceil(quality[0])), math.floor(quality[1]))
    pixels = (image * 255).round()
    luma, chroma = (table.to(image.device) for table in quantisation(level))
    if len(image) != 3:
        return _coded(pixels, luma) / 255
    ycc = (_mixed(pixels, _TO_YCC) + _centre(image.device)).round().clamp(0, 255)
    if chance < subsampling:
        colours = _enlarge(_coded(_halve(ycc[1:]), chroma), *image.shape[-2:])
    else:
        colours = _coded(ycc[1:], chroma)
    decoded = torch.cat([_coded(ycc[:1], luma), colours]) - _centre(image.device)
    return _mixed(decoded, _TO_RGB).round().clamp(0, 255) / 255


@lru_cache(maxsize=128)
def quantisation(quality: int) -> tuple[Tensor, Tensor]:
    """Tables `(8, 8)` of luma and chroma at a libjpeg quality from 1 to 100."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = (torch.tensor([float(word) for word in text.split()]).view(8, 8) for text in (_LUMA, _CHROMA))
    luma, chroma = (((table * percent + 50) / 100).floor().clamp(1, 255) for table in tables)
    return luma, chroma


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """`(C, H, W)` of levels 0..255 through cosines, division by `table`, rounding, and back to whole levels."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes[None], (0, -width % 8, 0, -height % 8), mode="replicate")[0]
    blocks = (padded - 128).unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-3, -2)
    basis = _cosines().to(planes.device)
    steps = (basis @ blocks @ basis.T * 8).round() / (8 * table)  # libjpeg's cosines are whole eighths: ties are common
    coefficients = torch.copysign((steps.abs() + 0.5).floor(), steps) * table
    decoded = (basis.T @ coefficients @ basis + (128 + _HALF)).floor().clamp(0, 255)
    return decoded.transpose(-3, -2).flatten(-2).flatten(-3, -2)[..., :height, :width]


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """The orthonormal DCT-II of 8 values: `basis @ block @ basis.T` is T.81's equation A.3.3."""
    k, n = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)[None]
    basis = torch.cos((2 * n + 1) * k * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis.float()


def _halve(planes: Tensor) -> Tensor:
    """Means of 2 x 2 pixels, rounded as libjpeg does: up in odd columns, down in even ones where it is a tie."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes[None], (0, width % 2, 0, height % 2), mode="replicate")
    means = F.avg_pool2d(padded, 2)[0]
    bias = torch.where(torch.arange(means.shape[-1], device=planes.device) % 2 == 0, 0.25, 0.5)
    return (means + bias).floor()


def _enlarge(planes: Tensor, height: int, width: int) -> Tensor:
    """Twice the size by triangles, which libjpeg calls fancy upsampling."""
    large = F.interpolate(planes[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    return large[..., :height, :width].round()


def _mixed(image: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("ij,jhw->ihw", torch.tensor(matrix, device=image.device), image)


def _centre(device: torch.device) -> Tensor:
    return torch.tensor([0.0, 128.0, 128.0], device=device).view(3, 1, 1)
