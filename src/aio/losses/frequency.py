"""Frequency loss: distance of the Fourier transforms (Cho et al., MIMO-UNet, ICCV 2021), in the form of MoCE-IR."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Frequency(nn.Module):
    """mean |F(x) - F(y)| over channels and the real and imaginary parts of `F`, in float32.

    `F` is the 2-D real Fourier transform of a channel, `H * (W // 2 + 1)` complex numbers, each the plain sum over all
    pixels. So a constant offset d costs d * W / (2 * (W // 2 + 1)), about d, at any size, and white noise of standard
    deviation s costs s * sqrt(H * W / pi), 72 s at 128 x 128.
    """

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        difference = torch.fft.rfft2(restored.float() - clean.float())  # linear, thus one transform for both
        return torch.view_as_real(difference).abs().mean()
