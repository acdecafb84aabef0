"""SymUNet: Unleashing Degradation-Carrying Features in Symmetric U-Net (Jiao et al., arXiv 2512.10581).

Restormer's blocks in NAFNet's skeleton. Keys and outputs are those of the official release,
github.com/WenlongJiao/SymUNet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aio.nets.base import RestorationNet
from aio.nets.blocks import NormType, TransformerBlock


class SymUNet(RestorationNet):
    """A symmetric U-net of transformer blocks with added skips, which predicts the residual to its input.

    Args:
        img_channel: channels of the input and of the output.
        dim: width of the first level (`width` in the official code); every further level doubles it.
        middle_blk_num: blocks in the bottleneck.
        enc_blk_nums: encoder blocks per level, from full resolution down.
        dec_blk_nums: decoder blocks per level, from the bottleneck up; as many levels as the encoder.
        heads: attention heads per level, the last is the bottleneck; each must divide the level's width.
        ffn_expansion_factor: hidden width of GDFN over its input width.
        bias: whether the convolutions of the blocks carry a bias.
        LayerNorm_type: `WithBias` or `BiasFree`.
    """

    global_statistics = True

    def __init__(
        self,
        *,
        img_channel: int = 3,
        dim: int = 48,
        middle_blk_num: int = 8,
        enc_blk_nums: Sequence[int] = (4, 6, 6),
        dec_blk_nums: Sequence[int] = (6, 6, 4),
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        LayerNorm_type: NormType = "WithBias",  # noqa: N803 the official name
    ) -> None:
        super().__init__()
        levels = len(enc_blk_nums)
        if len(dec_blk_nums) != levels or len(heads) != levels + 1:
            raise ValueError(
                f"enc_blk_nums {enc_blk_nums} has {levels} levels: dec_blk_nums needs as many, but is {dec_blk_nums}; "
                f"heads needs one more for the bottleneck, but is {heads}"
            )
        self.in_channels = self.out_channels = img_channel
        self.multiple_of = 4 * 2**levels  # the official code pads to four pixels of the bottleneck, not to one

        def blocks(count: int, level: int) -> nn.Sequential:
            width = dim * 2**level
            return nn.Sequential(
                *(
                    TransformerBlock(width, heads[level], ffn_expansion_factor, bias, LayerNorm_type)
                    for _ in range(count)
                )
            )

        self.intro = nn.Conv2d(img_channel, dim, kernel_size=3, padding=1)
        self.encoders = nn.ModuleList(blocks(count, level) for level, count in enumerate(enc_blk_nums))
        self.downs = nn.ModuleList(
            nn.Conv2d(dim * 2**level, dim * 2 ** (level + 1), kernel_size=2, stride=2) for level in range(levels)
        )
        self.middle_blks = blocks(middle_blk_num, levels)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim * 2**level, dim * 2 ** (level + 1), 1, bias=False), nn.PixelShuffle(2))
            for level in range(levels, 0, -1)
        )
        self.decoders = nn.ModuleList(blocks(count, levels - 1 - i) for i, count in enumerate(dec_blk_nums))
        self.ending = nn.Conv2d(dim, img_channel, kernel_size=3, padding=1)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        x = self.intro(image.contiguous(memory_format=torch.channels_last))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        x = self.middle_blks(x)
        for decoder, up, skip in zip(self.decoders, self.ups, reversed(skips), strict=True):
            x = decoder(up(x) + skip)
        return self.ending(x) + image
