"""A TIFF's strips and tiles: where they lie, and bands of them as small TIFFs of their own, whatever compresses them.

TIFF 6.0, sections 3, 7 and 15; tag numbers are its, its supplements' and libtiff's.
"""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, BinaryIO, Final, NamedTuple

from aio.images import ifd

_WIDTH, _HEIGHT, _COMPRESSION, _ROWS = 256, 257, 259, 278
_OFFSETS, _SIZES = 273, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
# How samples are packed: bits, compression, photometric, fill order, channels, planes, fax options (2), predictor,
# colour map, inks (2), extra samples, format, JPEG tables, YCbCr (4), ICC profile.
_KEPT: Final = (
    *(258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 332, 334, 338, 339, 347, 529, 530, 531, 532),
    34675,
)
PLAIN: Final = 1
_DEFLATE: Final = 8
_INFLATERS: Final[Mapping[int, Callable[[], Any]]] = {
    _DEFLATE: zlib.decompressobj,
    32946: zlib.decompressobj,
    34925: lzma.LZMADecompressor,
}
_LARGEST_TILE: Final = 1 << 24  # pixels, where the image itself is smaller
_FEW_ROWS: Final = 256  # to which plain strips are cut
_BAND: Final = 1 << 23  # bytes decoded at once, or those of a single row of parts
_MOST_GROWTH, _SLACK = 8, 1 << 16  # by which compression may fail: dithers sent by fax grow


class Parts(NamedTuple):
    """The strips or tiles of an image, row by row of them, plane by plane."""

    tiled: bool
    width: int
    height: int
    across: int
    down: int
    planes: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


def parts_of(directory: ifd.Directory, width: int, height: int, planes: int) -> Parts:
    """Where the parts lie.

    Raises:
        ValueError: some are missing, for which decoders put black, or the directory lies about their size.
    """
    tiled = _TILE_WIDTH in directory.entries
    part_width = _positive(directory, _TILE_WIDTH) if tiled else width
    part_height = _positive(directory, _TILE_HEIGHT) if tiled else min(height, _positive(directory, _ROWS, height))
    if part_width * part_height > max(width * height, _LARGEST_TILE):
        raise ValueError(f"tiles of {part_width} x {part_height} pixels")
    across, down = -(-width // part_width), -(-height // part_height)
    tags = (_TILE_OFFSETS, _TILE_SIZES) if tiled else (_OFFSETS, _SIZES)
    places = [directory.numbers(tag) for tag in tags]
    for found in places:
        if len(found) != planes * across * down or not all(found):
            expected = planes * across * down
            raise ValueError(f"{sum(map(bool, found))} strips or tiles where {expected} were expected")
    return Parts(tiled, part_width, part_height, across, down, planes, *places)


def cut(parts: Parts, height: int, row_bytes: int) -> Parts:
    """Strips that nothing compresses, cut to a few rows each.

    Raises:
        ValueError: a strip is shorter than its rows.
    """
    rows = min(parts.height, _FEW_ROWS)
    while parts.down > 1 and parts.height % rows:
        rows -= 1
    offsets, sizes = [], []
    for at, (offset, size) in enumerate(zip(parts.offsets, parts.sizes, strict=True)):
        whole = min(parts.height, height - at % parts.down * parts.height)
        if size < whole * row_bytes:
            raise ValueError(f"a strip of {size} bytes where {whole * row_bytes} were expected")
        for start in range(0, whole, rows):
            offsets.append(offset + start * row_bytes)
            sizes.append(min(rows, whole - start) * row_bytes)
    return parts._replace(height=rows, down=-(-height // rows), offsets=tuple(offsets), sizes=tuple(sizes))


def bands(
    directory: ifd.Directory, parts: Parts, size: tuple[int, int], row_bytes: int, *, inflate: bool
) -> Iterator[BinaryIO]:
    """TIFFs of a few whole rows of parts each, from the upper edge down.

    `size` is (width, height) of the image and `row_bytes` the length of a part's row, decoded. With `inflate` what is
    deflated is cut to the length that it should have, and stored: tifffile would trust it with all memory.
    """
    width, height = size
    part_bytes = parts.height * row_bytes
    step = max(1, _BAND // (part_bytes * parts.across * parts.planes))
    inflated = inflate and compression_of(directory) in _INFLATERS
    kept = {tag: field for tag in _KEPT if (field := directory.field(tag)) is not None}
    if inflated:
        kept[_COMPRESSION] = ifd.numbers(directory.order, ifd.SHORT, _DEFLATE)
    for first in range(0, parts.down, step):
        rows = range(first, min(first + step, parts.down))
        chosen = [
            (plane * parts.down + row) * parts.across + column
            for plane in range(parts.planes)
            for row in rows
            for column in range(parts.across)
        ]
        bodies = [_body(directory, parts, at, part_bytes, inflated) for at in chosen]
        band_height = min(height, (rows[-1] + 1) * parts.height) - first * parts.height
        yield _small_tiff(directory.order, parts, kept, (width, band_height), bodies)


def _body(directory: ifd.Directory, parts: Parts, at: int, expected: int, inflated: bool) -> bytes:
    size = parts.sizes[at]
    if size > _MOST_GROWTH * expected + _SLACK:
        raise ValueError(f"a strip or tile of {size} bytes that decodes to {expected}")
    data = directory.read(parts.offsets[at], size)
    if not inflated:
        return data
    return zlib.compress(_INFLATERS[compression_of(directory)]().decompress(data, expected), 0)


def _small_tiff(order: str, parts: Parts, kept: ifd.Fields, size: tuple[int, int], bodies: list[bytes]) -> BinaryIO:
    *offsets, end = accumulate(map(len, bodies), initial=len(ifd.header(order, 0)))
    end += end % 2
    tags = (_TILE_OFFSETS, _TILE_SIZES) if parts.tiled else (_OFFSETS, _SIZES)
    layout = {_WIDTH: size[:1], _HEIGHT: size[1:], tags[0]: tuple(offsets), tags[1]: tuple(map(len, bodies))}
    layout |= {_TILE_WIDTH: (parts.width,), _TILE_HEIGHT: (parts.height,)} if parts.tiled else {_ROWS: (parts.height,)}
    fields = {**kept, **{tag: ifd.numbers(order, ifd.LONG, *values) for tag, values in layout.items()}}
    head = b"".join((ifd.header(order, end), *bodies))
    return io.BytesIO(head.ljust(end, b"\0") + ifd.pack(fields, end, order))


def compression_of(directory: ifd.Directory) -> int:
    """The number of the compression; 1 where nothing is compressed."""
    return directory.numbers(_COMPRESSION, PLAIN)[0]


def _positive(directory: ifd.Directory, tag: int, *default: int) -> int:
    found = directory.numbers(tag, *default)
    if not found or not found[0]:
        raise ValueError(f"tag {tag} of the TIFF directory: expected a positive number")
    return found[0]
