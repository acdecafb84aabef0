"""Haze by the atmospheric scattering model, over a given depth or a plausible made-up one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.data.degradations._common import Range, draw

_TILT = (-0.3, 0.3)  # of the ground across the frame
_NODE = 160  # at most so many pixels between the nodes of the random relief
_STEP = 4  # the guided filter's statistics are taken at a quarter of the size


def haze(
    image: Tensor,
    generator: torch.Generator,
    *,
    depth: Tensor | None = None,
    beta: Range = (0.6, 1.8),
    airlight: Range = (0.7, 1.0),
    tint: float = 0.02,
) -> Tensor:
    """`image` in haze: I = J t + A (1 - t), t = exp(-beta d), on sRGB values as RESIDE has it.

    Koschmieder's law in the form of Narasimhan and Nayar, IJCV 2002; ranges of beta and A from the indoor set of
    RESIDE (Li et al., TIP 2019), whose depth is normalised to at most 1.

    Args:
        depth: d as `(H, W)`; None makes one up with `pseudo_depth`.
        beta: scattering coefficient, drawn for the image.
        airlight: A, drawn for the image.
        tint: how far a channel's A may lie from it, on either side.
    """
    strength, level = draw(generator, beta, airlight)
    light = level + tint * (2 * torch.rand(len(image), 1, 1, generator=generator, device=image.device) - 1)
    if depth is None:
        depth = pseudo_depth(image, generator)
    return torch.lerp(light.clamp(0, 1).expand_as(image), image, transmission(depth, strength).expand_as(image))


def transmission(depth: Tensor, beta: float) -> Tensor:
    """The share of light that is not scattered on its way: exp(-beta d), in (0, 1]."""
    return torch.exp(-beta * depth)


def pseudo_depth(
    image: Tensor,
    generator: torch.Generator,
    *,
    frame: int = 480,
    near: Range = (0.1, 0.4),
    far: Range = (0.6, 1.0),
    relief: Range = (0.0, 0.12),
    objects: Range = (0.0, 0.6),
) -> Tensor:
    """A depth `(H, W)` in [0.05, 1] that a photograph could have: near below, far above, edges at its edges.

    A ground plane's gradient, a smooth random relief, and objects: regions of similar colour lie at a similar
    distance, by a random projection of the colours smoothed within its own edges.

    Args:
        frame: height of the photograph that a smaller image is taken for a crop of.
        near: depth at the bottom of the frame.
        far: depth at its top.
        relief: amplitude of the random relief.
        objects: depth difference between opposite colours.
    """
    height, width = image.shape[-2:]
    bottom, top, rough, contrast, offset, tilt = draw(generator, near, far, relief, objects, (0, 1), _TILT)
    rows, columns = max(frame, height), max(frame, width)
    y = (torch.arange(height, device=image.device) + offset * (rows - height)) / rows
    x = torch.arange(width, device=image.device) / columns - 0.5 * width / columns
    gradient = (y[:, None] + tilt * x).clamp(0, 1)
    depth = torch.lerp(gradient.new_tensor(top), gradient.new_tensor(bottom), gradient)
    depth = depth + rough * _smooth_field(height, width, generator) + contrast * _colour_relief(image, generator)
    return depth.clamp(0.05, 1)


def _smooth_field(height: int, width: int, generator: torch.Generator) -> Tensor:
    """`(height, width)` of about unit variance without detail: random nodes, cubic between them."""
    nodes = torch.randn(1, 1, height // _NODE + 2, width // _NODE + 2, generator=generator, device=generator.device)
    return F.interpolate(nodes, size=(height, width), mode="bicubic", align_corners=True)[0, 0]


def _colour_relief(image: Tensor, generator: torch.Generator) -> Tensor:
    """A random projection of the colours with zero mean, flattened within edges by the guided filter.

    He et al., TPAMI 2013, equations 5, 6 and 8, with the image as its own guide; statistics at a low resolution as
    in He and Sun, arXiv 1505.00996.
    """
    direction = torch.randn(len(image), 1, 1, generator=generator, device=image.device)
    guide = (image * direction / direction.norm()).sum(0)[None, None]
    low = (-(-guide.shape[-2] // _STEP), -(-guide.shape[-1] // _STEP))
    moments = F.adaptive_avg_pool2d(torch.cat([guide, guide.square()], dim=1), low)
    mean, square = _box(moments).split(1, dim=1)
    variance = (square - mean.square()).clamp(min=0)
    slope = variance / (variance + 0.02)
    line = _box(torch.cat([slope, mean * (1 - slope)], dim=1))
    slope, intercept = F.interpolate(line, size=guide.shape[-2:], mode="bilinear").split(1, dim=1)
    relief = slope * guide + intercept
    return (relief - relief.mean())[0, 0]


def _box(maps: Tensor) -> Tensor:
    return F.avg_pool2d(maps, 5, stride=1, padding=2, count_include_pad=False)
