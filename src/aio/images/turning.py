"""Rows of a picture that lies on its side or its head: turned by way of a scratch file, since the last comes first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np

from aio.images.exif import upright
from aio.images.rows import Rows

_SIDE: Final = 512  # pixels of a square as it lies in the scratch file


def turned(rows: Rows, orientation: int) -> Rows:
    """The rows of the upright picture; `orientation` is 1..8. The file has no name, so nothing can leave it behind.

    Raises:
        ValueError, OSError: the rows cannot be read.
    """
    if orientation == 1:
        return rows
    height = rows.height if orientation < 5 else rows.width
    return Rows(_mirrored(rows) if orientation == 2 else _by_scratch(rows, orientation), height)


def _mirrored(rows: Rows) -> Iterator[np.ndarray]:
    for _ in range(0, rows.height, _SIDE):
        yield upright(rows.read(_SIDE), 2)


def _by_scratch(rows: Rows, orientation: int) -> Iterator[np.ndarray]:
    with tempfile.TemporaryFile() as file:
        squares = [_stored(file, rows.read(_SIDE)) for _ in range(0, rows.height, _SIDE)]
        if orientation >= 5:  # a row of squares of the picture is a column of the file's
            squares = [list(column) for column in zip(*squares, strict=True)]
        if orientation in (3, 4, 7, 8):
            squares.reverse()
        for line in squares:
            parts = [_read(file, *place, rows) for place in line]
            yield upright(np.concatenate(parts, axis=1 if orientation < 5 else 0), orientation)


def _stored(file: BinaryIO, band: np.ndarray) -> list[tuple[int, tuple[int, ...]]]:
    """Writes a band, square by square; returns where each lies, and its shape."""
    places = []
    for left in range(0, band.shape[1], _SIDE):
        square = band[:, left : left + _SIDE]
        places.append((file.tell(), square.shape))
        file.write(square.tobytes())
    return places


def _read(file: BinaryIO, at: int, shape: tuple[int, ...], rows: Rows) -> np.ndarray:
    file.seek(at)
    count = int(np.prod(shape))
    return np.frombuffer(file.read(count * rows.dtype.itemsize), rows.dtype).reshape(shape)
