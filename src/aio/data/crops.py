"""The field's training crops as files: a grid of overlapping squares, numbered column by column.

Restormer's preparation, Zamir et al., CVPR 2022: GoPro 512, overlap 256; SIDD 512, overlap 128; DIV2K, Flickr2K and
WED 512, overlap 96, where both sides are above 800.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from aio.data.imagefiles import ImageFile
from aio.errors import InputError
from aio.files import atomic_write, write_text
from aio.images import list_images, png, read_samples

_GRID: Final = ".grid.json"  # in the folder of the crops: how they were cut


class Grid(NamedTuple):
    """Squares of side `crop` pixels, neighbours sharing `overlap`, the last ones flush with the image's end.

    Attributes:
        above: an image is cut if both its sides are longer than this and at least `crop`; else it stays whole.
    """

    crop: int
    overlap: int
    above: int = 0

    def places(self, height: int, width: int) -> list[tuple[int, int]]:
        """(top, left) of each crop, from top to bottom, column by column; none for an image that stays whole."""
        if min(height, width) < max(self.crop, self.above + 1):
            return []
        return [(top, left) for left in self._along(width) for top in self._along(height)]

    def _along(self, side: int) -> list[int]:
        return [*range(0, side - self.crop, self.crop - self.overlap), side - self.crop]


class Cut(NamedTuple):
    """One image to cut: where it comes from, and its crops' files with (top, left); a whole image has one file."""

    file: ImageFile
    crop: int
    targets: list[tuple[Path, tuple[int, int] | None]]

    def is_done(self) -> bool:
        """Whether all files are there, made of the source as it is now: they have its modification time."""
        return all(path.exists() and path.stat().st_mtime_ns == self.file.mtime for path, _ in self.targets)


def plan(file: ImageFile, size: tuple[int, int], grid: Grid, out: Path) -> Cut:
    """What becomes of an image of (height, width): `NAME-1.png`, `NAME-2.png` ... below `out`, or `NAME.png`."""
    whole = (out / file.name).with_suffix(".png")
    places = grid.places(*size)
    if not places:
        return Cut(file, grid.crop, [(whole, None)])
    return Cut(file, grid.crop, [(whole.with_stem(f"{whole.stem}-{n}"), place) for n, place in enumerate(places, 1)])


def claim(out: Path, grid: Grid, cuts: list[Cut]) -> None:
    """Writes down in `out` how it is cut.

    Raises:
        InputError: two images would be written to one file, or `out` holds other images, or crops of another grid.
    """
    times = Counter(path for cut in cuts for path, _ in cut.targets)
    twice = [cut for cut in cuts if any(times[path] > 1 for path, _ in cut.targets)]
    if twice:
        listed = "\n  ".join(str(cut.file.path) for cut in twice[:10])
        raise InputError(f"{len(twice)} images whose crops would get names of others, the first:\n  {listed}")
    held, grids = list_images(out), out / _GRID
    if held and (not grids.exists() or json.loads(grids.read_text()) != grid._asdict()):
        raise InputError(f"--out {out}: holds images, but no crops of this grid; expected an empty folder")
    if foreign := [path for path in held if path not in times]:
        raise InputError(f"--out {out}: {len(foreign)} images there are no crops of what there is, as {foreign[0]}")
    write_text(grids, json.dumps(grid._asdict()))


def pixels_of(cuts: list[Cut], sizes: dict[ImageFile, tuple[int, int]]) -> int:
    """Of all crops together."""
    return sum(len(cut.targets) * _area(cut, sizes[cut.file]) for cut in cuts)


def write(cut: Cut) -> str | None:
    """Writes the crops of one image as PNG without loss, each whole or not at all; says what cannot be read."""
    try:
        pixels = read_samples(cut.file.path)
    except InputError as error:
        return str(error)
    for path, place in cut.targets:
        _write(path, pixels if place is None else _square(pixels, place, cut.crop), cut.file.mtime)
    return None


def _area(cut: Cut, size: tuple[int, int]) -> int:
    return size[0] * size[1] if cut.targets[0][1] is None else cut.crop**2


def _square(pixels: np.ndarray, place: tuple[int, int], side: int) -> np.ndarray:
    top, left = place
    return pixels[top : top + side, left : left + side]


def _write(path: Path, pixels: np.ndarray, mtime: int) -> None:
    with atomic_write(path) as file:
        file.write(png.encode(pixels))
        file.flush()
        os.utime(file.fileno(), ns=(mtime, mtime))
