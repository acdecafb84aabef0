"""PNG by bands of rows: inflated here, unfiltered by Pillow's decoder, which is given each band as a stream of its own.

PNG specification, third edition. Whatever is not plain (interlaced, animated, fewer than 8 bits) is left to Pillow.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

import numpy as np
from PIL import Image

from aio.images.modes import with_key

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type; table 11.1
_PALETTE: Final = 3
_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by bytes from one pixel to the next
_ANIMATED: Final = frozenset({b"acTL", b"fcTL", b"fdAT"})
_BAND: Final = 1 << 22  # bytes
_READ: Final = 1 << 16
_MOST_ASIDE: Final = 1 << 26  # bytes that are no pixels


class PngStream(NamedTuple):
    """A PNG whose rows can be inflated one after the other."""

    width: int
    height: int
    bits: int
    colour: int
    places: list[tuple[int, int]]  # where the compressed data lie: offset, length
    skeleton: bytes  # the file without its pixels


def examined(file: BinaryIO) -> PngStream | None:
    """The file's chunks, looked through without its pixels; None where it is no PNG, or none for `blocks`.

    Raises:
        ValueError: it is cut off.
    """
    file.seek(0)
    if file.read(8) != _SIGNATURE:
        return None
    places: list[tuple[int, int]] = []
    aside, room, ended = [_SIGNATURE], _MOST_ASIDE, False
    for kind, start, length in _chunks(file):
        if kind == b"IDAT" and not ended:  # Pillow reads no pixels behind another chunk
            places.append((start, length))
        elif kind != b"IDAT":
            ended, room = bool(places), room - length
            if kind in _ANIMATED or room < 0:
                return None
            file.seek(start - 8)
            aside.append(file.read(length + 12))
    header = aside[1]
    if header[4:8] != b"IHDR" or len(header) != 25 or not places:
        return None
    width, height, bits, colour, *rest = struct.unpack_from(">IIBBBBB", header, 8)
    plain = bits in (8, 16) and colour in _CHANNELS and rest == [0, 0, 0] and width and height
    return PngStream(width, height, bits, colour, places, b"".join(aside)) if plain else None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of each chunk's data; the file stands behind the signature."""
    kind, at = b"", len(_SIGNATURE)
    while kind != b"IEND":
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("the image is cut off: its last bytes are missing")
        (length,), kind = struct.unpack(">I", head[:4]), head[4:]
        yield kind, at + 8, length
        at += length + 12


def blocks(stream: PngStream, file: BinaryIO, image: Image.Image) -> Iterator[np.ndarray]:
    """uint8 or uint16 `(h, W, C)` as stored; `image` is what Pillow makes of the skeleton: palette and colour key.

    Raises:
        ValueError, zlib.error: the pixels are cut off or broken.
    """
    pixel = _CHANNELS[stream.colour] * stream.bits // 8
    row = stream.width * pixel
    data, above = _Inflated(stream.places, file), bytes(row)
    table = _palette(image) if stream.colour == _PALETTE else None
    key = None if stream.colour == _PALETTE else image.info.get("transparency")
    step = max(1, _BAND // row)
    for start in range(0, stream.height, step):
        rows = min(step, stream.height - start)
        raw = _unfiltered(b"\0" + above + data.read(rows * (row + 1)), stream.width, pixel)[1:]
        above = raw[-1].tobytes()
        samples = raw.reshape(rows, stream.width, -1)
        if stream.bits == 16:
            samples = samples.view(">u2").astype(np.uint16)
        yield with_key(samples, key) if table is None else table[samples[..., 0]]


class _Inflated:
    """Bytes of a PNG's compressed data, no more of them than are asked for."""

    def __init__(self, places: list[tuple[int, int]], file: BinaryIO) -> None:
        self._pieces = _pieces(places, file)
        self._packer = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            data = self._packer.unconsumed_tail or next(self._pieces, b"")
            if not data:
                raise ValueError("the image is cut off: pixels are missing")
            parts.append(self._packer.decompress(data, size))
            size -= len(parts[-1])
        return b"".join(parts)


def _pieces(places: list[tuple[int, int]], file: BinaryIO) -> Iterator[bytes]:
    for start, length in places:
        for at in range(start, start + length, _READ):
            file.seek(at)
            yield file.read(min(_READ, start + length - at))


def _unfiltered(rows: bytes, width: int, pixel: int) -> np.ndarray:
    """uint8 `(h, W * pixel)` of rows behind their filters' numbers, `pixel` bytes from one to the next.

    The first must be unfiltered. Of pixels that no mode of 8 bits has room for, Pillow gives one half at a time.
    """
    size = (width, len(rows) // (width * pixel + 1))
    stream = zlib.compress(rows, 0)
    if pixel in _MODES:
        mode = _MODES[pixel]
        return np.asarray(Image.frombytes(mode, size, stream, "zip", mode, 0)).reshape(size[1], -1)
    mode = _MODES[pixel // 2]
    halves = [Image.frombytes(mode, size, stream, "zip", f"{mode};16{half}", 0) for half in "BL"]
    return np.stack([np.asarray(half) for half in halves], axis=-1).reshape(size[1], -1)


def _palette(image: Image.Image) -> np.ndarray:
    """uint8 `(256, 3 or 4)`: the colours, as Pillow gives them, of all that a byte can say."""
    every = Image.frombytes("P", (256, 1), bytes(range(256)))
    assert image.palette is not None
    every.putpalette(image.palette.getdata()[1])
    every.info = image.info
    return np.asarray(every.convert("RGBA" if "transparency" in image.info else "RGB"))[0]


def skeleton_file(stream: PngStream) -> BinaryIO:
    """A file of all that the PNG says besides its pixels."""
    return io.BytesIO(stream.skeleton)
