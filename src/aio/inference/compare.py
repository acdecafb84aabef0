"""Before and after in one picture: both photographs side by side, and below, near to, where they differ most.

Both are read strip by strip and reduced on the way, so that a photograph of any size fits into memory.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from aio.errors import InputError
from aio.files import atomic_write
from aio.images import open_strips
from aio.images.opening import format_of_suffix
from aio.inference.reduced import ANY_SIZE, CHUNK, block_means, on_paper
from aio.pictures import Panel, draw_sheet

_PANEL: Final = 984  # two of them, with the sheet's margins, make 1992 pixels
_SMALL: Final = 480  # a photograph of fewer pixels on a side is enlarged towards this
_NEARER: Final = 3  # by how much the detail of a photograph is enlarged that is shown in full size above


class _Pair(NamedTuple):
    """Two files of which the second is `scale` times as large as the first; the panels show every `step`-th pixel."""

    source: Path
    restored: Path
    height: int
    width: int
    scale: int
    step: int


def write_comparison(source: Path, restored: Path, target: Path) -> None:
    """Draws `source` beside `restored`, at most 2000 pixels wide, and writes the picture whole or not at all.

    A second row shows the region where they differ most: pixel by pixel where the first row is reduced, else enlarged
    three times as much. Transparency shows paper, gray is shown as gray, and samples of more than 8 bits are rounded.

    Args:
        source: the photograph as it was.
        restored: the photograph restored, of the same size or a whole number of times as large.
        target: the name of the picture; its suffix says the format, as `.png` or `.jpg`.

    Raises:
        InputError: a file cannot be read, the sizes do not belong together, or the suffix is no format's.
        OSError: the picture cannot be written.
    """
    name = format_of_suffix(target.suffix)
    if name is None:
        raise InputError(f"{target}: expected a name that ends in .png or .jpg")
    pair = _pair(source, restored)
    before, after, difference = _reduced(pair)
    rows = [_whole(pair, before, after), _close(pair, difference)]
    with atomic_write(target) as file:
        draw_sheet(rows).save(file, format=name, **({"quality": 92} if name == "JPEG" else {}))


def _pair(source: Path, restored: Path) -> _Pair:
    with open_strips(source, max_pixels=ANY_SIZE) as one, open_strips(restored, max_pixels=ANY_SIZE) as two:
        height, width, scale = one.height, one.width, max(1, two.height // one.height)
        if (two.height, two.width) != (scale * height, scale * width):
            raise InputError(
                f"{restored}: {two.width} x {two.height} pixels, expected the size of {source}, {width} x {height}, "
                "or a whole number of times as much"
            )
    return _Pair(source, restored, height, width, scale, math.ceil(max(height, width) / _PANEL))


def _whole(pair: _Pair, before: np.ndarray, after: np.ndarray) -> list[Panel]:
    """The first row."""
    labels = (
        f"{word}: {scale * pair.width} x {scale * pair.height}"
        for word, scale in (("before", 1), ("after", pair.scale))
    )
    times = _enlarged(pair)
    return [Panel(label, _image(image, times)) for label, image in zip(labels, (before, after), strict=True)]


def _enlarged(pair: _Pair) -> int:
    """By how much the first row is larger than the photograph, where that is small."""
    return max(1, _SMALL // max(pair.height, pair.width))


def _bands(pair: _Pair, rows: int) -> Generator[tuple[int, np.ndarray, np.ndarray], None, None]:
    """(first row, `rows` of the source, as many of the restored photograph times its scale), from top to bottom."""
    with (
        open_strips(pair.source, max_pixels=ANY_SIZE) as one,
        open_strips(pair.restored, max_pixels=ANY_SIZE) as two,
    ):
        for top in range(0, pair.height, rows):
            yield top, on_paper(*one.read(rows)), on_paper(*two.read(rows * pair.scale))


def _reduced(pair: _Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both as `(h, w, 3)`, reduced by means over blocks, and the mean difference `(h, w)` within each block."""
    rows = pair.step * max(1, CHUNK // (pair.step * pair.width * pair.scale**2))
    before, after, difference = [], [], []
    for _, one, two in _bands(pair, rows):
        same_size = block_means(two, pair.scale)
        before.append(block_means(one, pair.step))
        after.append(block_means(same_size, pair.step))
        difference.append(block_means(np.abs(same_size - one).mean(axis=2, keepdims=True), pair.step))
    return np.concatenate(before), np.concatenate(after), np.concatenate(difference)[..., 0]


def _close(pair: _Pair, difference: np.ndarray) -> list[Panel]:
    """The second row: of all windows that fill a panel of the first row, that in which the differences sum up to most.

    Pixel by pixel where the first row is reduced, else enlarged three times as much as that.
    """
    whole, times = (pair.height, pair.width), _enlarged(pair)
    largest = max(1, max(difference.shape) * times // pair.scale)  # which fills the panel with one pixel
    nearer = min(math.ceil(_NEARER * times / pair.scale), largest) if pair.step == 1 else 1
    shown = pair.scale * nearer  # pixels of the panel for one of the source
    window = [min(side, max(1, panel * times // shown)) for side, panel in zip(whole, difference.shape, strict=True)]
    blocks = _busiest(difference, *(math.ceil(side / pair.step) for side in window))
    corner = [min(pair.step * n, side - part) for n, side, part in zip(blocks, whole, window, strict=True)]
    one, two = _crops(pair, *corner, *window)
    how = f"enlarged {nearer} times" if nearer > 1 else "pixel by pixel"
    return [Panel("where they differ most", _image(one, shown)), Panel(how, _image(two, nearer))]


def _busiest(difference: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Row and column at which the window of that size with the largest sum starts."""
    sums = np.pad(difference.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    return int(top), int(left)


def _crops(pair: _Pair, top: int, left: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The window out of both files."""
    ones, twos = [], []
    with closing(_bands(pair, max(1, CHUNK // (pair.width * pair.scale**2)))) as bands:
        for first, one, two in bands:
            rows = slice(max(0, top - first), max(0, top + height - first))
            ones.append(one[rows, left : left + width])
            scaled = slice(pair.scale * rows.start, pair.scale * rows.stop)
            twos.append(two[scaled, pair.scale * left : pair.scale * (left + width)])
            if first + len(one) >= top + height:
                break
    return np.concatenate(ones), np.concatenate(twos)


def _image(pixels: np.ndarray, times: int) -> torch.Tensor:
    """`(h, w, 3)` as `(3, times h, times w)`."""
    enlarged = pixels.repeat(times, axis=0).repeat(times, axis=1)
    return torch.from_numpy(np.ascontiguousarray(enlarged.transpose(2, 0, 1), dtype=np.float32))
