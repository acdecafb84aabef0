"""Additive white Gaussian noise, by the protocol of the all-in-one papers or by that of Restormer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from aio.colour import luma
from aio.data.degradations._common import Range, draw


def gaussian_noise(
    image: Tensor, generator: torch.Generator, *, sigma: Range = (0.0, 50.0), quantise: bool = True
) -> Tensor:
    """`image` with noise whose sigma, on the 0-255 scale, is drawn from a range: (25, 25) fixes it.

    quantise=True is the all-in-one protocol (Li et al., AirNet, CVPR 2022; Potlapalli et al., PromptIR, NeurIPS
    2023): the sum is clipped to [0, 255] and truncated, not rounded, to 8 bit, in training and test alike. The
    result is half a level darker on average.
    quantise=False is Restormer's (Zamir et al., CVPR 2022): float, neither clipped nor rounded, so
    that the result leaves [0, 1].
    """
    (level,) = draw(generator, sigma)
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    if not quantise:
        return image + noise * (level / 255)
    noisy = noise.mul_(level).add_((image * 255).round_())
    return noisy.clamp_(0, 255).floor_().div_(255)


def gray_noise(
    image: Tensor, generator: torch.Generator, *, sigma: Range = (0.0, 50.0), quantise: bool = True
) -> Tensor:
    """The luma of `image`, three times, with one and the same `gaussian_noise`.

    A net of one channel sees the luma of its input, in which noise of three channels would shrink to two thirds.
    """
    return gaussian_noise(luma(image), generator, sigma=sigma, quantise=quantise).repeat(image.shape[-3], 1, 1)


def restormer_noise(image: Tensor, generator: torch.Generator, *, sigma: float, gray: bool = False) -> Tensor:
    """`image` with the noise of Restormer's test: float, neither clipped nor rounded, and not from `generator`.

    NumPy's legacy normal numbers from seed 0 in the order (row, column, channel), anew for each image, so that all
    images of one size get the same noise. `sigma` is on the 0-255 scale. With `gray` it falls on the luma, which stands
    in all channels of the result.
    """
    if gray and image.shape[0] > 1:
        return restormer_noise(luma(image), generator, sigma=sigma).repeat(image.shape[0], 1, 1)
    channels, height, width = image.shape
    noise = np.random.RandomState(0).normal(0, sigma / 255, (height, width, channels))
    return (image.double() + torch.from_numpy(noise).permute(2, 0, 1).to(image.device)).to(image.dtype)
