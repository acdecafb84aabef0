"""Additive white Gaussian noise, by the protocol of the all-in-one papers or by that of Restormer."""

from __future__ import annotations

import torch
from torch import Tensor

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
    return ((image * 255).round() + noise * level).clamp(0, 255).floor() / 255
