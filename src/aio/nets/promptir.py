"""PromptIR: Prompting for All-in-One Blind Image Restoration (Potlapalli et al., NeurIPS 2023).

Restormer whose decoder is told the degradation by learned prompts, mixed from the features themselves.
Keys and outputs are those of the official release, github.com/va1shn9v/PromptIR.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aio.nets.blocks import NormType, TransformerBlock, Upsample
from aio.nets.restormer import Restormer


class PromptGenBlock(nn.Module):
    """The prompt of a feature map: `(B, width, H, W) -> (B, channels, H, W)` (section 3.2.1).

    `length` learned maps of `size` x `size` are averaged with weights predicted from the map's mean,
    resized to H x W and convolved.
    """

    def __init__(self, width: int, channels: int, size: int, length: int = 5) -> None:
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, length, channels, size, size))
        self.linear_layer = nn.Linear(width, length)
        self.conv3x3 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.linear_layer(x.mean(dim=(-2, -1))).softmax(dim=1, dtype=torch.float32)
        prompts = self.prompt_param[0]
        prompt = (weights.to(prompts.dtype) @ prompts.flatten(1)).unflatten(1, prompts.shape[1:])
        prompt = prompt.contiguous(memory_format=torch.channels_last)
        return self.conv3x3(F.interpolate(prompt, x.shape[-2:], mode="bilinear"))


class PromptIR(Restormer):
    """Restormer with a prompt after the latent, the third and the second decoder level.

    Args:
        inp_channels: channels of the input.
        out_channels: channels of the output.
        dim: width of the first level; the prompts' channels grow with it, from 64, 128 and 320 at 48.
        num_blocks: transformer blocks per level, the last is the bottleneck.
        num_refinement_blocks: blocks at full resolution after the decoder.
        heads: attention heads per level; the blocks that take in a prompt have those of level 3.
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
        prompt1, prompt2, prompt3 = (_prompt_channels(n, dim, heads[2]) for n in (64, 128, 320))

        def intake(width: int) -> TransformerBlock:
            return TransformerBlock(width, heads[2], ffn_expansion_factor, bias, LayerNorm_type)

        def pointwise(width: int, out: int) -> nn.Conv2d:
            return nn.Conv2d(width, out, kernel_size=1, bias=bias)

        # The sides of the maps are those of each level for the training patches of 128 pixels.
        self.prompt1 = PromptGenBlock(dim * 2, prompt1, size=64)
        self.prompt2 = PromptGenBlock(dim * 4, prompt2, size=32)
        self.prompt3 = PromptGenBlock(dim * 8, prompt3, size=16)
        self.noise_level1 = intake(dim * 2 + prompt1)
        self.noise_level2 = intake(dim * 4 + prompt2)
        self.noise_level3 = intake(dim * 8 + prompt3)
        self.reduce_noise_level1 = pointwise(dim * 2 + prompt1, dim * 2)
        self.reduce_noise_level2 = pointwise(dim * 4 + prompt2, dim * 4)
        self.reduce_noise_level3 = pointwise(dim * 8 + prompt3, dim * 4)
        # The latent leaves its prompt with half of Restormer's channels.
        self.up4_3 = Upsample(dim * 4)
        self.reduce_chan_level3 = pointwise(dim * 6, dim * 4)

        # The release stores six layers that its forward pass skips; frozen, they need no gradient from any rank.
        self.chnl_reduce1 = pointwise(prompt1, prompt1).requires_grad_(False)
        self.chnl_reduce2 = pointwise(prompt2, prompt2).requires_grad_(False)
        self.chnl_reduce3 = pointwise(prompt3, prompt2 * 2).requires_grad_(False)
        self.reduce_noise_channel_1 = pointwise(dim + prompt1, dim).requires_grad_(False)
        self.reduce_noise_channel_2 = pointwise(dim * 2 + prompt2, dim * 2).requires_grad_(False)
        self.reduce_noise_channel_3 = pointwise(dim * 4 + prompt2 * 2, dim * 4).requires_grad_(False)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        level1 = self.encoder_level1(self.patch_embed(image.contiguous(memory_format=torch.channels_last)))
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        x = self.latent(self.down3_4(level3))

        x = self.reduce_noise_level3(self.noise_level3(torch.cat([x, self.prompt3(x)], dim=1)))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), level3], dim=1)))
        x = self.reduce_noise_level2(self.noise_level2(torch.cat([x, self.prompt2(x)], dim=1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), level2], dim=1)))
        x = self.reduce_noise_level1(self.noise_level1(torch.cat([x, self.prompt1(x)], dim=1)))
        x = self.decoder_level1(torch.cat([self.up2_1(x), level1], dim=1))
        return self.output(self.refinement(x)) + image


def _prompt_channels(published: int, dim: int, heads: int) -> int:
    """`published` channels at the paper's width of 48, for `dim`: a multiple of `heads`, which split them."""
    return max(1, round(published * dim / (48 * heads))) * heads
