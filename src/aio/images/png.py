"""PNG: samples of 16 bits, of which Pillow keeps 8, and an encoder for all depths that keeps the metadata.

PNG specification, third edition; chunk and table numbers are its.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
from PIL import ImageFile

from aio.images.halves import Reopen, byte_pairs, decoded, rawmode

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


def encode(
    samples: np.ndarray, *, icc_profile: bytes | None = None, exif: bytes | None = None, xmp: bytes | None = None
) -> bytes:
    """A PNG of uint8 or uint16 samples `(H, W, C)`: gray, gray and alpha, RGB, or RGBA."""
    height, width, channels = samples.shape
    size = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", size)]
    if icc_profile:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif))
    if xmp:
        chunks.append(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    chunks += [_chunk(b"IDAT", data) for data in _compressed(samples)]
    return b"".join([*chunks, _chunk(b"IEND", b"")])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _compressed(samples: np.ndarray) -> Iterator[bytes]:
    height, width, channels = samples.shape
    pixel, row = channels * samples.itemsize, width * channels * samples.itemsize
    step = max(1, _BLOCK // row)
    packer = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
    above = np.zeros((1, row), np.uint8)
    for start in range(0, height, step):
        block = samples[start : start + step].astype(samples.dtype.newbyteorder(">"), order="C")
        rows = block.view(np.uint8).reshape(len(block), row)
        yield packer.compress(_filtered(rows, np.concatenate((above, rows[:-1])), pixel).tobytes())
        above = rows[-1:]
    yield packer.flush()


def _filtered(rows: np.ndarray, above: np.ndarray, pixel: int) -> np.ndarray:
    """Each row behind its filter's number; Paeth's filter (9.4), which serves photographs best of the five."""
    left, corner = (np.pad(part, ((0, 0), (pixel, 0)))[:, :-pixel] for part in (rows, above))
    a, b, c = (part.astype(np.int16) for part in (left, above, corner))
    from_left, from_above, from_corner = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    guess = np.where(from_above <= from_corner, above, corner)
    guess = np.where((from_left <= from_above) & (from_left <= from_corner), left, guess)
    return np.pad(rows - guess, ((0, 0), (1, 0)), constant_values=_PAETH)
