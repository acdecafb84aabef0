"""NAFNet: Simple Baselines for Image Restoration (Chen et al., ECCV 2022), and its test-time local converter.

Keys and outputs are those of the official release, github.com/megvii-research/NAFNet. The published nets
differ in width and block counts alone: see conf/net/nafnet_*.yaml.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aio.nets.base import RestorationNet


class LayerNorm2d(nn.Module):
    """Normalises the channels of each pixel of `(B, C, H, W)`, in float32."""

    eps = 1e-6

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1).float()
        y = F.layer_norm(y, y.shape[-1:], self.weight.float(), self.bias.float(), self.eps)
        return y.permute(0, 3, 1, 2).to(x.dtype)


def simple_gate(x: Tensor) -> Tensor:
    """One half of the channels times the other."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """No activation function: gated depth-wise convolution with channel attention, then a gated 1x1 feed-forward."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, dim * 2, kernel_size=1)
        self.conv2 = nn.Conv2d(dim * 2, dim * 2, kernel_size=3, padding=1, groups=dim * 2)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(dim, dim, kernel_size=1))
        self.conv3 = nn.Conv2d(dim, dim, kernel_size=1)
        self.norm2 = LayerNorm2d(dim)
        self.conv4 = nn.Conv2d(dim, dim * 2, kernel_size=1)
        self.conv5 = nn.Conv2d(dim, dim, kernel_size=1)
        self.beta = nn.Parameter(torch.zeros(1, dim, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = simple_gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.conv3(y * self.sca(y)) * self.beta
        return x + self.conv5(simple_gate(self.conv4(self.norm2(x)))) * self.gamma


class NAFNet(RestorationNet):
    """A U-net of NAF blocks with added skips, which predicts the residual to its input.

    Args:
        img_channel: channels of the input and of the output.
        dim: width of the first level (`width` in the official code); every further level doubles it.
        middle_blk_num: blocks in the bottleneck.
        enc_blk_nums: encoder blocks per level, from full resolution down.
        dec_blk_nums: decoder blocks per level, from the bottleneck up; as many levels as the encoder.
    """

    pad_mode = "zeros"
    global_statistics = True

    def __init__(
        self,
        *,
        img_channel: int = 3,
        dim: int = 64,
        middle_blk_num: int = 12,
        enc_blk_nums: Sequence[int] = (2, 2, 4, 8),
        dec_blk_nums: Sequence[int] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        if len(enc_blk_nums) != len(dec_blk_nums):
            raise ValueError(f"enc_blk_nums {enc_blk_nums} and dec_blk_nums {dec_blk_nums} must have equal length")
        self.in_channels = self.out_channels = img_channel
        self.multiple_of = 2 ** len(enc_blk_nums)
        widths = [dim * 2**level for level in range(len(enc_blk_nums) + 1)]

        def blocks(count: int, width: int) -> nn.Sequential:
            return nn.Sequential(*(NAFBlock(width) for _ in range(count)))

        self.intro = nn.Conv2d(img_channel, dim, kernel_size=3, padding=1)
        self.encoders = nn.ModuleList(map(blocks, enc_blk_nums, widths))
        self.downs = nn.ModuleList(nn.Conv2d(width, width * 2, kernel_size=2, stride=2) for width in widths[:-1])
        self.middle_blks = blocks(middle_blk_num, widths[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width * 2, kernel_size=1, bias=False), nn.PixelShuffle(2))
            for width in widths[:0:-1]
        )
        self.decoders = nn.ModuleList(map(blocks, dec_blk_nums, widths[-2::-1]))
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


class LocalAvgPool2d(nn.Module):
    """`(B, C, H, W)` to the mean over the `window` x `window` round each pixel, at the cost of a running sum.

    Only windows inside the map are taken; pixels near the edge repeat the nearest one. Where the window covers
    the whole map it is the global pool, `(B, C, 1, 1)`.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.window >= max(height, width):
            return F.adaptive_avg_pool2d(x, 1)
        means = _window_means(_window_means(x.float(), self.window, -1), self.window, -2)
        lost_rows, lost_columns = height - means.shape[-2], width - means.shape[-1]
        sides = (lost_columns // 2, (lost_columns + 1) // 2, lost_rows // 2, (lost_rows + 1) // 2)
        # the running sums leave the layout of the maps, and mixed layouts would slow the product that follows
        return F.pad(means, sides, mode="replicate").to(x.dtype, memory_format=torch.channels_last)

    def extra_repr(self) -> str:
        return f"window={self.window}"


def _window_means(x: Tensor, window: int, dim: int) -> Tensor:
    """Means over all windows inside `dim`. Summing one axis after the other keeps the sums small, thus exact."""
    window = min(window, x.shape[dim])
    total = torch.cat([torch.zeros_like(x.narrow(dim, 0, 1)), x.cumsum(dim)], dim)
    count = x.shape[dim] - window + 1
    return (total.narrow(dim, window, count) - total.narrow(dim, 0, count)) / window


def with_local_pooling(net: NAFNet, train_size: int) -> NAFNet:
    """A net for images larger than the training crops: its pools see 1.5 x `train_size` of the image, not all of it.

    Test-time local converter (Chu et al., Improving Image Restoration by Revisiting Global Information
    Aggregation, ECCV 2022). The result shares its weights with `net`, which stays as it is.
    """
    if train_size < 1:
        raise ValueError(f"train_size must be at least 1 pixel, but is {train_size}")
    shared = {id(parameter): parameter for parameter in net.parameters()}
    local = copy.deepcopy(net, shared)
    for level, block in _blocks_by_level(local):
        block.sca[0] = LocalAvgPool2d(max(1, (train_size * 3 // 2) >> level))
    local.global_statistics = False
    return local


def _blocks_by_level(net: NAFNet) -> Iterator[tuple[int, NAFBlock]]:
    levels = len(net.encoders)
    upwards = range(levels - 1, -1, -1)
    stages = [*enumerate(net.encoders), (levels, net.middle_blks), *zip(upwards, net.decoders, strict=True)]
    for level, stage in stages:
        for block in stage.children():
            if isinstance(block, NAFBlock):
                yield level, block
