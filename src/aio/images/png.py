"""PNG: samples of 16 bits, of which Pillow keeps 8, and an encoder for all depths that keeps the metadata.

PNG specification, third edition; chunk and table numbers are its.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO, Final

import numpy as np
from PIL import ImageFile

from aio.images.halves import Reopen, byte_pairs, decoded, rawmode
from aio.images.layout import About, Layout

_COLOUR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels; table 11.1
_PAETH: Final = 4
_SIGNATURE: Final = 8  # bytes
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
_PROFILES: Final = (b"Raw profile type", b"XML:com.adobe.xmp")
_KEYWORD: Final = 32  # bytes of a text that are looked at
_BLOCK: Final = 1 << 22  # bytes filtered at once


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an opened, not yet loaded image is a PNG with 16 bits in more than one channel."""
    return image.format == "PNG" and image.mode != "I;16" and rawmode(image).endswith(";16B")


def deep_samples(reopen: Reopen) -> tuple[np.ndarray, ImageFile.ImageFile]:
    """uint16 `(H, W, C)` and the loaded image, for its metadata. `reopen` gives the opened image each time."""
    image = reopen()
    if rawmode(image) == "LA;16B":  # gray and alpha are four bytes, as one pixel of RGBA
        return decoded(image, "RGBA").copy().view(">u2").astype(np.uint16), image
    pairs, image = byte_pairs(reopen)
    return pairs.view(">u2")[..., 0].astype(np.uint16), image


def may_be_turned(file: BinaryIO) -> bool:
    """Whether any chunk could hold an orientation: told from the chunks' heads, so that no pixel is decoded.

    The file stands anywhere afterwards.
    """
    file.seek(_SIGNATURE)
    while len(head := file.read(8)) == 8:
        (length,), kind, start = struct.unpack(">I", head[:4]), head[4:], file.tell()
        if kind == b"eXIf" or (kind in _TEXTS and file.read(_KEYWORD).startswith(_PROFILES)):
            return True
        file.seek(start + length + 4)
    return False


class PngWriter:
    """A PNG of 8 or 16 bits written block by block: gray or RGB, and alpha."""

    def __init__(self, file: BinaryIO, layout: Layout, about: About) -> None:
        self._file = file
        self._row, self._pixel = (n * layout.channels * layout.bits // 8 for n in (layout.width, 1))
        self.rows = max(1, _BLOCK // self._row)
        self._above = np.zeros((1, self._row), np.uint8)
        self._packer = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
        colour_type = _COLOUR_TYPES[layout.channels]
        size = struct.pack(">IIBBBBB", layout.width, layout.height, layout.bits, colour_type, 0, 0, 0)
        chunks = [(b"IHDR", size)]
        if about.icc_profile:
            chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(about.icc_profile)))
        if about.exif:
            chunks.append((b"eXIf", about.exif))
        if about.xmp:
            chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + about.xmp))
        file.write(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))

    def write(self, samples: np.ndarray) -> None:
        """The next rows, any number of them."""
        block = samples.astype(samples.dtype.newbyteorder(">"), order="C")
        rows = block.view(np.uint8).reshape(len(block), self._row)
        filtered = _filtered(rows, np.concatenate((self._above, rows[:-1])), self._pixel)
        self._above = rows[-1:].copy()
        self._put(self._packer.compress(filtered.tobytes()))

    def close(self) -> None:
        self._put(self._packer.flush())
        self._file.write(_chunk(b"IEND", b""))

    def _put(self, data: bytes) -> None:
        if data:
            self._file.write(_chunk(b"IDAT", data))


def encode(samples: np.ndarray) -> bytes:
    """A PNG of uint8 or uint16 samples `(H, W, C)`: gray, gray and alpha, RGB, or RGBA."""
    height, width, channels = samples.shape
    buffer = io.BytesIO()
    writer = PngWriter(buffer, Layout(height, width, channels, 8 * samples.itemsize), About())
    for start in range(0, height, writer.rows):
        writer.write(samples[start : start + writer.rows])
    writer.close()
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _filtered(rows: np.ndarray, above: np.ndarray, pixel: int) -> np.ndarray:
    """Each row behind its filter's number; Paeth's filter (9.4), which serves photographs best of the five."""
    left, corner = (np.pad(part, ((0, 0), (pixel, 0)))[:, :-pixel] for part in (rows, above))
    a, b, c = (part.astype(np.int16) for part in (left, above, corner))
    from_left, from_above, from_corner = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    guess = np.where(from_above <= from_corner, above, corner)
    guess = np.where((from_left <= from_above) & (from_left <= from_corner), left, guess)
    return np.pad(rows - guess, ((0, 0), (1, 0)), constant_values=_PAETH)
