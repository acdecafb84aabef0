"""Degradations synthesised from clean photographs: pure functions of an image and a generator.

Each takes a float32 sRGB image `(C, H, W)` in [0, 1] and a generator on its device, from which all randomness comes,
and returns a new image in [0, 1], of the same shape save where resolution is what is lost. Strengths are keyword
arguments, mostly ranges (low, high) to draw from, whose defaults resemble the field's benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from aio.data.degradations.blur import motion_blur
from aio.data.degradations.haze import haze
from aio.data.degradations.lowlight import low_light
from aio.data.degradations.lowres import LOW_RES_KERNELS, LowResKernel, low_resolution
from aio.data.degradations.noise import gaussian_noise
from aio.data.degradations.rain import rain
from aio.data.degradations.snow import snow
from aio.errors import InputError
from aio.vocabulary import SCALES, Degradation

__all__ = [
    "DEGRADE",
    "Degrade",
    "Synthesis",
    "gaussian_noise",
    "haze",
    "low_light",
    "low_resolution",
    "motion_blur",
    "rain",
    "snow",
]

Degrade = Callable[[Tensor, torch.Generator], Tensor]


def in_turn(image: Tensor, generator: torch.Generator, *, steps: Sequence[Degrade]) -> Tensor:
    """One degradation upon the other: first the light fails, then rain or snow falls, and haze lies before them.

    The order of CDD-11 (Guo et al., OneRestore, ECCV 2024, eq. 1).
    """
    for step in steps:
        image = step(image, generator)
    return image


def unchanged(image: Tensor, generator: torch.Generator) -> Tensor:
    """`image` itself, of which nothing is to be restored."""
    return image.clone()


DEGRADE: Final[dict[Degradation, Degrade]] = {
    "denoise_15": partial(gaussian_noise, sigma=(15.0, 15.0)),
    "denoise_25": partial(gaussian_noise, sigma=(25.0, 25.0)),
    "denoise_50": partial(gaussian_noise, sigma=(50.0, 50.0)),
    "derain": rain,
    "dehaze": haze,
    "deblur": motion_blur,
    "lowlight": low_light,
    "denoise_blind": gaussian_noise,
    **{task: partial(low_resolution, scale=scale) for task, scale in SCALES.items()},
    "desnow": snow,
    "low_haze": partial(in_turn, steps=(low_light, haze)),
    "low_rain": partial(in_turn, steps=(low_light, rain)),
    "low_snow": partial(in_turn, steps=(low_light, snow)),
    "haze_rain": partial(in_turn, steps=(rain, haze)),
    "haze_snow": partial(in_turn, steps=(snow, haze)),
    "low_haze_rain": partial(in_turn, steps=(low_light, rain, haze)),
    "low_haze_snow": partial(in_turn, steps=(low_light, snow, haze)),
    "clean": unchanged,
}


@dataclass(frozen=True)
class Synthesis:
    """What is left to choose of the degradations that are synthesised.

    Attributes:
        sigma_range: noise levels of `denoise_blind`, on the 0-255 scale.
        lr_kernels: how the low-resolution input of super-resolution is made; one is drawn for each sample.
    """

    sigma_range: tuple[float, float] = (0.0, 50.0)
    lr_kernels: Sequence[LowResKernel] = ("bicubic",)

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_range[0] <= self.sigma_range[1] <= 255:
            raise InputError(f"sigma_range {self.sigma_range}: expected two ascending numbers from 0 to 255")
        if not self.lr_kernels or not set(self.lr_kernels) <= set(LOW_RES_KERNELS):
            raise InputError(f"lr_kernels {list(self.lr_kernels)}: choose one or more of {', '.join(LOW_RES_KERNELS)}")

    def degrade(self, task: Degradation) -> Degrade:
        """The degradation `task` with these choices."""
        if task == "denoise_blind":
            return partial(gaussian_noise, sigma=self.sigma_range)
        if task in SCALES:
            return partial(low_resolution, scale=SCALES[task], kernels=self.lr_kernels)
        return DEGRADE[task]
