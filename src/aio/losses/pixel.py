"""Pixel losses: mean over all elements, in float32."""

from __future__ import annotations

from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LossType = Literal["l1", "l2", "charbonnier"]


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


PIXEL_LOSSES: Final[dict[LossType, type[nn.Module]]] = {"l1": L1, "l2": L2, "charbonnier": Charbonnier}
