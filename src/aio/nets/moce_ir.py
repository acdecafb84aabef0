"""MoCE-IR: Complexity Experts are Task-Discriminative Learners (Zamfir et al., CVPR 2025).

Keys and outputs are those of the official release, github.com/eduardzamfir/MoCE-IR, save that the
router's noise stays in training, and that each sample of a batch of any size has its own expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from aio.nets.base import RestorationNet
from aio.nets.blocks import GDFN, MDTA, Downsample, LayerNorm, OverlapPatchEmbed, Upsample, transposed_attention
from aio.nets.moce_experts import Adapter, SpatialMean


class EncoderBlock(nn.Module):
    """Restormer's transformer block under the official names; its convolutions have a bias."""

    def __init__(self, dim: int, num_heads: int, ffn_expansion_factor: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([LayerNorm(dim), LayerNorm(dim)])
        self.mixer = MDTA(dim, num_heads, bias=True)
        self.ffn = GDFN(dim, ffn_expansion_factor, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norms[0](x))
        return x + self.ffn(self.norms[1](x))


class EncoderGroup(nn.Module):
    """Encoder blocks in sequence."""

    def __init__(self, dim: int, num_heads: int, num_blocks: int, ffn_expansion_factor: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderBlock(dim, num_heads, ffn_expansion_factor) for _ in range(num_blocks))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class CrossAttention(nn.Module):
    """MDTA with queries of `x`, and keys and values of `context` seen through a 7x7 window."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.q = nn.Conv2d(dim, dim, kernel_size=1, bias=False)
        self.q_dwconv = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim, bias=False)
        self.kv = nn.Conv2d(dim, dim * 2, kernel_size=1, bias=False)
        self.kv_dwconv = nn.Conv2d(dim * 2, dim * 2, kernel_size=7, padding=3, groups=dim * 2, bias=False)
        self.project_out = nn.Conv2d(dim, dim, kernel_size=1, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q = rearrange(self.q_dwconv(self.q(x)), "b c h w -> b (h w) c")
        k, v = rearrange(self.kv_dwconv(self.kv(context)), "b c h w -> b (h w) c").chunk(2, dim=-1)
        attention = transposed_attention(q, k, self.temperature)
        weight = rearrange(self.project_out.weight, "o (n c) 1 1 -> n o c", n=self.num_heads)
        mix = rearrange(weight.to(attention.dtype) @ attention, "b n o c -> b (n c) o")
        return rearrange(v @ mix.to(v.dtype), "b (h w) c -> b c h w", h=x.shape[-2])


class DecoderBlock(nn.Module):
    """Features by an expert query features by shared attention; then the feed-forward network."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_expansion_factor: float,
        freq_dim: int,
        num_experts: int,
        with_complexity: bool,
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList([LayerNorm(dim), LayerNorm(dim)])
        self.proj = nn.ModuleList([nn.Conv2d(dim, dim, kernel_size=1), nn.Conv2d(dim, dim, kernel_size=1)])
        self.shared = MDTA(dim, num_heads)
        self.mixer = CrossAttention(dim, num_heads)
        self.ffn = GDFN(dim, ffn_expansion_factor)
        self.adapter = Adapter(dim, freq_dim, num_experts, with_complexity)

    def forward(self, x: Tensor, freq_embedding: Tensor) -> tuple[Tensor, Tensor | None]:
        normed = self.norms[0](x)
        shared = self.shared(self.proj[0](normed))
        adapted, balance = self.adapter(self.proj[1](normed), freq_embedding, shared)
        x = x + self.mixer(adapted, shared)
        return x + self.ffn(self.norms[1](x)), balance


class DecoderGroup(nn.Module):
    """Decoder blocks in sequence; returns their balance losses too, in training mode."""

    def __init__(self, blocks: Sequence[DecoderBlock]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)

    def forward(self, x: Tensor, freq_embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        losses = []
        for layer in self.layers:
            x, balance = layer(x, freq_embedding)
            if balance is not None:
                losses.append(balance)
        return x, losses


class HighPass(nn.Module):
    """A depth-wise 3x3 convolution which starts as the Laplacian; the release trains it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim, bias=False)
        nn.init.constant_(self.conv.weight, -1)
        nn.init.constant_(self.conv.weight[:, :, 1, 1], 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class FrequencyEmbedding(nn.Module):
    """`(B, C, H, W) -> (B, C)`: how much of each channel is edges, as the routers are told."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.high_conv = nn.Sequential(HighPass(dim), nn.GELU(), SpatialMean())
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.high_conv(x))


class MoCEIR(RestorationNet):
    """A U-net with plain transformer blocks on its way down and routed experts on its way up.

    Args:
        inp_channels: channels of the input.
        out_channels: channels of the output.
        dim: width of the first level; every further level doubles it. At least 2^(num_experts - 1).
        num_blocks: encoder blocks per level, the last is the bottleneck.
        num_dec_blocks: decoder blocks of levels 1, 2, 3.
        num_refinement_blocks: encoder blocks at full resolution after the decoder.
        heads: attention heads per level; each must divide the level's width.
        ffn_expansion_factor: hidden width of GDFN over its input width.
        num_experts: experts per decoder block; from the last to the first, width and patch size halve.
        with_complexity: the balance loss favours small experts, as in the paper; the release's
            commands leave it off.
        balance_weight: weight of the balance loss, the mean over all decoder blocks.
    """

    multiple_of = 8
    global_statistics = True

    def __init__(
        self,
        *,
        inp_channels: int = 3,
        out_channels: int = 3,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_dec_blocks: Sequence[int] = (2, 4, 4),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2,
        num_experts: int = 4,
        with_complexity: bool = True,
        balance_weight: float = 0.01,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = inp_channels, out_channels
        self.balance_weight, self.own_losses = balance_weight, ("balance",)
        self._balance: Tensor | None = None
        widths = [dim, dim * 2, dim * 4, dim * 8]

        def encoder(level: int, count: int) -> EncoderGroup:
            return EncoderGroup(widths[level], heads[level], count, ffn_expansion_factor)

        def decoder(level: int) -> DecoderGroup:
            arguments = (widths[level], heads[level], ffn_expansion_factor, widths[3], num_experts, with_complexity)
            return DecoderGroup([DecoderBlock(*arguments) for _ in range(num_dec_blocks[level])])

        def fusion(level: int) -> nn.Conv2d:
            return nn.Conv2d(widths[level + 1], widths[level], kernel_size=1, bias=False)

        self.patch_embed = OverlapPatchEmbed(inp_channels, dim)
        self.freq_embed = FrequencyEmbedding(widths[3])
        self.enc = nn.ModuleList(
            nn.ModuleList([encoder(level, num_blocks[level]), Downsample(widths[level])]) for level in (0, 1, 2)
        )
        self.latent = encoder(3, num_blocks[3])
        self.dec = nn.ModuleList(
            nn.ModuleList([Upsample(widths[level + 1]), fusion(level), decoder(level)]) for level in (2, 1, 0)
        )
        self.refinement = encoder(0, num_refinement_blocks)
        self.output = nn.Conv2d(dim, out_channels, kernel_size=3, padding=1, bias=False)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        x = self.patch_embed(image.contiguous(memory_format=torch.channels_last))
        skips = []
        for level in self.enc:
            group, down = level.children()
            skips.append(group(x))
            x = down(skips[-1])
        x = self.latent(x)
        freq_embedding = self.freq_embed(x)
        balances: list[Tensor] = []
        for level in self.dec:
            up, fusion, group = level.children()
            x, losses = group(fusion(torch.cat([up(x), skips.pop()], dim=1)), freq_embedding)
            balances += losses
        self._balance = self.balance_weight * torch.stack(balances).mean() if balances else None
        return self.output(self.refinement(x)) + image

    def extra_losses(self, second_view: Tensor | None = None) -> dict[str, Tensor]:
        return {} if self._balance is None else {"balance": self._balance}

    def __getstate__(self) -> dict[str, Any]:
        # The loss belongs to a graph, which can be neither copied nor pickled.
        return self.__dict__ | {"_balance": None}
