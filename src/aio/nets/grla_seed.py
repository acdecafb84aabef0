"""The GRLA re-implementation github.com/redscarfx/GRLA: lightweight super-resolution of the Y channel.

Keys and outputs are those of that release. Its linear attention is not the paper's (see grla.py): queries and
keys pass a Gaussian feature map element by element, unnormalised, and there is no dense aggregation.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from aio.nets.base import RestorationNet


def local_features(dim: int) -> nn.Sequential:
    """LFE: batch norm, 1x1, depthwise 3x3, batch norm, 1x1; every convolution with a bias."""
    return nn.Sequential(
        nn.BatchNorm2d(dim),
        nn.Conv2d(dim, dim, kernel_size=1),
        nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim),
        nn.BatchNorm2d(dim),
        nn.Conv2d(dim, dim, kernel_size=1),
    )


def feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim * 2), nn.GELU(), nn.Linear(dim * 2, dim))


def normalisation(dim: int, layer_norm: bool) -> nn.Module:
    return nn.LayerNorm(dim) if layer_norm else nn.Identity()


class WindowAttention(nn.Module):
    """Softmax attention of `(B, H, W, C)` inside windows that neither overlap nor shift; no position bias."""

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads, self.window_size = num_heads, window_size
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        rows, size = x.shape[1] // self.window_size, self.window_size
        windows = "b (h y) (w x) (three n c) -> three (b h w) n (y x) c"
        q, k, v = rearrange(self.qkv(x), windows, three=3, n=self.num_heads, y=size, x=size)
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        out = logits.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v
        out = rearrange(out, "(b h w) n (y x) c -> b (h y) (w x) (n c)", b=x.shape[0], h=rows, y=size)
        return self.proj(out)


class TWSA(nn.Module):
    """Transformer with window self-attention, on `(B, C, H, W)`: x + LFE, x + attention, x + FFN."""

    def __init__(self, dim: int, num_heads: int, window_size: int, layer_norm: bool) -> None:
        super().__init__()
        self.LFE = local_features(dim)
        self.norm1 = normalisation(dim, layer_norm)
        self.MHSA = WindowAttention(dim, num_heads, window_size)
        self.norm2 = normalisation(dim, layer_norm)
        self.FFN = feed_forward(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = (x + self.LFE(x)).permute(0, 2, 3, 1)
        x = x + self.MHSA(self.norm1(x))
        x = x + self.FFN(self.norm2(x))
        return x.permute(0, 3, 1, 2)


def feature_map(t: Tensor, gamma: float) -> Tensor:
    """exp(-gamma t^2) exp(2 gamma t) + 1e-6, as one exponential.

    Apart, the second factor overflows where the first underflows, and their product is not a number; together
    they stay below e^gamma.
    """
    return torch.exp(gamma * t * (2 - t)) + 1e-6


def kernel_attention(q: Tensor, k: Tensor, v: Tensor, gamma: float) -> Tensor:
    """phi(q) (phi(k)^T v) / (phi(q) sum phi(k)) over all tokens of `(B, N, C)`, in float32; linear in N."""
    with torch.autocast(q.device.type, enabled=False):
        q, k = feature_map(q.float(), gamma), feature_map(k.float(), gamma)
        weighted = q @ (k.transpose(-1, -2) @ v.float())
        total = q @ k.sum(dim=-2).unsqueeze(-1)
        return weighted / (total + 1e-6)


class TLA(nn.Module):
    """Transformer with linear attention over the whole image, one head: x + LFE, x + attention, x + FFN."""

    gamma = 0.5

    def __init__(self, dim: int, layer_norm: bool) -> None:
        super().__init__()
        self.LFE = local_features(dim)
        self.qkv = nn.Conv2d(dim, dim * 3, kernel_size=1, bias=False)
        self.proj = nn.Conv2d(dim, dim, kernel_size=1)
        self.norm2 = normalisation(dim, layer_norm)
        self.FFN = feed_forward(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.LFE(x)
        q, k, v = rearrange(self.qkv(x), "b c h w -> b (h w) c").chunk(3, dim=-1)
        out = kernel_attention(q, k, v, self.gamma).to(v.dtype)
        x = x + self.proj(rearrange(out, "b (h w) c -> b c h w", h=x.shape[-2]))
        x = x.permute(0, 2, 3, 1)
        x = x + self.FFN(self.norm2(x))
        return x.permute(0, 3, 1, 2)


class GRLABlock(nn.Module):
    """x + TLA(TWSA(conv1x1 x))."""

    def __init__(self, dim: int, num_heads: int, window_size: int, layer_norm: bool) -> None:
        super().__init__()
        self.twsa = TWSA(dim, num_heads, window_size, layer_norm)
        self.tla = TLA(dim, layer_norm)
        self.conv = nn.Conv2d(dim, dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.tla(self.twsa(self.conv(x)))


class GRLASeed(RestorationNet):
    """Convolution, residual body of GRLA blocks, then a wide pixel-shuffle; one channel in, one out.

    Args:
        scale: enlargement of both sides.
        dim: width of all blocks.
        num_blocks: GRLA blocks; the release's configuration calls six "5", since it adds one.
        num_heads: heads of the window attention; must divide `dim`. The linear attention has one.
        window_size: side of an attention window; image sides are multiples of it.
        layer_norm: the release's option, off in its weights: layer norms before attention and FFN.
    """

    global_statistics = True
    in_channels = 1
    out_channels = 1

    def __init__(
        self,
        *,
        scale: int = 4,
        dim: int = 55,
        num_blocks: int = 6,
        num_heads: int = 5,
        window_size: int = 8,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.multiple_of = scale, window_size
        self.head = nn.Conv2d(1, dim, kernel_size=3, padding=1)
        self.body = nn.Sequential(
            *(GRLABlock(dim, num_heads, window_size, layer_norm) for _ in range(num_blocks)),
            nn.Conv2d(dim, dim, kernel_size=1),
            nn.Conv2d(dim, dim, kernel_size=3, padding=1),
        )
        self.tail = nn.Sequential(
            nn.Conv2d(dim, dim * scale**2, kernel_size=3, padding=1),
            nn.PixelShuffle(scale),
            nn.Conv2d(dim, 1, kernel_size=3, padding=1),
        )

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        shallow = self.head(image.contiguous(memory_format=torch.channels_last))
        return self.tail(shallow + self.body(shallow))
