"""LoRA-gate Restormer: Restormer with gated attention, low-rank convolutions, DFRG and CSFF, each a switch.

Source: the LoRA-gate Restormer and its enhanced all-in-one form, which conf/net/lora_restormer_base.yaml and
lora_restormer_seed.yaml rebuild, keys included. With every part off it is plain Restormer, bit for bit. By default the
gate alone is on, the one part that cost nothing in the ablation (README).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from aio.nets.base import RestorationNet
from aio.nets.blocks import (
    GDFN,
    Downsample,
    LayerNorm,
    OverlapPatchEmbed,
    Upsample,
    alone,
    channel_attention,
    channel_sums,
    join,
    strips,
)
from aio.nets.csff import CSFF, Concatenate
from aio.nets.dfrg import DFRG, UNKNOWN_TASK
from aio.nets.lora import LowRank, Pointwise, pointwise

Gate = Literal["none", "headwise", "elementwise"]


class GatedMDTA(nn.Module):
    """Restormer's MDTA whose result meets sigmoid(gate) before the output projection; DFRG may refine its input.

    The gate is projected beside the query: a value per pixel and head, or per pixel and channel. As in MDTA, a dense
    projection is multiplied into the attention matrix; a headwise gate acts on the values instead, which is the same.
    """

    def __init__(
        self, dim: int, num_heads: int, gate: Gate, qkv_conv: Pointwise, out_conv: Pointwise, dfrg: DFRG | None
    ) -> None:
        super().__init__()
        gates = {"none": 0, "headwise": num_heads, "elementwise": dim}[gate]
        width = dim * 3 + gates
        self.gate = gate
        self.split = (dim, gates, dim, dim)
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = qkv_conv(dim, width)
        self.qkv_dwconv = nn.Conv2d(width, width, kernel_size=3, padding=1, groups=width, bias=False)
        self.project_out = out_conv(dim, dim)
        self.dfrg = dfrg

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        height, heads = x.shape[-2], len(self.temperature)
        if self.dfrg is not None:
            x = self.dfrg(x, task)
        sums, gates, values = [], [], []
        for maps in strips(x, self.qkv, self.qkv_dwconv):
            q, gate, k, v = rearrange(maps, "b c h w -> b (h w) c").split(self.split, dim=-1)
            sums.append(channel_sums(q, k, heads))
            gates.append(alone(gate))
            values.append(alone(v))
        attention = channel_attention(sums, self.temperature)
        gate, v = join(gates, dim=1), join(values, dim=1)
        if self.gate == "headwise":
            v = (v.unflatten(-1, (heads, -1)) * gate.sigmoid()[..., None]).flatten(-2)
        if isinstance(self.project_out, nn.Conv2d) and self.gate != "elementwise":
            weight = rearrange(self.project_out.weight, "o (n c) 1 1 -> n o c", n=heads)
            mix = rearrange(weight.to(attention.dtype) @ attention, "b n o c -> b (n c) o")
            return rearrange(v @ mix.to(v.dtype), "b (h w) c -> b c h w", h=height)
        v = rearrange(v, "b l (n c) -> b n l c", n=heads)
        out = rearrange(v @ attention.mT.to(v.dtype), "b n l c -> b l (n c)")
        if self.gate == "elementwise":
            out = out * gate.sigmoid()
        return self.project_out(rearrange(out, "b (h w) c -> b c h w", h=height))


class GatedBlock(nn.Module):
    """x + gamma1 attn(LN x), then x + gamma2 ffn(LN x); the scalars gamma come with DFRG and start at 1."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_expansion_factor: float,
        gate: Gate,
        attn_conv: Pointwise,
        ffn_conv: Pointwise,
        dfrg: DFRG | None,
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        # Of the attention's two projections, the output's has the rank of the feed-forward network.
        self.attn = GatedMDTA(dim, num_heads, gate, attn_conv, ffn_conv, dfrg)
        self.norm2 = LayerNorm(dim)
        self.ffn = GDFN(dim, ffn_expansion_factor)
        hidden = self.ffn.project_out.in_channels
        self.ffn.add_module("project_in", ffn_conv(dim, hidden * 2))
        self.ffn.add_module("project_out", ffn_conv(hidden, dim))
        self.gamma1 = nn.Parameter(torch.ones(1)) if dfrg is not None else None
        self.gamma2 = nn.Parameter(torch.ones(1)) if dfrg is not None else None

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        x = _add(x, self.attn(self.norm1(x), task), self.gamma1)
        return _add(x, self.ffn(self.norm2(x)), self.gamma2)


def _add(x: Tensor, branch: Tensor, gamma: Tensor | None) -> Tensor:
    return x + branch if gamma is None else torch.addcmul(x, branch, gamma.to(branch.dtype))


class GatedBlocks(nn.ModuleList):
    """Blocks in a row, each told the task."""

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        for block in self:
            x = block(x, task)
        return x


class LoraRestormer(RestorationNet):
    """Restormer's U-net with a choice of parts.

    Heads are 1, 2, 4, 8, so that each is `dim` channels wide. The task is optional: see `DFRG`. In training half of
    the samples are routed blind although their task is given, so that one set of weights serves both.

    Args:
        dim: width of the first level; every further level doubles it.
        num_blocks: blocks per level, the last is the bottleneck; the decoder mirrors the encoder.
        num_refinement_blocks: blocks at full resolution after the decoder.
        ffn_expansion_factor: hidden width of GDFN over its input width.
        gate: of the attention: `headwise` is all but free, `elementwise` adds a quarter to the first projection.
        lora: low-rank kind of the blocks' 1x1 convolutions, see `aio.nets.lora`; `seed` reaches into DFRG too.
        lora_ratio_attn: rank of the qkv projection over its full rank; 0 keeps it dense.
        lora_ratio_ffn: the same for the attention's output projection and the feed-forward network.
        use_dfrg: refine the attention's input, and scale both residual branches by a learnt scalar.
        use_experts: whether DFRG uses its experts; without, it is the seed's.
        use_csff: fuse the skips by CSFF; the decoder's first level is then `dim` wide and not `2 dim`.
        num_tasks: task ids the experts know, with room for names appended to the vocabulary.
    """

    multiple_of = 8
    global_statistics = True

    def __init__(
        self,
        *,
        dim: int = 40,
        num_blocks: Sequence[int] = (1, 2, 4, 7),
        num_refinement_blocks: int = 0,
        ffn_expansion_factor: float = 2.66,
        gate: Gate = "headwise",
        lora: LowRank = "none",
        lora_ratio_attn: float = 0.0,
        lora_ratio_ffn: float = 0.0,
        use_dfrg: bool = False,
        use_experts: bool = True,
        use_csff: bool = False,
        num_tasks: int = 32,
    ) -> None:
        super().__init__()
        attn_conv = partial(pointwise, kind=lora, ratio=lora_ratio_attn)
        ffn_conv = partial(pointwise, kind=lora, ratio=lora_ratio_ffn)
        dfrg_conv = attn_conv if lora == "seed" else pointwise

        def dfrg(width: int) -> DFRG | None:
            return DFRG(width, use_experts=use_experts, num_tasks=num_tasks, conv=dfrg_conv) if use_dfrg else None

        def blocks(count: int, heads: int, width: int) -> GatedBlocks:
            return GatedBlocks(
                GatedBlock(width, heads, ffn_expansion_factor, gate, attn_conv, ffn_conv, dfrg(width))
                for _ in range(count)
            )

        def skip(width: int) -> nn.Module:
            return CSFF(width) if use_csff else Concatenate()

        def reduce(width: int) -> nn.Conv2d:
            conv = nn.Conv2d(width if use_csff else width * 2, width, kernel_size=1, bias=False)
            if use_csff:
                nn.init.dirac_(conv.weight)
            return conv

        self.patch_embed = OverlapPatchEmbed(3, dim)
        self.encoder_level1 = blocks(num_blocks[0], 1, dim)
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = blocks(num_blocks[1], 2, dim * 2)
        self.down2_3 = Downsample(dim * 2)
        self.encoder_level3 = blocks(num_blocks[2], 4, dim * 4)
        self.down3_4 = Downsample(dim * 4)
        self.latent = blocks(num_blocks[3], 8, dim * 8)

        self.up4_3 = Upsample(dim * 8)
        self.csff3 = skip(dim * 4)
        self.reduce_chan_level3 = reduce(dim * 4)
        self.decoder_level3 = blocks(num_blocks[2], 4, dim * 4)
        self.up3_2 = Upsample(dim * 4)
        self.csff2 = skip(dim * 2)
        self.reduce_chan_level2 = reduce(dim * 2)
        self.decoder_level2 = blocks(num_blocks[1], 2, dim * 2)
        self.up2_1 = Upsample(dim * 2)
        self.csff1 = skip(dim)
        self.reduce_chan_level1 = reduce(dim) if use_csff else nn.Identity()
        width = dim if use_csff else dim * 2
        self.decoder_level1 = blocks(num_blocks[0], 1, width)
        self.refinement = blocks(num_refinement_blocks, 1, width)
        self.output = nn.Conv2d(width, 3, kernel_size=3, padding=1, bias=False)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        told = self._told(image, task)
        level1 = self.encoder_level1(self.patch_embed(image.contiguous(memory_format=torch.channels_last)), told)
        level2 = self.encoder_level2(self.down1_2(level1), told)
        level3 = self.encoder_level3(self.down2_3(level2), told)
        latent = self.latent(self.down3_4(level3), told)

        x = self.decoder_level3(self.reduce_chan_level3(self.csff3(level3, self.up4_3(latent))), told)
        x = self.decoder_level2(self.reduce_chan_level2(self.csff2(level2, self.up3_2(x))), told)
        x = self.decoder_level1(self.reduce_chan_level1(self.csff1(level1, self.up2_1(x))), told)
        return self.output(self.refinement(x, told)) + image

    def _told(self, image: Tensor, task: Tensor | None) -> Tensor:
        """The ids `(B,)` the experts are told."""
        if task is None:
            return torch.full((image.shape[0],), UNKNOWN_TASK, device=image.device)
        if not self.training:
            return task
        # The parity of the middle pixel and not a random draw, so that a resumed or distributed run repeats it.
        middle = image[:, 0, image.shape[2] // 2, image.shape[3] // 2]
        return task.masked_fill((middle * 255).round().long() % 2 == 1, UNKNOWN_TASK)
