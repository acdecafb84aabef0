"""Stoformer: Stochastic Window Transformer for Image Restoration (Xiao, Fu, Zhou, Liu, Zha; NeurIPS 2022).

Keys and outputs are those of the official release, github.com/jiexiaou/Stoformer. Attention lives in 8 x 8 windows
whose grid is shifted by an offset: training draws one offset per block, evaluation takes the expectation over all 64.
Maps are `(B, H, W, C)`. The paper's baseline Fixformer is the same net with fixed offsets: conf/net/fixformer.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from aio.nets.base import RestorationNet

Offset = tuple[int, int]
Windows = Literal["all", "fast", "fixed"] | Sequence[Offset]

WINDOW = 8
REACH = WINDOW - 1  # how far a pixel sees, in each direction, over all windows that hold it
SIGHT = 2 * REACH + 1  # the side of the square it sees
TILE_SIGHT = WINDOW + 2 * REACH  # the side of the square that the pixels of an 8 x 8 tile see together

ALL_OFFSETS = tuple((h, w) for h in range(WINDOW) for w in range(WINDOW))
# The nine of the Hybrid Stoformer: corners, middle and quarters of the square of offsets.
FAST_OFFSETS = ((0, 0), (0, 7), (7, 0), (7, 7), (4, 4), (2, 2), (2, 5), (5, 2), (5, 5))

# Exponentials of +-35, sums of 225 of them and squared reciprocals of those, which gradients need, are normal float32
# numbers. So scores more than 70 below the best that a query sees count as 70 below.
MAX_EXPONENT = 35.0


def offsets_of(windows: Windows, block: int) -> tuple[Offset, ...]:
    """The offsets that `windows` means for the `block`-th block of a stage; `fixed` alternates 0 and 4."""
    named = {"all": ALL_OFFSETS, "fast": FAST_OFFSETS, "fixed": (((0, 0), (4, 4))[block % 2],)}
    offsets = named.get(windows, ()) if isinstance(windows, str) else tuple((h, w) for h, w in windows)
    if not offsets or not set(offsets) <= set(ALL_OFFSETS):
        raise ValueError(f"windows are 'all', 'fast', 'fixed' or pairs (h, w) of 0..{REACH}, but got {windows!r}")
    return offsets


def relative_position_index() -> Tensor:
    """`(64, 64)`: the row of the bias table for query i and key j of a window."""
    pixel = torch.arange(WINDOW**2)
    y, x = pixel // WINDOW, pixel % WINDOW
    return (y[:, None] - y + REACH) * SIGHT + (x[:, None] - x + REACH)


def window_attention(q: Tensor, kv: Tensor, bias: Tensor, offset: Offset) -> Tensor:
    """Attention in the windows of one offset: scaled `q (B, H, W, C)`, `kv (B, H, W, 2C)`, `bias (heads, 64, 64)`.

    The maps are rolled by the offset, and what the roll brought together from opposite borders does not see each
    other. A side that is no multiple of 8 is then filled with zeros; as in the Hybrid Stoformer, pixels of unrolled
    windows attend to them.
    """
    height, width = q.shape[1:3]
    heads = bias.shape[0]
    back = (-offset[0], -offset[1])
    queries = _windows(q.roll(back, (1, 2)), heads)
    keys, values = _windows(kv.roll(back, (1, 2)), 2 * heads).chunk(2, dim=2)
    scores = (queries @ keys.transpose(-1, -2)).float() + bias.float()
    if offset != (0, 0):
        scores = scores + _border_mask(height, width, offset, q.device)
    out = scores.softmax(dim=-1).to(values.dtype) @ values
    out = rearrange(out, "b (i j) n (y x) c -> b (i y) (j x) (n c)", i=-(-height // WINDOW), y=WINDOW)
    return out[:, :height, :width].roll(offset, (1, 2))


def _windows(x: Tensor, heads: int) -> Tensor:
    """`(B, H, W, C) -> (B, windows, heads, 64, C / heads)`, zeros below and on the right."""
    x = F.pad(x, (0, 0, 0, -x.shape[2] % WINDOW, 0, -x.shape[1] % WINDOW))
    return rearrange(x, "b (i y) (j x) (n c) -> b (i j) n (y x) c", y=WINDOW, x=WINDOW, n=heads)


def _border_mask(height: int, width: int, offset: Offset, device: torch.device) -> Tensor:
    """`(windows, 1, 64, 64)`: -100 between pixels of a rolled map that were no neighbours, else 0."""
    rows, columns = (_regions(size, shift, device) for size, shift in zip((height, width), offset, strict=True))
    region = _windows((rows[:, None] * 3 + columns)[None, :, :, None], heads=1)[0]
    return (region != region.transpose(-1, -2)) * -100.0


def _regions(size: int, shift: int, device: torch.device) -> Tensor:
    """Along one axis of a rolled map: 0 before the last window, 1 in it, 2 what came from the other border."""
    position = torch.arange(size, device=device)
    if shift == 0:
        return torch.zeros_like(position)
    return (position >= size - WINDOW).long() + (position >= size - shift).long()


def expected_attention(q: Tensor, kv: Tensor, table: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """The mean of `window_attention` over `offsets` in one pass; sides are multiples of 8, `table` is `(225, heads)`.

    A score depends on query and key alone, not on the window they meet in. So a query needs the 225 scores of the
    square it sees, once, instead of 64 in each of 64 windows. With e = exp(score), Z = the sum of e over a window and
    s = the window's share in the mean, key j weighs e_j * (the sum of s / Z over the windows that hold j).
    Queries go by 8 x 8 tiles, tiles by rows, as many rows at once as memory should hold.
    """
    batch, height, width = q.shape[:3]
    heads, device = table.shape[1], q.device
    tiles = rearrange(q, "b (i y) (j x) (n c) -> (b i) j n (y x) c", y=WINDOW, x=WINDOW, n=heads)
    kv = F.pad(kv, (0, 0, REACH, REACH, REACH, REACH)).flatten(0, 1)
    kv_rows = torch.arange(len(kv), device=device).view(batch, -1).unfold(1, TILE_SIGHT, WINDOW).flatten(0, 1)
    inside_y, inside_x = _inside(height, device).repeat(batch, 1, 1), _inside(width, device)
    bias = table.float().flip(0).t().reshape(heads, 1, 1, SIGHT, SIGHT)
    shares = _shares(offsets, device)

    scores = 2**20 if device.type == "cpu" else 2**24  # what a CPU caches, what fills a GPU
    rows = max(1, scores // (width // WINDOW * heads * WINDOW**2 * TILE_SIGHT**2))
    out = []
    for queries, at, inside in zip(tiles.split(rows), kv_rows.split(rows), inside_y.split(rows), strict=True):
        seen = kv[at].unfold(2, TILE_SIGHT, WINDOW)
        keys, values = rearrange(seen, "i y j (n c) x -> i j n (y x) c", n=2 * heads).chunk(2, dim=2)
        seen_inside = inside[:, None, None, :, None, :, None] * inside_x[:, None, None, :, None, :]
        out.append(_expectation(queries, keys, values, bias, _by_pixel(seen_inside), shares))
    return rearrange(torch.cat(out), "(b i) j n (y x) c -> b (i y) (j x) (n c)", b=batch, y=WINDOW)


def _inside(size: int, device: torch.device) -> Tensor:
    """`(size / 8, 8, 15)`: 1 where what a pixel sees along one axis lies in the map, else 0."""
    seen = torch.arange(size, device=device)[:, None] + torch.arange(-REACH, WINDOW, device=device)
    return ((seen >= 0) & (seen < size)).float().unflatten(0, (-1, WINDOW))


def _shares(offsets: Sequence[Offset], device: torch.device) -> Tensor:
    """`(64, 64)`: for each pixel of a tile, the share in the mean of each of the 64 windows that hold it.

    The window that begins 7 - t before pixel y of a tile belongs to offset (y + t + 1) mod 8.
    """
    count = torch.bincount(torch.tensor([h * WINDOW + w for h, w in offsets]), minlength=WINDOW**2)
    pixel = torch.arange(WINDOW)
    offset = (pixel[:, None] + pixel + 1) % WINDOW
    share = count.view(WINDOW, WINDOW)[offset[:, None, :, None], offset[None, :, None, :]] / len(offsets)
    return share.reshape(WINDOW**2, WINDOW**2).to(device)


def _holds(device: torch.device) -> Tensor:
    """`(64, 225)`: 1 where a window that holds a pixel also holds a place in the square which the pixel sees."""
    begin, place = torch.arange(WINDOW, device=device)[:, None], torch.arange(SIGHT, device=device)
    axis = ((begin <= place) & (place < begin + WINDOW)).float()
    return torch.kron(axis, axis)


def _expectation(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, inside: Tensor, shares: Tensor) -> Tensor:
    """Of queries `(..., heads, 64, c)` to what their tile sees, `(..., heads, 484, c)`; the weights in float32."""
    seen = _band(q @ k.transpose(-1, -2))
    with torch.autocast(q.device.type, enabled=False):
        scores = _by_pixel(seen.float() + bias)
        top = scores.detach().amax(dim=-1, keepdim=True) - MAX_EXPONENT
        weights = (scores - top).clamp(min=-MAX_EXPONENT).exp() * inside
        holds = _holds(q.device)
        weights = weights * ((shares / (weights @ holds.t())) @ holds)
    spread = v.new_zeros(*q.shape[:-1], TILE_SIGHT**2)
    _band(spread).copy_(weights.view(seen.shape))
    return spread @ v


def _band(scores: Tensor) -> Tensor:
    """A view of `(..., 64, 484)`, queries of a tile to all that the tile sees, as `(..., 8, 8, 15, 15)`: each its own.

    The square which pixel (y, x) of the tile sees begins at row y and column x.
    """
    pixel, row = TILE_SIGHT**2, TILE_SIGHT
    strides = (WINDOW * pixel + row, pixel + 1, row, 1)
    return scores.as_strided((*scores.shape[:-2], WINDOW, WINDOW, SIGHT, SIGHT), (*scores.stride()[:-2], *strides))


def _by_pixel(seen: Tensor) -> Tensor:
    """`(..., 8, 8, 15, 15) -> (..., 64, 225)`."""
    return seen.flatten(-2).flatten(-3, -2)


class LayerNorm(nn.LayerNorm):
    """Over channels, in float32 under mixed precision too."""

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), self.normalized_shape, self.weight, self.bias, self.eps)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """With the official initial values."""
    linear = nn.Linear(inputs, outputs)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear


def _convolved(module: nn.Module, x: Tensor) -> Tensor:
    """A module of `(B, C, H, W)` on `(B, H, W, C)`; in memory both are channels-last."""
    return module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class LeFF(nn.Module):
    """Locally-enhanced feed-forward network: a depth-wise convolution between two linear layers."""

    def __init__(self, dim: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = dim * expansion
        self.linear1 = nn.Sequential(_linear(dim, hidden), nn.GELU())
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden), nn.GELU())
        self.linear2 = nn.Sequential(_linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(_convolved(self.dwconv, self.linear1(x)))


class StochasticBlock(nn.Module):
    """x + attention(LN x), then x + LeFF(LN x), each branch dropped in training at `drop_path` per image.

    `train_offsets` are those one of which is drawn per forward pass in training, from torch's CPU generator;
    `eval_offsets` those over which evaluation averages. Both may be changed at any time.
    """

    relative_position_index: Tensor

    def __init__(
        self,
        dim: int,
        num_heads: int,
        drop_path: float = 0.0,
        train_offsets: Sequence[Offset] = ALL_OFFSETS,
        eval_offsets: Sequence[Offset] = ALL_OFFSETS,
    ) -> None:
        super().__init__()
        self.scale = (dim // num_heads) ** -0.5
        self.drop_path = drop_path
        self.train_offsets, self.eval_offsets = train_offsets, eval_offsets
        self.relative_position_bias_table = nn.Parameter(torch.zeros(SIGHT**2, num_heads))
        self.register_buffer("relative_position_index", relative_position_index())
        self.norm1 = LayerNorm(dim)
        self.to_q = _linear(dim, dim)
        self.to_kv = _linear(dim, dim * 2)
        self.proj = _linear(dim, dim)
        self.norm2 = LayerNorm(dim)
        self.mlp = LeFF(dim)

    def forward(self, x: Tensor) -> Tensor:
        offsets = [self._draw()] if self.training else self.eval_offsets
        x = x + self._drop(self.attend(self.norm1(x), offsets))
        return x + self._drop(self.mlp(self.norm2(x)))

    def attend(self, x: Tensor, offsets: Sequence[Offset]) -> Tensor:
        """The attention branch of `x (B, H, W, C)`, averaged over `offsets`; projections are linear and run once."""
        q, kv, table = self.to_q(x) * self.scale, self.to_kv(x), self.relative_position_bias_table
        if len(offsets) > 1 and x.shape[1] % WINDOW == 0 and x.shape[2] % WINDOW == 0:
            return self.proj(expected_attention(q, kv, table, offsets))
        bias = table[self.relative_position_index].permute(2, 0, 1)
        mean = torch.zeros_like(q)
        for offset in offsets:
            mean = mean + window_attention(q, kv, bias, offset) / len(offsets)
        return self.proj(mean)

    def _draw(self) -> Offset:
        count = len(self.train_offsets)
        return self.train_offsets[int(torch.randint(count, ())) if count > 1 else 0]

    def _drop(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return branch
        keep = branch.new_empty(len(branch), 1, 1, 1).bernoulli_(1 - self.drop_path)
        return branch * keep / (1 - self.drop_path)


class Stage(nn.Module):
    """Blocks of one resolution, on maps `(B, H, W, dim)`; one block for each rate in `drop_paths`."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        drop_paths: Sequence[float],
        train_windows: Windows = "all",
        eval_windows: Windows = "all",
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                StochasticBlock(dim, num_heads, rate, offsets_of(train_windows, i), offsets_of(eval_windows, i))
                for i, rate in enumerate(drop_paths)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class InputProj(nn.Module):
    """The stem: image `(B, C, H, W)` to map `(B, H, W, dim)`."""

    def __init__(self, dim: int, in_channels: int = 3) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(in_channels, dim, kernel_size=3, padding=1), nn.LeakyReLU())

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)


class OutputProj(nn.Module):
    """The head: map `(B, H, W, dim)` to image `(B, C, H, W)`."""

    def __init__(self, dim: int, out_channels: int = 3) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(dim, out_channels, kernel_size=3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x.permute(0, 3, 1, 2))


class Downsample(nn.Module):
    """`(B, H, W, C) -> (B, H/2, W/2, 2C)`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(dim, dim * 2, kernel_size=4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return _convolved(self.conv, x)


class Upsample(nn.Module):
    """`(B, H, W, dim) -> (B, 2H, 2W, out_dim)`."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.deconv = nn.Sequential(nn.ConvTranspose2d(dim, out_dim, kernel_size=2, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return _convolved(self.deconv, x)


class Stoformer(RestorationNet):
    """A five-level U-net of stochastic window blocks which predicts the residual to its input.

    Args:
        dim: width of the first level; every further level doubles it, and the decoder is twice as wide.
        num_blocks: blocks per level, the last is the bottleneck.
        heads: attention heads per level; each must divide the level's width.
        drop_path_rate: rate at which branches are dropped in the deepest blocks; it grows linearly towards them.
        train_windows: the window offsets from which training draws one per block and forward pass: `all` 64, `fast`
            (nine of them), `fixed` (0 and 4 in turn, as in Fixformer) or a list of pairs (h, w) of 0..7.
        eval_windows: the window offsets over which evaluation averages every block, in the same words.
    """

    multiple_of = 128

    def __init__(
        self,
        *,
        dim: int = 32,
        num_blocks: Sequence[int] = (1, 2, 8, 8, 2),
        heads: Sequence[int] = (1, 2, 4, 8, 16),
        drop_path_rate: float = 0.1,
        train_windows: Windows = "all",
        eval_windows: Windows = "all",
    ) -> None:
        super().__init__()
        *levels, bottleneck = num_blocks
        rates = torch.linspace(0, drop_path_rate, sum(levels), device="cpu").tolist()
        drop_paths = [[rates.pop(0) for _ in range(count)] for count in levels]

        def stage(width: int, num_heads: int, drop_paths: Sequence[float]) -> Stage:
            return Stage(width, num_heads, drop_paths, train_windows, eval_windows)

        self.input_proj = InputProj(dim)
        self.encoderlayer_0 = stage(dim, heads[0], drop_paths[0])
        self.dowsample_0 = Downsample(dim)
        self.encoderlayer_1 = stage(dim * 2, heads[1], drop_paths[1])
        self.dowsample_1 = Downsample(dim * 2)
        self.encoderlayer_2 = stage(dim * 4, heads[2], drop_paths[2])
        self.dowsample_2 = Downsample(dim * 4)
        self.encoderlayer_3 = stage(dim * 8, heads[3], drop_paths[3])
        self.dowsample_3 = Downsample(dim * 8)
        self.conv = stage(dim * 16, heads[4], [drop_path_rate] * bottleneck)

        self.upsample_0 = Upsample(dim * 16, dim * 8)
        self.decoderlayer_0 = stage(dim * 16, heads[4], drop_paths[3][::-1])
        self.upsample_1 = Upsample(dim * 16, dim * 4)
        self.decoderlayer_1 = stage(dim * 8, heads[3], drop_paths[2][::-1])
        self.upsample_2 = Upsample(dim * 8, dim * 2)
        self.decoderlayer_2 = stage(dim * 4, heads[2], drop_paths[1][::-1])
        self.upsample_3 = Upsample(dim * 4, dim)
        self.decoderlayer_3 = stage(dim * 2, heads[1], drop_paths[0][::-1])
        self.output_proj = OutputProj(dim * 2)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        level0 = self.encoderlayer_0(self.input_proj(image))
        level1 = self.encoderlayer_1(self.dowsample_0(level0))
        level2 = self.encoderlayer_2(self.dowsample_1(level1))
        level3 = self.encoderlayer_3(self.dowsample_2(level2))
        x = self.conv(self.dowsample_3(level3))
        x = self.decoderlayer_0(torch.cat([self.upsample_0(x), level3], dim=-1))
        x = self.decoderlayer_1(torch.cat([self.upsample_1(x), level2], dim=-1))
        x = self.decoderlayer_2(torch.cat([self.upsample_2(x), level1], dim=-1))
        x = self.decoderlayer_3(torch.cat([self.upsample_3(x), level0], dim=-1))
        return image + self.output_proj(x)
