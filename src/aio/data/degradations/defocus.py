"""Defocus: the blur disc of a lens, of one radius or growing with the distance from the plane of focus."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.colour import to_linear, to_srgb
from aio.data.degradations._common import Range, draw, to_8_bit
from aio.data.degradations.blur import convolve
from aio.data.degradations.haze import pseudo_depth

_LEVELS = 4  # radii that an image is blurred with; a pixel lies between two of them
_KNEE = 0.7  # of linear light: what is brighter has been compressed by the camera
_FEWEST, _MOST = 5, 9  # blades of an iris
_FINER = 3  # an aperture is drawn at so many times the resolution, odd
_NEAREST = 0.01


def defocus(
    image: Tensor,
    generator: torch.Generator,
    *,
    radius: Range = (1.0, 10.0),
    varying: float = 0.7,
    focus: Range = (0.05, 0.6),
    roundness: Range = (0.3, 1.0),
    highlights: Range = (1.0, 4.0),
    depth: Tensor | None = None,
    quantise: bool = True,
) -> Tensor:
    """`image` out of focus: every pixel is the mean of the linear light that the aperture's image covers round it.

    By the thin lens, the circle of confusion of a point at distance d has the radius r |1 - f / d|, f being the
    distance of the plane of focus (Potmesil and Chakravarty, SIGGRAPH 1981, equation 5). Beyond its borders the image
    is taken as mirrored.

    Args:
        radius: r, of what is infinitely far, in pixels; no point has a larger one.
        varying: the share of images in which depth varies; in the others every point has the radius r.
        focus: f, on the scale of depth.
        roundness: of the aperture: 0 is a polygon of 5 to 9 blades, 1 a disc.
        highlights: how many times brighter than white the brightest light was, of which lamps become discs.
        depth: d as `(H, W)`, at most 1; None makes one up with `pseudo_depth`.
        quantise: rounds to 8 bit, as a file would.
    """
    reach, plane, brightest, chance = draw(generator, radius, focus, highlights, (0, 1))
    kernels = aperture([reach * (k + 1) / _LEVELS for k in range(_LEVELS)], generator, roundness=roundness)
    light = _expand(to_linear(image), brightest)
    if chance < varying:
        distance = pseudo_depth(image, generator) if depth is None else depth.clamp(min=_NEAREST)
        blurred = _by_level(light, kernels, (1 - plane / distance).abs().clamp(max=1) * _LEVELS)
    else:
        blurred = convolve(light, kernels[-1])
    result = to_srgb(_compress(blurred, brightest))
    return to_8_bit(result) if quantise else result


def aperture(radii: list[float], generator: torch.Generator, *, roundness: Range = (0.3, 1.0)) -> Tensor:
    """`(N, K, K)`: one aperture at several sizes, each with sum 1, antialiased; K is odd and holds the largest.

    Args:
        radii: of the discs with the same area, in pixels.
        roundness: 0 is a regular polygon, turned at random; 1 a disc.
    """
    device = generator.device
    round_, turn = draw(generator, roundness, (0, 2 * math.pi))
    blades = int(torch.randint(_FEWEST, _MOST + 1, (), generator=generator, device=device))
    half = math.ceil(1.3 * max(radii)) + 1  # a pentagon's corners lie 1.15 radii out
    axis = (torch.arange((2 * half + 1) * _FINER, device=device) - (half * _FINER + _FINER // 2)) / _FINER
    y, x = axis[:, None], axis[None]
    sector = 2 * math.pi / blades
    angle = (torch.atan2(y, x) + turn) % sector - sector / 2
    straight = math.sqrt(sector / (2 * math.tan(sector / 2))) / torch.cos(angle)  # of area pi
    border = torch.lerp(straight, torch.ones_like(straight), round_)
    inside = border * torch.tensor(radii, device=device).view(-1, 1, 1) - torch.hypot(y, x)
    cover = F.avg_pool2d((inside * _FINER + 0.5).clamp(0, 1), _FINER)
    return cover / cover.sum((1, 2), keepdim=True)


def _by_level(light: Tensor, kernels: Tensor, level: Tensor) -> Tensor:
    """Every pixel between the two blurs next to its `level (H, W)`, 0 being sharp and `len(kernels)` the last."""
    steps = torch.arange(len(kernels) + 1, device=light.device).view(-1, 1, 1)
    weights = (1 - (level - steps).abs()).clamp(min=0)
    result = light * weights[0]
    for blur, weight in zip(convolve(light, kernels[:, None]), weights[1:], strict=True):
        result.addcmul_(blur, weight)
    return result


def _expand(light: Tensor, brightest: float) -> Tensor:
    """Linear light before the camera compressed what is above the knee; 1 becomes `brightest`."""
    above = ((light - _KNEE) / (1 - _KNEE)).clamp(min=0)
    return light + (brightest - 1) * above.square()


def _compress(light: Tensor, brightest: float) -> Tensor:
    """The inverse of `_expand`."""
    above, width = (light - _KNEE).clamp(min=0), 1 - _KNEE
    part = 2 * above / (width + (width**2 + 4 * (brightest - 1) * above).sqrt())
    return light.clamp(max=_KNEE) + width * part
