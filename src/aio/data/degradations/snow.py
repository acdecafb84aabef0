"""Falling snow: flakes of several distances, whose opacity veils what is behind them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aio.data.degradations._common import Range, draw
from aio.data.degradations.rain import streak_layer

_FARTHER = 0.55  # a layer's flakes relative to those of the layer before it
_USUAL = 1.5  # radius
_FALL = 4.0  # length of a flake's blur over its thickness


def snow(
    image: Tensor,
    generator: torch.Generator,
    *,
    angle: Range = (-40.0, 40.0),
    radius: Range = (0.9, 2.4),
    density: Range = (1.0, 6.0),
    opacity: Range = (0.5, 1.0),
    layers: tuple[int, int] = (2, 3),
    brightness: Range = (0.85, 1.0),
) -> Tensor:
    """`image` behind snow: O = B (1 - M) + s M, M the opacity of the flakes (Liu et al., DesnowNet, TIP 2018, eq. 1).

    With the defaults M is 0.06 on average, as in the lighter half of CDD-11's masks.

    Args:
        angle: of the fall from the vertical, in degrees.
        radius: standard deviation of a flake's cross-section in the nearest layer, in pixels.
        density: flakes per 1000 pixels in the nearest layer where their radius is 1.5; large ones are fewer.
        opacity: mean opacity at the centre of the nearest layer's flakes.
        layers: how many distances, both included; each is smaller, fainter and more numerous than the one before.
        brightness: s, how white the flakes are.
    """
    tilt, spread, number, peak, white = draw(generator, angle, radius, density, opacity, brightness)
    count = int(torch.randint(layers[0], layers[1] + 1, (), generator=generator, device=generator.device))
    clear = torch.ones_like(image[0])
    for layer in range(count):
        scale = _FARTHER**layer
        flakes = streak_layer(
            (image.shape[-2], image.shape[-1]),
            generator,
            angle=math.radians(tilt),
            length=_FALL * spread * scale,
            thickness=spread * scale,
            density=number * (_USUAL / spread) / scale**2 / 1000,
            brightness=peak * scale**0.5,
        )
        clear = clear * (1 - flakes.clamp(0, 1))
    return image * clear + white * (1 - clear)
