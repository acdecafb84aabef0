"""Edge losses on the Sobel gradient: its difference added, or its magnitude multiplied into the pixel error."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SOBEL_X = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def sobel(image: Tensor) -> Tensor:
    """Horizontal and vertical derivative of each channel: `(B, C, H, W) -> (B, C, 2, H, W)`, zeros outside."""
    channels = image.shape[1]
    x = torch.tensor(_SOBEL_X, dtype=torch.float32, device=image.device)
    kernel = torch.stack([x, x.T])[:, None].repeat(channels, 1, 1, 1)
    with torch.autocast(image.device.type, enabled=False):
        gradient = F.conv2d(image.float(), kernel, padding=1, groups=channels)
    return gradient.unflatten(1, (channels, 2))


class EdgeDifference(nn.Module):
    """Charbonnier distance of the two Sobel gradients, to be added to a pixel loss (as MPRNet's edge loss is)."""

    eps = 1e-3

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        difference = sobel(restored) - sobel(clean)
        return torch.sqrt(difference.square() + self.eps**2).mean()


class EdgeWeighted(nn.Module):
    """sum |x - y| E / sum E with E the gradient magnitude of the clean image: errors on edges count.

    The zeros outside make an edge of the border, as in the x4 DaViT's training; a black image weighs all pixels alike.
    """

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        edges = sobel(clean).square().sum(dim=2).sqrt()
        edges = torch.where(edges.sum() > 0, edges, torch.ones_like(edges))
        return ((restored.float() - clean.float()).abs() * edges).sum() / edges.sum()
