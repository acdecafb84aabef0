"""What two or more nets use unchanged: the Restormer transformer block, its resampling, a plain residual block.

Source: Zamir et al., Restormer, CVPR 2022, sections 3.1 (MDTA) and 3.2 (GDFN).
Maps are channels-last in memory: a layer norm and an attention product then read them without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

NormType = Literal["WithBias", "BiasFree"]
ChannelSums = tuple[Tensor, Tensor, Tensor]

_STRIP: Final = 2**22  # values of a strip's map: 16 MiB, which a cache and the allocator's reused memory hold
_ROWS: Final = 16  # of a strip at least, as it computes two rows of its neighbours again


class _AffineOfNorm(nn.Module):
    """Holds weight and bias under the official key `body`."""

    def __init__(self, dim: int, with_bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if with_bias else None


class LayerNorm(nn.Module):
    """Normalises the channels of each pixel of `(B, C, H, W)`, in float32.

    `BiasFree` divides by the standard deviation without subtracting the mean, as the official code does.
    """

    eps = 1e-5

    def __init__(self, dim: int, norm_type: NormType = "WithBias") -> None:
        super().__init__()
        self.body = _AffineOfNorm(dim, norm_type == "WithBias")

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1).float()
        if self.body.bias is not None:
            y = F.layer_norm(y, y.shape[-1:], self.body.weight.float(), self.body.bias.float(), self.eps)
        else:
            variance = y.var(dim=-1, keepdim=True, unbiased=False)
            y = y * torch.rsqrt(variance + self.eps) * self.body.weight.float()
        return y.to(x.dtype).permute(0, 3, 1, 2)


def strips(x: Tensor, pointwise: nn.Module, depthwise: nn.Conv2d) -> Iterator[Tensor]:
    """`depthwise(pointwise(x))` in strips of rows from top to bottom, for a 3x3 after a 1x1 convolution.

    These are the widest maps of a block, and storing them costs more than computing them: a strip is used up while
    it is in the cache, and its memory serves the next one.
    """
    height, count = x.shape[-2], _strip_count(x, pointwise, depthwise.out_channels)
    if count == 1:
        yield depthwise(pointwise(x))
        return
    for top, bottom in pairwise(height * i // count for i in range(count + 1)):
        above = min(top, 1)
        maps = depthwise(pointwise(x[:, :, top - above : bottom + 1]))
        yield maps[:, :, above : above + bottom - top]


def _strip_count(x: Tensor, pointwise: nn.Module, width: int) -> int:
    """One strip where nothing is gained: off the CPU, and where a backward pass needs all maps anyway.

    One too in a trace, which must hold for other sizes, and where `pointwise` may see farther than one pixel.
    """
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined]
    if torch.is_grad_enabled() or traced or not x.is_cpu or not isinstance(pointwise, nn.Conv2d):
        return 1
    batch, _, height, columns = x.shape
    return max(1, min(math.ceil(batch * width * height * columns / _STRIP), height // _ROWS))


def alone(part: Tensor) -> Tensor:
    """`part` of a strip to be kept: copied, as a view keeps all of the strip, unless a backward pass does so anyway."""
    return part if torch.is_grad_enabled() else part.contiguous()


def join(parts: list[Tensor], dim: int) -> Tensor:
    """The whole of what was computed strip by strip; a single part is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


class MDTA(nn.Module):
    """Multi-Dconv head transposed attention: channels attend to channels (eq. 1).

    `(B, C, H, W) -> (B, C, H, W)`. Two products are reordered, with the same result: q and k are
    normalised after their product (by its rows and columns) rather than before, and the output
    projection is multiplied into the attention matrix before it meets the values. Of a strip of q and k
    only its share in the product remains.
    """

    def __init__(self, dim: int, num_heads: int, bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(dim, dim * 3, kernel_size=1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(dim * 3, dim * 3, kernel_size=3, padding=1, groups=dim * 3, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        sums, values = [], []
        for maps in strips(x, self.qkv, self.qkv_dwconv):
            q, k, v = rearrange(maps, "b c h w -> b (h w) c").chunk(3, dim=-1)
            sums.append(channel_sums(q, k, self.num_heads))
            values.append(alone(v))
        attention = channel_attention(sums, self.temperature)
        weight = rearrange(self.project_out.weight, "o (n c) 1 1 -> n o c", n=self.num_heads)
        mix = rearrange(weight.to(attention.dtype) @ attention, "b n o c -> b (n c) o")
        v = join(values, dim=1)
        out = v @ mix.to(v.dtype)
        if self.project_out.bias is not None:
            out = out + self.project_out.bias
        return rearrange(out, "b (h w) c -> b c h w", h=x.shape[-2])


def transposed_attention(q: Tensor, k: Tensor, temperature: Tensor) -> Tensor:
    """softmax(temperature * cos(q_i, k_j)) over key channels j, in float32.

    `q`, `k`: `(B, H*W, heads * c)`; `temperature`: `(heads, 1, 1)`; returns `(B, heads, c, c)`.
    """
    return channel_attention([channel_sums(q, k, temperature.shape[0])], temperature)


def channel_sums(q: Tensor, k: Tensor, heads: int) -> ChannelSums:
    """q^T k `(B, heads, c, c)`, |q_i|^2 and |k_j|^2 `(B, heads, c)`, in float32: they add up over pixels."""
    with torch.autocast(q.device.type, enabled=False):
        q, k = (rearrange(t.float(), "b l (n c) -> b n l c", n=heads) for t in (q, k))
        return q.mT @ k, q.square().sum(dim=-2), k.square().sum(dim=-2)


def channel_attention(sums: Sequence[ChannelSums], temperature: Tensor) -> Tensor:
    """`transposed_attention` from the sums of all strips."""
    with torch.autocast(temperature.device.type, enabled=False):
        product, q_square, k_square = (sum(parts[1:], parts[0]) for parts in zip(*sums, strict=True))
        # The root of zero has no slope, and a constant instead has slope zero.
        q_norm, k_norm = (square.clamp_min(1e-24).sqrt() for square in (q_square, k_square))
        cosine = product / (q_norm[..., :, None] * k_norm[..., None, :])
        return (cosine * temperature.float()).softmax(dim=-1)


class GDFN(nn.Module):
    """Gated-Dconv feed-forward network (eq. 2): GELU of one half of the hidden maps gates the other."""

    def __init__(self, dim: int, ffn_expansion_factor: float = 2.66, bias: bool = False) -> None:
        super().__init__()
        hidden = int(dim * ffn_expansion_factor)
        self.project_in = nn.Conv2d(dim, hidden * 2, kernel_size=1, bias=bias)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, kernel_size=3, padding=1, groups=hidden * 2, bias=bias)
        self.project_out = nn.Conv2d(hidden, dim, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        halves = (maps.chunk(2, dim=1) for maps in strips(x, self.project_in, self.dwconv))
        return join([self.project_out(F.gelu(gate) * value) for gate, value in halves], dim=2)


class TransformerBlock(nn.Module):
    """x + MDTA(LN x), then x + GDFN(LN x)."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        norm_type: NormType = "WithBias",
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim, norm_type)
        self.attn = MDTA(dim, num_heads, bias)
        self.norm2 = LayerNorm(dim, norm_type)
        self.ffn = GDFN(dim, ffn_expansion_factor, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class OverlapPatchEmbed(nn.Module):
    """The stem: one 3x3 convolution."""

    def __init__(self, in_channels: int = 3, embed_dim: int = 48, bias: bool = False) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, kernel_size=3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Downsample(nn.Module):
    """`(B, C, H, W) -> (B, 2C, H/2, W/2)` by a 3x3 convolution and pixel-unshuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1, bias=False), nn.PixelUnshuffle(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Upsample(nn.Module):
    """`(B, C, H, W) -> (B, C/2, 2H, 2W)` by a 3x3 convolution and pixel-shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels * 2, kernel_size=3, padding=1, bias=False), nn.PixelShuffle(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions with a ReLU between them (EDSR: Lim et al., CVPRW 2017, section 3.1)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, kernel_size=3, padding=1)
        nn.init.kaiming_normal_(self.conv1.weight)
        nn.init.kaiming_normal_(self.conv2.weight, a=3.0)  # a third of the size: sums of blocks stay small

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))
