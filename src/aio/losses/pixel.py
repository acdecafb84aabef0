"""Pixel losses: mean over all elements, in float32."""

from __future__ import annotations

from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LossType = Literal["l1", "l2", "charbonnier", "psnr"]


class L1(nn.Module):
    """mean |x - y|."""

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        return F.l1_loss(restored.float(), clean.float())


class L2(nn.Module):
    """mean (x - y)^2."""

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        return F.mse_loss(restored.float(), clean.float())


class Charbonnier(nn.Module):
    """mean sqrt((x - y)^2 + eps^2): L1 with a smooth foot (Charbonnier et al., ICIP 1994)."""

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        return torch.sqrt((restored.float() - clean.float()).square() + self.eps**2).mean()


class NegativePSNR(nn.Module):
    """The mean over images of 10 log10(mse + eps): PSNR in dB with its sign turned, as NAFNet is trained (HINet).

    Args:
        ceiling: PSNR in dB which no image exceeds here, -10 log10(eps). An image's share of the gradient is one over
            its error, so that without a low ceiling those that are nearly right outweigh all others.
    """

    def __init__(self, ceiling: float = 80.0) -> None:
        super().__init__()
        self.ceiling = ceiling

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        mse = (restored.float() - clean.float()).square().mean(dim=(1, 2, 3))
        return 10 * torch.log10(mse + 10 ** (-self.ceiling / 10)).mean()


PIXEL_LOSSES: Final[dict[LossType, type[nn.Module]]] = {
    "l1": L1,
    "l2": L2,
    "charbonnier": Charbonnier,
    "psnr": NegativePSNR,
}
