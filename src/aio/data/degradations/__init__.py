"""Degradations synthesised from clean photographs: pure functions of an image and a generator.

Each takes a float32 sRGB image `(C, H, W)` in [0, 1] and a generator on its device, from which all randomness comes,
and returns a new image of the same shape in [0, 1]. Strengths are keyword arguments, mostly ranges (low, high) to
draw from, whose defaults resemble the field's benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor

from aio.data.degradations.blur import motion_blur
from aio.data.degradations.haze import haze
from aio.data.degradations.lowlight import low_light
from aio.data.degradations.noise import gaussian_noise
from aio.data.degradations.rain import rain
from aio.vocabulary import Degradation

__all__ = ["DEGRADE", "Degrade", "blind_noise", "gaussian_noise", "haze", "low_light", "motion_blur", "rain"]

Degrade = Callable[[Tensor, torch.Generator], Tensor]


def blind_noise(sigma: tuple[float, float] = (0.0, 50.0)) -> Degrade:
    """Noise of the all-in-one protocol whose level is drawn from `sigma`, on the 0-255 scale."""
    return partial(gaussian_noise, sigma=sigma)


DEGRADE: Final[dict[Degradation, Degrade]] = {
    "denoise_15": partial(gaussian_noise, sigma=(15.0, 15.0)),
    "denoise_25": partial(gaussian_noise, sigma=(25.0, 25.0)),
    "denoise_50": partial(gaussian_noise, sigma=(50.0, 50.0)),
    "derain": rain,
    "dehaze": haze,
    "deblur": motion_blur,
    "lowlight": low_light,
    "denoise_blind": blind_noise(),
}
