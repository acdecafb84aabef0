"""Where tiles lie, and how what is restored in them becomes one image: overlaps pass from tile to tile by ramps.

Tiles start at multiples of the net's size rule, so that strides and windows lie as in the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from aio.inference.rows import Band, Rows

Interval = tuple[int, int]
Progress = Callable[[int, int], None]
Restore = Callable[[Tensor, int, Sequence[int]], Tensor]


@dataclass(frozen=True)
class Grid:
    """Tiles that cover an image, as (start, length) of their rows and of their columns."""

    rows: list[Interval]
    columns: list[Interval]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)


def grid(size: tuple[int, int], sides: tuple[int, int], overlap: int, step: int) -> Grid:
    """Tiles of at most `sides` for an image of `size`, both (height, width).

    Neighbours share `overlap` pixels or a little more. Sides and overlap grow to multiples of `step`, and a side to
    twice the overlap, where they are none.
    """
    overlap = _ceil(overlap, step)
    rows, columns = (
        intervals(length, max(_ceil(side, step), 2 * overlap), overlap, step)
        for length, side in zip(size, sides, strict=True)
    )
    return Grid(rows, columns)


def intervals(length: int, side: int, overlap: int, step: int) -> list[Interval]:
    """As few intervals of at most `side` as cover `length`, and about equally long; all starts are multiples of `step`.

    `side` and `overlap` are multiples of `step`, and `side` is more than `overlap`.
    """
    if length <= side:
        return [(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    side = _ceil(-(-(length - overlap) // count), step) + overlap
    last = _ceil(length - side, step)
    starts = [index * last // (count - 1) // step * step for index in range(count)]
    return [(start, min(side, length - start)) for start in starts]


def _ceil(number: int, step: int) -> int:
    return -(-number // step) * step


def ramp(length: int) -> Tensor:
    """`(length,)`: what a tile weighs where it overlaps the one before, which weighs the rest of 1.

    Neither tile's outermost quarter of the overlap weighs anything, since there its own padding shows.
    """
    margin = length // 4
    return ((torch.arange(1, length + 1) - margin) / (length - 2 * margin + 1)).clamp_(0, 1)


@torch.inference_mode()
def restored_rows(
    source: Rows,
    restore: Restore,
    tiles: Grid,
    *,
    batch: int = 1,
    scale: int = 1,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """The rows of `source` restored tile by tile: `(C', n, scale * W)` from above, each overwritten by the next.

    `restore` takes tiles of one size that lie in a row, `(B, C, h, w)` with B at most `batch`, the row of their corners
    and the columns of these to `(B, C', scale * h, scale * w)`. Only one band of tiles is held, of input and of result.
    """
    band, done, total = Band(source), 0, len(tiles)
    strip, carried = torch.empty(0), torch.empty(0)
    ends = [start * scale for start, _ in tiles.rows[1:]] + [source.height * scale]
    for (top, height), end in zip(tiles.rows, ends, strict=True):
        rows, covered = band.move(top, height), 0
        for lefts, width in _batches(tiles.columns, batch):
            restored = restore(_cut(rows, lefts, width), top, lefts)
            if not len(strip):
                strip = restored.new_empty(restored.shape[1], height * scale, source.width * scale)
            for left, part in zip(lefts, restored, strict=True):
                _lay(strip[:, : height * scale], part, left * scale, covered)
                covered, done = (left + width) * scale, done + 1
                if progress:
                    progress(done, total)
        shared, final = carried.shape[1] if top else 0, end - top * scale
        if shared:
            strip[:, :shared] = carried.lerp_(strip[:, :shared], ramp(shared)[:, None])
        carried = strip[:, final : height * scale].clone()
        yield strip[:, :final]


def _batches(columns: Sequence[Interval], most: int) -> Iterator[tuple[list[int], int]]:
    """Neighbours of one length, at most so many: where they start, and that length."""
    for length, same in groupby(columns, key=lambda column: column[1]):
        starts = [start for start, _ in same]
        yield from ((starts[first : first + most], length) for first in range(0, len(starts), most))


def _cut(rows: Tensor, lefts: Sequence[int], width: int) -> Tensor:
    """Tiles `(B, C, h, w)` of `rows (C, h, W)`: one is a view, several are copies."""
    tiles = [rows[:, :, left : left + width] for left in lefts]
    return torch.stack(tiles) if len(tiles) > 1 else tiles[0][None]


def _lay(strip: Tensor, restored: Tensor, left: int, covered: int) -> None:
    """Puts a tile into `strip` from column `left` on; up to `covered` there is another one, which fades out."""
    shared = covered - left if left else 0
    width = restored.shape[2]
    strip[:, :, left : left + shared].lerp_(restored[:, :, :shared], ramp(shared))
    strip[:, :, left + shared : left + width] = restored[:, :, shared:]
