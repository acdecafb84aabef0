"""CSFF, cross-scale feature fusion: merges a skip and the decoder's map of the same size.

Source: the enhanced all-in-one Restormer with LoRA and gates; it replaces Restormer's concatenation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CSFF(nn.Module):
    """m = merge [encoder, decoder]; f = refine m; the result is f * gate(f) + m, all `(B, dim, H, W)`.

    It starts as the mean of both maps, so that an untrained net passes them on at full strength.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_merge = nn.Conv2d(dim * 2, dim, kernel_size=1, bias=False)
        first, second = (nn.Conv2d(dim, dim, kernel_size=3, padding=1, bias=False) for _ in range(2))
        self.conv_refine = nn.Sequential(first, nn.GELU(), second)
        self.attention = nn.Sequential(
            nn.Conv2d(dim, dim // 4, kernel_size=1), nn.ReLU(), nn.Conv2d(dim // 4, dim, kernel_size=1), nn.Sigmoid()
        )
        half = torch.eye(dim)[..., None, None] / 2
        self.conv_merge.weight.data.copy_(torch.cat([half, half], dim=1))
        nn.init.zeros_(second.weight)

    def forward(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        merged = self.conv_merge(torch.cat([encoder, decoder], dim=1))
        refined = self.conv_refine(merged)
        return torch.addcmul(merged, refined, self.attention(refined))


class Concatenate(nn.Module):
    """Restormer's skip, in CSFF's place: `(B, 2 dim, H, W)`."""

    def forward(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return torch.cat([decoder, encoder], dim=1)
