"""Restormer: Efficient Transformer for High-Resolution Image Restoration (Zamir et al., CVPR 2022).

Keys and outputs are those of the official release, github.com/swz30/Restormer. The four published
variants differ in `inp_channels`, `LayerNorm_type` and `dual_pixel_task` alone: see conf/net/restormer*.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aio.nets.base import RestorationNet
from aio.nets.blocks import Downsample, NormType, OverlapPatchEmbed, TransformerBlock, Upsample


class Restormer(RestorationNet):
    """A four-level U-net of transformer blocks which predicts the residual to its input.

    Args:
        inp_channels: channels of the input: 3 colour, 1 gray, 6 dual-pixel (left and right view).
        out_channels: channels of the output.
        dim: width of the first level; every further level doubles it.
        num_blocks: transformer blocks per level, the last is the bottleneck.
        num_refinement_blocks: blocks at full resolution after the decoder.
        heads: attention heads per level; each must divide the level's width.
        ffn_expansion_factor: hidden width of GDFN over its input width.
        bias: whether convolutions carry a bias.
        LayerNorm_type: `WithBias` (derain, deblur, defocus) or `BiasFree` (all denoising).
        dual_pixel_task: a skip from the stem replaces the skip from the input image.
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
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        LayerNorm_type: NormType = "WithBias",  # noqa: N803 the official name
        dual_pixel_task: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = inp_channels, out_channels

        def blocks(count: int, level: int, width: int) -> nn.Sequential:
            return nn.Sequential(
                *(
                    TransformerBlock(width, heads[level], ffn_expansion_factor, bias, LayerNorm_type)
                    for _ in range(count)
                )
            )

        self.patch_embed = OverlapPatchEmbed(inp_channels, dim)
        self.encoder_level1 = blocks(num_blocks[0], 0, dim)
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = blocks(num_blocks[1], 1, dim * 2)
        self.down2_3 = Downsample(dim * 2)
        self.encoder_level3 = blocks(num_blocks[2], 2, dim * 4)
        self.down3_4 = Downsample(dim * 4)
        self.latent = blocks(num_blocks[3], 3, dim * 8)

        self.up4_3 = Upsample(dim * 8)
        self.reduce_chan_level3 = nn.Conv2d(dim * 8, dim * 4, kernel_size=1, bias=bias)
        self.decoder_level3 = blocks(num_blocks[2], 2, dim * 4)
        self.up3_2 = Upsample(dim * 4)
        self.reduce_chan_level2 = nn.Conv2d(dim * 4, dim * 2, kernel_size=1, bias=bias)
        self.decoder_level2 = blocks(num_blocks[1], 1, dim * 2)
        self.up2_1 = Upsample(dim * 2)
        self.decoder_level1 = blocks(num_blocks[0], 0, dim * 2)
        self.refinement = blocks(num_refinement_blocks, 0, dim * 2)
        self.skip_conv = nn.Conv2d(dim, dim * 2, kernel_size=1, bias=bias) if dual_pixel_task else None
        self.output = nn.Conv2d(dim * 2, out_channels, kernel_size=3, padding=1, bias=bias)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        stem = self.patch_embed(image.contiguous(memory_format=torch.channels_last))
        level1 = self.encoder_level1(stem)
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        latent = self.latent(self.down3_4(level3))

        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(latent), level3], dim=1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), level2], dim=1)))
        x = self.refinement(self.decoder_level1(torch.cat([self.up2_1(x), level1], dim=1)))
        if self.skip_conv is not None:
            return self.output(x + self.skip_conv(stem))
        return self.output(x) + image
