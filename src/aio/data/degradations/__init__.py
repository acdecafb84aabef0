"""Degradations synthesised from clean photographs: pure functions of an image and a generator.

Each takes a float32 sRGB image `(C, H, W)` in [0, 1] and a generator on its device, from which all randomness comes,
and returns a new image in [0, 1], of the same shape save where resolution is what is lost. Strengths are keyword
arguments, mostly ranges (low, high) to draw from, whose defaults resemble the field's benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from aio.data.degradations.blur import motion_blur
from aio.data.degradations.camera_noise import camera_noise
from aio.data.degradations.composite import COMPOSITES, Degrade, needs_depth, with_depth
from aio.data.degradations.defocus import defocus
from aio.data.degradations.haze import haze
from aio.data.degradations.jpeg import jpeg
from aio.data.degradations.lowlight import low_light
from aio.data.degradations.lowres import LOW_RES_KERNELS, LowResKernel, low_resolution
from aio.data.degradations.noise import gaussian_noise, gray_noise, restormer_noise
from aio.data.degradations.rain import rain
from aio.data.degradations.realworld import realworld
from aio.data.degradations.snow import snow
from aio.errors import InputError
from aio.vocabulary import SCALES, SIGMA, Degradation

__all__ = [
    "DEGRADE",
    "Degrade",
    "Synthesis",
    "camera_noise",
    "defocus",
    "gaussian_noise",
    "gray_noise",
    "haze",
    "jpeg",
    "low_light",
    "low_resolution",
    "motion_blur",
    "needs_depth",
    "rain",
    "realworld",
    "restormer_noise",
    "snow",
    "with_depth",
]


def one_of(image: Tensor, generator: torch.Generator, *, choices: Sequence[Degrade]) -> Tensor:
    """`image` by one of `choices`, each as likely as any other."""
    chosen = torch.randint(len(choices), (), generator=generator, device=generator.device)
    return choices[int(chosen)](image, generator)


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
    **COMPOSITES,
    "clean": unchanged,
    "defocus": defocus,
    "denoise_real": camera_noise,
    "jpeg": jpeg,
    "realworld": realworld,
}


@dataclass(frozen=True)
class Synthesis:
    """What is left to choose of the degradations that are synthesised.

    Attributes:
        sigma_range: noise levels of `denoise_blind`, on the 0-255 scale.
        sigmas: where some are given, `denoise_blind` has one of these levels, and none between them.
        quantise: whether images with Gaussian noise are clipped and truncated to 8 bit, as all-in-one papers have it in
            training and test alike; without, it is Restormer's protocol, see `gaussian_noise`. Scores under one and the
            other are of different tasks.
        jpeg_quality: of `jpeg`, from 1 to 100.
        defocus_radius: of the blur discs of `defocus`, in pixels.
        severity: of `realworld`, from 0 to 1.
        lr_kernels: how the low-resolution input of super-resolution is made; one is drawn for each sample.
    """

    sigma_range: tuple[float, float] = (0.0, 50.0)
    sigmas: Sequence[float] = ()
    quantise: bool = True
    jpeg_quality: tuple[int, int] = (10, 90)
    defocus_radius: tuple[float, float] = (1.0, 10.0)
    severity: tuple[float, float] = (0.0, 1.0)
    lr_kernels: Sequence[LowResKernel] = ("bicubic",)

    def __post_init__(self) -> None:
        _ascending(0, 255, sigma_range=self.sigma_range)
        if not all(0 <= sigma <= 255 for sigma in self.sigmas):
            raise InputError(f"sigmas {list(self.sigmas)}: expected numbers from 0 to 255")
        _ascending(1, 100, jpeg_quality=self.jpeg_quality)
        _ascending(0, 100, defocus_radius=self.defocus_radius)
        _ascending(0, 1, severity=self.severity)
        if not self.lr_kernels or not set(self.lr_kernels) <= set(LOW_RES_KERNELS):
            raise InputError(f"lr_kernels {list(self.lr_kernels)}: choose one or more of {', '.join(LOW_RES_KERNELS)}")

    def degrade(self, task: Degradation, *, gray: bool = False) -> Degrade:
        """The degradation `task` with these choices; with `gray` for a net of one channel, which sees the luma."""
        if task == "denoise_blind" or task in SIGMA:
            sigma = (float(SIGMA[task]),) * 2 if task in SIGMA else self.sigma_range
            noise = partial(gray_noise if gray else gaussian_noise, quantise=self.quantise)
            if self.sigmas and task == "denoise_blind":
                return partial(one_of, choices=[partial(noise, sigma=(level, level)) for level in self.sigmas])
            return partial(noise, sigma=sigma)
        if task in SCALES:
            return partial(low_resolution, scale=SCALES[task], kernels=self.lr_kernels)
        if task == "jpeg":
            return partial(jpeg, quality=self.jpeg_quality)
        if task == "defocus":
            return partial(defocus, radius=self.defocus_radius)
        if task == "realworld":
            return partial(realworld, severity=self.severity)
        return DEGRADE[task]


def _ascending(lowest: float, highest: float, **ranges: tuple[float, float]) -> None:
    for name, (low, high) in ranges.items():
        if not lowest <= low <= high <= highest:
            raise InputError(f"{name} {(low, high)}: expected two ascending numbers from {lowest} to {highest}")
