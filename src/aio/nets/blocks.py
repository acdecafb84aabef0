"""What two or more nets use unchanged: the Restormer transformer block and its resampling.

Source: Zamir et al., Restormer, CVPR 2022, sections 3.1 (MDTA) and 3.2 (GDFN).
Maps are channels-last in memory: a layer norm and an attention product then read them without a copy.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

NormType = Literal["WithBias", "BiasFree"]


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


class MDTA(nn.Module):
    """Multi-Dconv head transposed attention: channels attend to channels (eq. 1).

    `(B, C, H, W) -> (B, C, H, W)`. Two products are reordered, with the same result: q and k are
    normalised after their product (by its rows and columns) rather than before, and the output
    projection is multiplied into the attention matrix before it meets the values.
    """

    def __init__(self, dim: int, num_heads: int, bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(dim, dim * 3, kernel_size=1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(dim * 3, dim * 3, kernel_size=3, padding=1, groups=dim * 3, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[-2]
        q, k, v = rearrange(self.qkv_dwconv(self.qkv(x)), "b c h w -> b (h w) c").chunk(3, dim=-1)
        attention = transposed_attention(q, k, self.temperature)
        weight = rearrange(self.project_out.weight, "o (n c) 1 1 -> n o c", n=self.num_heads)
        mix = rearrange(weight.to(attention.dtype) @ attention, "b n o c -> b (n c) o")
        out = v @ mix.to(v.dtype)
        if self.project_out.bias is not None:
            out = out + self.project_out.bias
        return rearrange(out, "b (h w) c -> b c h w", h=height)


def transposed_attention(q: Tensor, k: Tensor, temperature: Tensor) -> Tensor:
    """softmax(temperature * cos(q_i, k_j)) over key channels j, in float32.

    `q`, `k`: `(B, H*W, heads * c)`; `temperature`: `(heads, 1, 1)`; returns `(B, heads, c, c)`.
    """
    heads = temperature.shape[0]
    with torch.autocast(q.device.type, enabled=False):
        q, k = (rearrange(t.float(), "b l (n c) -> b n l c", n=heads) for t in (q, k))
        q_norm, k_norm = (torch.linalg.vector_norm(t, dim=-2).clamp_min(1e-12) for t in (q, k))
        cosine = q.transpose(-1, -2) @ k / (q_norm[..., :, None] * k_norm[..., None, :])
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
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


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
