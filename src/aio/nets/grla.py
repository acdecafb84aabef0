"""GRLA: Gaussian-kernel linear attention for lightweight super-resolution (ICLR 2026 submission 16242).

The paper has no release. Its parameter counts are DCTLSA's to the digit, so that is the skeleton; of each pair
of attention blocks the first is windowed softmax attention and the second linear attention over the whole
image, as its figure 4 draws them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.nets.dctlsa import DCTLSA, LocalAttention, TransformerBlock, WindowedAttention


class SoftmaxWindowAttention(WindowedAttention):
    """Multi-head self-attention in windows, without position bias."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        return logits.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v


def gaussian_linear_attention(q: Tensor, k: Tensor, v: Tensor, gamma: float) -> Tensor:
    """Average of `v` under the first-order Gaussian kernel of L2-normalised `q` and `k`, in float32.

    exp(-gamma |q - k|^2) = phi(q) phi(k) exp(2 gamma q.k), phi(x) = exp(-gamma |x|^2), and the last factor is
    replaced by 1 + 2 gamma q.k (eqs. 6-12). On unit vectors phi is the same for all and cancels between numerator and
    denominator. The denominator is at least 1 - 2 gamma. `(B, N, C)` each; cost and memory are linear in N.
    """
    with torch.autocast(q.device.type, enabled=False):
        q, k, v = 2 * gamma * F.normalize(q.float(), dim=-1), F.normalize(k.float(), dim=-1), v.float()
        weighted = v.mean(dim=-2, keepdim=True) + q @ (k.transpose(-1, -2) @ v / k.shape[-2])
        total = 1 + q @ k.mean(dim=-2).unsqueeze(-1)
        return weighted / total


class GaussianAttention(LocalAttention):
    """GRBFLA: every pixel attends to the whole image, with one head; `gamma` is in units of 1 / sqrt(dim)."""

    def __init__(self, dim: int, gamma: float) -> None:
        super().__init__(dim)
        self.gamma = gamma * dim**-0.5
        if not 0 < 2 * self.gamma < 1:
            raise ValueError(f"gamma must lie in (0, {dim**0.5 / 2:.3g}) at dim {dim}, but is {gamma}")

    def attend(self, qkv: Tensor) -> Tensor:
        q, k, v = qkv.flatten(1, 2).chunk(3, dim=-1)
        out = gaussian_linear_attention(q, k, v, self.gamma).to(v.dtype)
        return out.unflatten(1, qkv.shape[1:3])


class GRLA(DCTLSA):
    """DCTLSA's skeleton with window softmax attention and Gaussian linear attention in turn.

    Args:
        scale: enlargement of both sides.
        in_channels: channels of the input.
        out_channels: channels of the output.
        dim: width of all blocks.
        num_blocks: groups `B1`, `B2`, ..., each of two pairs of attention blocks.
        num_heads: heads of the window attention; must divide `dim`. The linear attention has one.
        window_size: side of an attention window; image sides are multiples of it.
        gamma: bandwidth of the Gaussian kernel in units of 1 / sqrt(dim); table 4 finds 1/2 best.
    """

    global_statistics = True

    def __init__(
        self,
        *,
        scale: int = 4,
        in_channels: int = 3,
        out_channels: int = 3,
        dim: int = 55,
        num_blocks: int = 6,
        num_heads: int = 5,
        window_size: int = 16,
        gamma: float = 0.5,
    ) -> None:
        self.gamma = gamma  # before the skeleton's constructor, which calls `pair`
        super().__init__(
            scale=scale,
            in_channels=in_channels,
            out_channels=out_channels,
            dim=dim,
            num_blocks=num_blocks,
            num_heads=num_heads,
            window_size=window_size,
        )

    def pair(self, dim: int, num_heads: int, window_size: int) -> list[TransformerBlock]:
        """The two blocks of a layer: local, then global."""
        return [
            TransformerBlock(dim, SoftmaxWindowAttention(dim, num_heads, window_size)),
            TransformerBlock(dim, GaussianAttention(dim, self.gamma)),
        ]
