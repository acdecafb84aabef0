"""Rain streaks of several distances and the veil of the drops too far to be seen one by one."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.data.degradations._common import Range, deposit, draw

_FARTHER = 0.6  # a layer's scale relative to the one before it
_SHORTEST, _LONGEST = 0.4, 2.2  # streaks of a layer relative to its mean, which the squared draw makes 1
_JITTER = math.radians(1.5)  # wind: streaks of one layer are nearly parallel


def rain(
    image: Tensor,
    generator: torch.Generator,
    *,
    angle: Range = (-30.0, 30.0),
    length: Range = (24.0, 75.0),
    thickness: Range = (0.5, 0.95),
    density: Range = (0.8, 1.9),
    brightness: Range = (0.12, 0.36),
    layers: tuple[int, int] = (1, 2),
    veil: Range = (0.0, 0.02),
    airlight: float = 0.9,
    composition: Literal["additive", "screen"] = "additive",
) -> Tensor:
    """`image` behind rain: O = a (B + sum of S_i) + (1 - a) A (Yang et al., JORDER, CVPR 2017, section 3).

    The defaults resemble Rain100L.

    Args:
        angle: of the streaks from the vertical, in degrees.
        length: of the nearest layer's mean streak, in pixels.
        thickness: standard deviation of a streak's cross-section in the nearest layer, in pixels.
        density: streaks per 1000 pixels in the nearest layer.
        brightness: mean brightness of the nearest layer's streaks.
        layers: how many distances, both included; each is smaller, fainter and more numerous than the one before.
        veil: 1 - a, the share of light scattered in by distant rain.
        airlight: A, the colour of that light.
        composition: "additive" clips B + S, as the benchmarks do; "screen" gives B + S (1 - B), a drop before a
            bright sky being hard to see (Garg and Nayar, Vision and Rain, IJCV 2007).
    """
    tilt, span, spread, number, peak, haze = draw(generator, angle, length, thickness, density, brightness, veil)
    count = int(torch.randint(layers[0], layers[1] + 1, (), generator=generator, device=generator.device))
    height, width = image.shape[-2:]
    streaks = torch.zeros_like(image[0])
    for layer in range(count):
        scale = _FARTHER**layer
        streaks = streaks + streak_layer(
            (height, width),
            generator,
            angle=math.radians(tilt),
            length=span * scale,
            thickness=spread * scale,
            density=number / scale**2 / 1000,
            brightness=peak * scale,
        )
    streaks = streaks.clamp(max=1)
    light = image + streaks if composition == "additive" else image + streaks * (1 - image)
    return light.clamp(max=1).lerp(torch.full_like(image, airlight), haze)


def streak_layer(
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    angle: float,
    length: float,
    thickness: float,
    density: float,
    brightness: float,
) -> Tensor:
    """`(H, W)` of streaks at one distance, not clipped: drops smeared along their path, `angle` in radians.

    As in Rain100L, most are short and faint, few are long or bright: lengths lie between 0.4 and 2.2 times the
    mean, brightness has a Rayleigh distribution. Each fades in and out along its path.
    """
    device = generator.device
    margin = math.ceil(3 * thickness)
    height, width = (side + 2 * margin for side in size)
    reach_y, reach_x = (0.5 * _LONGEST * length * abs(f(angle)) for f in (math.cos, math.sin))
    area = (height + 2 * reach_y) * (width + 2 * reach_x)
    draws = torch.rand(5, round(density * area), 1, generator=generator, device=device)
    y = draws[0] * (height + 2 * reach_y) - reach_y
    x = draws[1] * (width + 2 * reach_x) - reach_x
    lengths = length * (_SHORTEST + (_LONGEST - _SHORTEST) * draws[2].square())
    headings = angle + _JITTER * (2 * draws[3] - 1)
    peaks = brightness * (-torch.log1p(-draws[4]) / (math.pi / 4)).sqrt()
    along = torch.linspace(-0.5, 0.5, math.ceil(_LONGEST * length) + 1, device=device)
    mass = peaks * lengths * torch.cos(math.pi * along) ** 2 / len(along)
    path = lengths * along
    layer = deposit(y + path * torch.cos(headings), x + path * torch.sin(headings), mass, height, width)
    return _thicken(layer, thickness, margin)


def _thicken(layer: Tensor, sigma: float, margin: int) -> Tensor:
    """Gaussian cross-section of height 1 for a line that carried 1 per pixel of its length; cuts `margin` off."""
    offsets = torch.arange(-margin, margin + 1, device=layer.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    layer = F.conv2d(layer[None, None], kernel.view(1, 1, -1, 1))
    return F.conv2d(layer, kernel.view(1, 1, 1, -1))[0, 0] * (sigma * math.sqrt(2 * math.pi))
