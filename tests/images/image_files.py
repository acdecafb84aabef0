"""Image files made without the code under test: PNG in plain Python, TIFF by hand, and a colour profile of inks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def paeth(a: int, b: int, c: int) -> int:
    """The predictor of the PNG specification, 9.4."""
    guess = a + b - c
    return min((a, b, c), key=lambda near: abs(guess - near))


PREDICTORS: tuple[Callable[[int, int, int], int], ...] = (
    lambda a, b, c: 0,
    lambda a, b, c: a,
    lambda a, b, c: b,
    lambda a, b, c: (a + b) // 2,
    paeth,
)


def png(samples: np.ndarray, *, interlaced: bool = False, chunks: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A PNG of `(H, W, C)` whose rows take turns through the five filters."""
    height, width, channels = samples.shape
    colour = next(kind for kind, number in CHANNELS.items() if number == channels)
    head = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, colour, 0, 0, interlaced)
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    data = b"".join(_filtered(part) for part in passes if part.size)
    parts = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc(kind, body)) for kind, body in parts
    )


def crc(kind: bytes, body: bytes) -> int:
    """What ends a chunk."""
    return zlib.crc32(kind + body)


def _filtered(samples: np.ndarray) -> bytes:
    pixel = samples.shape[2] * samples.itemsize
    above, out = bytes(samples.shape[1] * pixel), bytearray()
    for y, row in enumerate(samples.astype(samples.dtype.newbyteorder(">"))):
        line = row.tobytes()
        out.append(y % 5)
        for i, byte in enumerate(line):
            a, c = (line[i - pixel], above[i - pixel]) if i >= pixel else (0, 0)
            out.append((byte - PREDICTORS[y % 5](a, above[i], c)) % 256)
        above = line
    return bytes(out)


def decode_png(data: bytes) -> tuple[np.ndarray, dict[bytes, bytes]]:
    """Samples `(H, W, C)` of a PNG that is not interlaced, and its chunks."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size) == (zlib.crc32(kind + body),)
        chunks[kind] = chunks.get(kind, b"") + body
        at += 12 + size
    width, height, bits, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    pixel = CHANNELS[colour] * bits // 8
    stored, above, out = zlib.decompress(chunks[b"IDAT"]), bytes(width * pixel), b""
    for y in range(height):
        kind, *filtered = stored[y * (width * pixel + 1) : (y + 1) * (width * pixel + 1)]
        line = bytearray()
        for i, byte in enumerate(filtered):
            a, c = (line[i - pixel], above[i - pixel]) if i >= pixel else (0, 0)
            line.append((byte + PREDICTORS[kind](a, above[i], c)) % 256)
        out += line
        above = bytes(line)
    return np.frombuffer(out, f">u{bits // 8}").reshape(height, width, -1).astype(f"u{bits // 8}"), chunks


def tiff(fields: Mapping[int, tuple[int, ...]], strip: bytes) -> bytes:
    """A little-endian TIFF of one strip; every value is a LONG."""
    fields = {**fields, 273: (8,), 279: (len(strip),)}
    strip += b"\0" * (len(strip) % 2)
    at = 8 + len(strip)
    rows, tail, start = b"", b"", at + 6 + 12 * len(fields)
    for tag, values in sorted(fields.items()):
        data = struct.pack(f"<{len(values)}I", *values)
        rows += struct.pack("<HHI", tag, 4, len(values))
        rows += data if len(data) == 4 else struct.pack("<I", start + len(tail))
        tail += data if len(data) > 4 else b""
    return b"II*\0" + struct.pack("<I", at) + strip + struct.pack("<H", len(fields)) + rows + bytes(4) + tail


def lzw_tiff(path: Path, samples: np.ndarray, fields: Mapping[int, tuple[int, ...]] | None = None) -> None:
    """uint16 `(H, W, 3 or 4)` compressed by libtiff, which is given the bytes as an 8-bit gray image."""
    height, width, channels = samples.shape
    image = Image.fromarray(samples.view(np.uint8).reshape(height, -1))
    image.save(path, "TIFF", compression="tiff_lzw", strip_size=1 << 30)
    with Image.open(path) as opened:
        (at,), (size,) = opened.tag_v2[273], opened.tag_v2[279]
    strip = path.read_bytes()[at : at + size]
    layout = {256: (width,), 257: (height,), 258: (16,) * channels, 259: (5,), 262: (2,), 277: (channels,)}
    path.write_bytes(tiff({**layout, 278: (height,), **(fields or {})}, strip))


def ink_profile() -> bytes:
    """An ICC profile (version 2) of CMYK in which cyan prints red: who ignores it is found out.

    One `lut8` table from CMYK to Lab with two points per ink: white paper, and red as soon as there is cyan.
    """
    white, red = bytes((255, 128, 128)), bytes((138, 209, 198))  # L* 54, a* 81, b* 70
    corners = b"".join(red if i >= 8 else white for i in range(16))
    identity = b"".join(struct.pack(">i", value << 16) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    white_point = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    at = 128 + 4 + 2 * 12
    table = struct.pack(">I4sII4sII", 2, b"A2B0", at, len(lut), b"wtpt", at + len(lut), len(white_point))
    body = table + lut + white_point
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + body
