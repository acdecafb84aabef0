"""DCTLSA: densely connected transformer with linear self-attention, Zeng et al., IEEE TIM 2023.

Keys and outputs are those of the official release, github.com/zengkun301/DCTLSA. Also the skeleton of GRLA,
whose parameter counts are the same; see grla.py.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from einops import rearrange
from torch import Tensor, nn

from aio.nets.base import RestorationNet


def local_features(dim: int) -> nn.Sequential:
    """LFE: batch norm, 1x1, depthwise 3x3, batch norm, 1x1; no bias."""
    return nn.Sequential(
        OrderedDict(
            pointwise_prenorm_0=nn.BatchNorm2d(dim),
            pointwise_conv_0=nn.Conv2d(dim, dim, kernel_size=1, bias=False),
            depthwise_conv=nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim, bias=False),
            pointwise_prenorm_1=nn.BatchNorm2d(dim),
            pointwise_conv_1=nn.Conv2d(dim, dim, kernel_size=1, bias=False),
        )
    )


class LocalAttention(nn.Module):
    """x + LFE(x), then x + attention, on `(B, H, W, C)`; a subclass says what `attend` is."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.local = local_features(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.local(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.proj(self.attend(self.qkv(x)))

    def attend(self, qkv: Tensor) -> Tensor:
        """`(B, H, W, 3C) -> (B, H, W, C)`."""
        raise NotImplementedError


class WindowedAttention(LocalAttention):
    """Attention inside windows that do not overlap; a subclass says how the tokens of a window mix."""

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__(dim)
        self.num_heads, self.window_size = num_heads, window_size

    def attend(self, qkv: Tensor) -> Tensor:
        batch, rows, size = qkv.shape[0], qkv.shape[1] // self.window_size, self.window_size
        windows = "b (h y) (w x) (three n c) -> three (b h w) n (y x) c"
        q, k, v = rearrange(qkv, windows, three=3, n=self.num_heads, y=size, x=size)
        return rearrange(self.mix(q, k, v), "(b h w) n (y x) c -> b (h y) (w x) (n c)", b=batch, h=rows, y=size)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v and the result: `(windows, heads, tokens, channels)`."""
        raise NotImplementedError


class LinearWindowAttention(WindowedAttention):
    """Efficient attention (Shen et al., 2021): a softmax of the keys over tokens sums the values per channel."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with torch.autocast(q.device.type, enabled=False):
            context = k.softmax(dim=-2, dtype=torch.float32).transpose(-1, -2) @ v.float()
            out = q.float() * q.shape[-1] ** -0.5 @ context
        return out.to(v.dtype)


class TransformerBlock(nn.Module):
    """Attention on a cyclically shifted map, then x + MLP(x). No norm, and no mask at the seam of the shift."""

    def __init__(self, dim: int, attention: LocalAttention, shift: int = 0) -> None:
        super().__init__()
        self.shift = shift
        self.attn = attention
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(dim, dim * 2), act=nn.GELU(), fc2=nn.Linear(dim * 2, dim)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.shift:
            x = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2))
        x = self.attn(x)
        if self.shift:
            x = torch.roll(x, shifts=(self.shift, self.shift), dims=(1, 2))
        return x + self.mlp(x)


class Layer(nn.Module):
    """A layer norm, not skipped, and two blocks, on `(B, C, H, W)`."""

    def __init__(self, dim: int, blocks: list[TransformerBlock]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.patch_embed = nn.Sequential(OrderedDict(norm=nn.LayerNorm(dim)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.patch_embed(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def fuse(inputs: int, dim: int) -> nn.Sequential:
    """1x1 convolution of `inputs` concatenated maps into one."""
    return nn.Sequential(nn.Conv2d(inputs * dim, dim, kernel_size=1), nn.LeakyReLU(0.05))


class DCTLSA(RestorationNet):
    """Groups of four attention blocks; each group reads all maps before it, fused by a 1x1 convolution.

    Args:
        scale: enlargement of both sides.
        in_channels: channels of the input.
        out_channels: channels of the output.
        dim: width of all blocks.
        num_blocks: groups `B1`, `B2`, ...
        num_heads: heads of the window attention; must divide `dim`.
        window_size: side of an attention window; image sides are multiples of it.
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        in_channels: int = 3,
        out_channels: int = 3,
        dim: int = 55,
        num_blocks: int = 6,
        num_heads: int = 5,
        window_size: int = 16,
    ) -> None:
        super().__init__()
        self.scale, self.multiple_of = scale, window_size
        self.in_channels, self.out_channels = in_channels, out_channels
        self.num_blocks = num_blocks

        def layer() -> nn.Module:
            blocks = self.pair(dim, num_heads, window_size)
            return nn.Sequential(OrderedDict(transformer_body=nn.Sequential(Layer(dim, blocks))))

        self.fea_conv = nn.Conv2d(in_channels, dim, kernel_size=3, padding=1)
        for i in range(1, num_blocks + 1):
            self.add_module(f"B{i}", nn.Sequential(OrderedDict(body=nn.Sequential(layer(), layer()))))
        for i in range(1, num_blocks):
            self.add_module(f"c{i}", fuse(i + 1, dim))
        self.c = fuse(num_blocks, dim)
        self.LR_conv = nn.Conv2d(dim, dim, kernel_size=3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(dim, out_channels * scale**2, kernel_size=3, padding=1), nn.PixelShuffle(scale)
        )

    def pair(self, dim: int, num_heads: int, window_size: int) -> list[TransformerBlock]:
        """The two blocks of a layer: windows, then windows shifted by half their side."""
        return [
            TransformerBlock(dim, LinearWindowAttention(dim, num_heads, window_size), shift)
            for shift in (0, window_size // 2)
        ]

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        shallow = self.fea_conv(image.contiguous(memory_format=torch.channels_last))
        maps = [shallow, self.get_submodule("B1")(shallow)]
        for i in range(1, self.num_blocks):
            fused = self.get_submodule(f"c{i}")(torch.cat(maps, dim=1))
            maps.append(self.get_submodule(f"B{i + 1}")(fused))
        deep = self.LR_conv(self.c(torch.cat(maps[1:], dim=1)))
        return self.upsampler(deep + shallow)
