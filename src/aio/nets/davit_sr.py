"""Craap SR: super-resolution by a chain of DaViT pairs (window attention, then channel attention).

Keys and outputs are those of the release, github.com/Craap/image-generation; dual attention is that of
Ding et al., DaViT, ECCV 2022. There is no skip over the chain: the last convolution draws the whole image.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from aio.nets.base import RestorationNet


class _Projections(nn.Module):
    """The four linear maps of an attention over `(B, H, W, C)`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.project_q = nn.Linear(dim, dim)
        self.project_k = nn.Linear(dim, dim)
        self.project_v = nn.Linear(dim, dim)
        self.project_out = nn.Linear(dim, dim)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.project_q(x), self.project_k(x), self.project_v(x)


class WindowAttention(_Projections):
    """Pixels attend to pixels inside windows that neither overlap nor shift; no position bias."""

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__(dim, num_heads)
        self.window_size = window_size

    def forward(self, x: Tensor) -> Tensor:
        rows, size = x.shape[1] // self.window_size, self.window_size
        windows = "b (h y) (w x) (n c) -> (b h w) n (y x) c"
        q, k, v = (rearrange(t, windows, n=self.num_heads, y=size, x=size) for t in self.project(x))
        # The release divides q and k each by the head's width; attention usually divides once, by its root.
        logits = q / q.shape[-1] ** 2 @ k.transpose(-1, -2)
        out = logits.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v
        out = rearrange(out, "(b h w) n (y x) c -> b (h y) (w x) (n c)", b=x.shape[0], h=rows, y=size)
        return self.project_out(out)


class ChannelAttention(_Projections):
    """Channels attend to channels of the same head, over all pixels.

    q and k are each divided by the number of pixels, as in the release: the larger the image, the closer the
    attention is to a mean over the head's channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (rearrange(t, "b h w (n c) -> b n (h w) c", n=self.num_heads) for t in self.project(x))
        with torch.autocast(x.device.type, enabled=False):
            logits = q.float().transpose(-1, -2) @ k.float() / q.shape[-2] ** 2
        out = v @ logits.softmax(dim=-1).transpose(-1, -2).to(v.dtype)
        return self.project_out(rearrange(out, "b n (h w) c -> b h w (n c)", h=x.shape[1]))


class AttentionBlock(nn.Module):
    """x + attention(LN x), then x + MLP(LN x), on `(B, C, H, W)`."""

    def __init__(self, dim: int, attention: nn.Module) -> None:
        super().__init__()
        self.window_attention = attention  # the release's name in both kinds of block
        self.mlp = nn.Sequential(nn.Linear(dim, dim * 4), nn.GELU(), nn.Linear(dim * 4, dim))
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = x + self.window_attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x.permute(0, 3, 1, 2)


class DaViTSR(RestorationNet):
    """Convolution, pairs of window and channel attention, convolution, pixel-shuffle.

    Args:
        scale: enlargement of both sides.
        in_channels: channels of the input.
        out_channels: channels of the output.
        dim: width of all blocks.
        num_blocks: pairs of window and channel attention.
        num_heads: attention heads; must divide `dim`.
        window_size: side of an attention window; image sides are multiples of it.
    """

    global_statistics = True

    def __init__(
        self,
        *,
        scale: int = 4,
        in_channels: int = 3,
        out_channels: int = 3,
        dim: int = 256,
        num_blocks: int = 8,
        num_heads: int = 16,
        window_size: int = 4,
    ) -> None:
        super().__init__()
        self.scale, self.multiple_of = scale, window_size
        self.in_channels, self.out_channels = in_channels, out_channels

        def pair() -> nn.Sequential:
            window = AttentionBlock(dim, WindowAttention(dim, num_heads, window_size))
            return nn.Sequential(window, AttentionBlock(dim, ChannelAttention(dim, num_heads)))

        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, dim, kernel_size=3, padding=1),
            *(pair() for _ in range(num_blocks)),
            nn.Conv2d(dim, out_channels * scale**2, kernel_size=3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        centred = (image - 0.5).contiguous(memory_format=torch.channels_last)
        return self.layers(centred) + 0.5
