"""Photographs in and out by strips of rows, for images that memory does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from aio.images import jpeg_rows, png_rows
from aio.images.opening import LARGEST, check_pixels, check_suffix, identify, named_faults, opened, pillow_limit
from aio.images.photo import Head
from aio.images.reading import Source, banded, check_ending, encoding_of, head_of, tiff_page, turn_of, whole
from aio.images.rows import Rows, as_floats
from aio.images.turning import turned
from aio.images.writing import Sink, format_for, layout_in, sink


class StripReader:
    """An opened photograph: `height`, `width` and `channels` (1 or 3) of the upright picture, and its `head`."""

    def __init__(self, path: Path, rows: Rows, head: Head) -> None:
        self.height, self.width = rows.height, rows.width
        self.has_alpha = rows.channels % 2 == 0
        self.channels = rows.channels - self.has_alpha
        self.head = head
        self._path, self._rows = path, rows

    def read(self, rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The next rows, fewer at the end: pixels `(h, W, C)` and alpha `(h, W)`, float32 as `Photo` has them.

        Raises:
            InputError: the file is broken from here on, or its floats are not finite.
        """
        with named_faults(self._path):
            return as_floats(self._rows.read(rows))


@contextmanager
def open_strips(path: str | Path, *, max_pixels: int = LARGEST) -> Iterator[StripReader]:
    """The photograph's rows, from above; in all, pixels and head are those of `read_photo`.

    Memory does not grow with the height of a TIFF (but for a single compressed strip, and old JPEG in TIFF) or of a
    PNG (but if it is interlaced, animated or of fewer than 8 bits), nor, with libvips, of a sequential JPEG. All
    else is decoded at once and held in Pillow's mode: 1 byte a pixel for gray and palettes, 4 for colours. What is to
    be turned goes through a file in the temporary folder.

    Raises:
        InputError: as `read_photo`.
    """
    path = Path(path)
    with named_faults(path):
        file = opened(path)
    with file:
        with named_faults(path), pillow_limit.raised_to(max_pixels):
            source = _streamed(file, path, max_pixels) or whole(file, path, max_pixels)
            reader = StripReader(path, turned(source.rows, source.orientation), source.head)
        yield reader


def _streamed(file: BinaryIO, path: Path, max_pixels: int) -> Source | None:
    """The photograph with its pixels still in the file; None where its format does not let them be."""
    page = tiff_page(file, path, max_pixels)
    if page is not None:
        return banded(page) if page.has_bands() else None
    return _png(file, path, max_pixels) or _jpeg(file, path, max_pixels)


def _png(file: BinaryIO, path: Path, max_pixels: int) -> Source | None:
    stream = png_rows.examined(file)
    if stream is None:
        return None
    check_suffix(path, "PNG")
    check_pixels(path, stream.width, stream.height, max_pixels)
    image = identify(png_rows.skeleton_file(stream))
    rows = Rows(png_rows.blocks(stream, file, image), stream.height)
    return Source(rows, head_of(image, {}, rows), turn_of(image))


def _jpeg(file: BinaryIO, path: Path, max_pixels: int) -> Source | None:
    image = identify(file)
    if not jpeg_rows.is_streamed(image):
        return None
    check_suffix(path, "JPEG")
    check_pixels(path, *image.size, max_pixels)
    check_ending(image, file)
    rows = Rows(jpeg_rows.blocks(image, file), image.height)
    return Source(rows, head_of(image, encoding_of(image, file), rows), turn_of(image))


@contextmanager
def create_strips(
    target: str | Path,
    head: Head,
    *,
    height: int,
    width: int,
    channels: int,
    has_alpha: bool,
    format: str | None = None,
    quality: int | None = None,
) -> Iterator[Sink]:
    """Where strips are written that become `target` when the block ends well and all rows have come.

    Format, depth, metadata and pixels are those of `write_photo`; a JPEG is sequential, never progressive. PNG, TIFF,
    PPM and JPEG pass to the disk as they come; the other formats are held until the end, 1 to 4 bytes a pixel.

    Raises:
        InputError: as `write_photo`; transparency that the format cannot hold is met only when it comes.
        ValueError: rows are missing when the block ends.
        OSError: the file cannot be written.
    """
    name = format_for(head, target, format, height=height, width=width)
    layout = layout_in(name, head, height, width, channels, has_alpha)
    with sink(Path(target), name, head, layout, quality=quality, by_strips=True) as rows:
        yield rows
