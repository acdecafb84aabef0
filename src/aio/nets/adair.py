"""AdaIR: Adaptive All-in-One Image Restoration via Frequency Mining and Modulation (Cui et al., ICLR 2025).

Restormer with three blocks in its decoder that split the input image by frequency and bring both bands
to the features. Keys and outputs are those of the official release, github.com/c-yn/AdaIR.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from aio.nets.blocks import NormType, transposed_attention
from aio.nets.restormer import Restormer


class ChannelCrossAttention(nn.Module):
    """MDTA with queries from `x` and keys and values from `y`, both `(B, C, H, W)`."""

    def __init__(self, dim: int, num_heads: int, bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.q = nn.Conv2d(dim, dim, kernel_size=1, bias=bias)
        self.q_dwconv = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim, bias=bias)
        self.kv = nn.Conv2d(dim, dim * 2, kernel_size=1, bias=bias)
        self.kv_dwconv = nn.Conv2d(dim * 2, dim * 2, kernel_size=3, padding=1, groups=dim * 2, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, kernel_size=1, bias=bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        q = rearrange(self.q_dwconv(self.q(x)), "b c h w -> b (h w) c")
        # An empty band gives q = 0, where the cosine's slope, up to 1e12, is infinite in half precision.
        q = q.masked_fill(q == 0, 0)
        k, v = rearrange(self.kv_dwconv(self.kv(y)), "b c h w -> b (h w) c").chunk(2, dim=-1)
        attention = transposed_attention(q, k, self.temperature)
        v = rearrange(v, "b l (n c) -> b n l c", n=self.num_heads)
        out = rearrange(v @ attention.to(v.dtype).mT, "b n l c -> b l (n c)")
        return self.project_out(rearrange(out, "b (h w) c -> b c h w", h=x.shape[-2]))


class SpatialGate(nn.Module):
    """H-L unit: where a pixel of the other band matters, `(B, C, H, W) -> (B, 1, H, W)`."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)).sigmoid()


class ChannelGate(nn.Module):
    """L-H unit: which channel of the other band matters, `(B, C, H, W) -> (B, C, 1, 1)`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = max(1, dim // 16)
        self.mlp = nn.Sequential(
            nn.Conv2d(dim, hidden, kernel_size=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, dim, kernel_size=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, peak = x.mean(dim=(-2, -1), keepdim=True), x.amax(dim=(-2, -1), keepdim=True)
        return (self.mlp(mean) + self.mlp(peak)).sigmoid()


class FreRefine(nn.Module):
    """Frequency modulation: each band is gated by the other, then both are added."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.SpatialGate = SpatialGate()
        self.ChannelGate = ChannelGate(dim)
        self.proj = nn.Conv2d(dim, dim, kernel_size=1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return self.proj(low * self.SpatialGate(high) + high * self.ChannelGate(low))


class FreModule(nn.Module):
    """Adaptive frequency learning: `y (B, dim, H, W)` attends to the low and the high band of `image`."""

    # A band edge is counted in steps of one frequency per 128 pixels of the features.
    step = 128

    def __init__(self, dim: int, num_heads: int, bias: bool = False, in_dim: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, dim, kernel_size=3, padding=1, bias=False)
        self.rate_conv = nn.Sequential(
            nn.Conv2d(dim, dim // 8, kernel_size=1, bias=False),
            nn.GELU(),
            nn.Conv2d(dim // 8, 2, kernel_size=1, bias=False),
        )
        self.channel_cross_l = ChannelCrossAttention(dim, num_heads, bias)
        self.channel_cross_h = ChannelCrossAttention(dim, num_heads, bias)
        self.frequency_refine = FreRefine(dim)
        self.channel_cross_agg = ChannelCrossAttention(dim, num_heads, bias)
        self.para1 = nn.Parameter(torch.zeros(dim, 1, 1))
        self.para2 = nn.Parameter(torch.ones(dim, 1, 1))
        # The release stores these two, and its forward pass skips them.
        self.conv = nn.Conv2d(in_dim, dim, kernel_size=3, padding=1, bias=False)
        self.score_gen = nn.Conv2d(2, 2, kernel_size=7, padding=3)
        # Band edges are whole numbers, so no gradient reaches `rate_conv` in the release either.
        for frozen in (self.conv, self.score_gen, self.rate_conv):
            frozen.requires_grad_(False)

    def forward(self, image: Tensor, y: Tensor) -> Tensor:
        features = self.conv1(F.interpolate(image, y.shape[-2:], mode="bilinear"))
        low, high = self.split(features)
        # The official names are the wrong way round: `_l` takes the high band.
        high, low = self.channel_cross_l(high, y), self.channel_cross_h(low, y)
        refined = self.frequency_refine(low, high)
        return self.channel_cross_agg(y, refined) * self.para1 + y * self.para2

    def split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitudes of the low and the high band of `features`, in float32.

        The low band is a rectangle around frequency zero whose half sides each image chooses. It is
        empty below `step` pixels, as in training on patches of 128, and the Fourier transform is then left out.
        """
        height, width = features.shape[-2:]
        with torch.autocast(features.device.type, enabled=False):
            x = features.float()
            # A graph for every size has no such way out, and gets the empty band by its Fourier transform.
            if not torch.compiler.is_exporting() and min(height, width) < self.step:
                return torch.zeros_like(x), x.abs()
            rate = self.rate_conv(x.mean(dim=(-2, -1), keepdim=True)).sigmoid()
            rows = _in_band(height, height // self.step * rate[:, 0])
            columns = _in_band(width, width // self.step * rate[:, 1])
            low = torch.fft.ifft2(torch.fft.fft2(x) * (rows.mT & columns))
            return low.abs(), (x - low).abs()


def _in_band(size: int, edge: Tensor) -> Tensor:
    """Which frequencies lie in [-a, a), a being `edge (B, 1, 1)` cut to an integer: `(B, 1, 1, size)`."""
    edge = edge.int()[:, None]
    frequency = torch.arange(size, device=edge.device)
    return (frequency < edge) | (frequency >= size - edge)


class AdaIR(Restormer):
    """Restormer with a `FreModule` after the latent, the third and the second decoder level.

    Args:
        inp_channels: channels of the input.
        out_channels: channels of the output.
        dim: width of the first level; every further level doubles it.
        num_blocks: transformer blocks per level, the last is the bottleneck.
        num_refinement_blocks: blocks at full resolution after the decoder.
        heads: attention heads per level; the frequency blocks have those of level 3.
        ffn_expansion_factor: hidden width of GDFN over its input width.
        bias: whether convolutions carry a bias.
        LayerNorm_type: `WithBias` in the release.
    """

    def __init__(
        self,
        *,
        inp_channels: int = 3,
        out_channels: int = 3,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        LayerNorm_type: NormType = "WithBias",  # noqa: N803 the official name
    ) -> None:
        super().__init__(
            inp_channels=inp_channels,
            out_channels=out_channels,
            dim=dim,
            num_blocks=num_blocks,
            num_refinement_blocks=num_refinement_blocks,
            heads=heads,
            ffn_expansion_factor=ffn_expansion_factor,
            bias=bias,
            LayerNorm_type=LayerNorm_type,
        )
        self.fre1 = FreModule(dim * 8, heads[2], bias, inp_channels)
        self.fre2 = FreModule(dim * 4, heads[2], bias, inp_channels)
        self.fre3 = FreModule(dim * 2, heads[2], bias, inp_channels)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        level1 = self.encoder_level1(self.patch_embed(image.contiguous(memory_format=torch.channels_last)))
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        x = self.fre1(image, self.latent(self.down3_4(level3)))

        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), level3], dim=1)))
        x = self.fre2(image, x)
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), level2], dim=1)))
        x = self.fre3(image, x)
        x = self.decoder_level1(torch.cat([self.up2_1(x), level1], dim=1))
        return self.output(self.refinement(x)) + image
