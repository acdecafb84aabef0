"""Damaged image files by number, and a process that reads many of them: `python fuzzing.py FIRST COUNT FOLDER`.

Prints a line of JSON per file that was neither read nor refused by `InputError`, and one about all.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import tempfile
import time
import warnings
import zlib
from functools import cache
from pathlib import Path

import image_files
import numpy as np
import tifffile
from PIL import Image

from aio.errors import InputError
from aio.images import image_size, open_strips, read_photo

MAX_PIXELS = 1_000_000
MEMORY = 3 << 30  # bytes of addresses, of which the libraries take a good part
EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
PIXELS[5:30] = PIXELS[5]  # something to compress


def by_pillow(format: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def animated(format: str) -> bytes:
    return by_pillow(format, save_all=True, append_images=[Image.new("RGB", (50, 40), c) for c in ("red", "blue")])


def deep_tiff(dtype: str = "u2", **options: object) -> bytes:
    buffer = io.BytesIO()
    samples = PIXELS[..., :3].astype(dtype)
    stored = np.ascontiguousarray(np.moveaxis(samples, -1, 0)) if "planarconfig" in options else samples
    tifffile.imwrite(buffer, stored, photometric="rgb", **options)
    return buffer.getvalue()


def lzw_tiff() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        image_files.lzw_tiff(Path(folder) / "a.tif", PIXELS[..., :3].astype(np.uint16))
        return (Path(folder) / "a.tif").read_bytes()


@cache
def whole_files() -> list[bytes]:
    """One file of each kind that is read."""
    block = Image.Exif()
    block[0x010F], block[0x0112] = "Maker", 6
    exif = {"exif": block.tobytes()}
    text = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>")
    found = [by_pillow("PNG", mode, **exif) for mode in ("RGB", "RGBA", "LA", "P", "1", "I;16")]
    found += [image_files.png(PIXELS.astype(np.uint16), interlaced=each, chunks=(text,)) for each in (False, True)]
    found += [by_pillow("JPEG", mode, **exif) for mode in ("L", "RGB", "CMYK")]
    found += [by_pillow("JPEG", progressive=True, **exif), by_pillow("JPEG", restart_marker_rows=1), animated("MPO")]
    found += [by_pillow("TIFF", compression=name) for name in ("raw", "tiff_lzw", "jpeg", "packbits", "tiff_deflate")]
    found += [by_pillow("TIFF", "1", compression=name) for name in ("group3", "group4")]
    found += [by_pillow("TIFF", "CMYK"), by_pillow("TIFF", "P", **exif), animated("TIFF"), lzw_tiff()]
    found += [deep_tiff(dtype) for dtype in ("u2", "f2", "f4", "f8")]
    found += [deep_tiff(compression=name, rowsperstrip=8) for name in ("zlib", "lzma")]
    found += [deep_tiff(planarconfig="separate"), deep_tiff(tile=(16, 16), bigtiff=True), deep_tiff(byteorder=">")]
    found += [by_pillow("WEBP", lossless=True, **exif), by_pillow("WEBP"), animated("WEBP"), animated("PNG")]
    found += [animated("GIF"), by_pillow("BMP"), by_pillow("BMP", "P"), by_pillow("DIB", "RGBA")]
    found += [by_pillow("PPM"), b"P6 5 4 1023 " + bytes(range(120)), b"P2 2 2 70 1 2 3 4", b"P1 2 2 1 0 1 0"]
    found += [by_pillow("TGA", compression="tga_rle"), by_pillow("AVIF"), animated("AVIF"), by_pillow("JPEG2000")]
    found += [by_pillow("ICO"), by_pillow("ICNS"), by_pillow("PCX"), by_pillow("SGI"), by_pillow("DDS")]
    found += [by_pillow("QOI"), by_pillow("MSP", "1"), by_pillow("XBM", "1"), by_pillow("IM"), by_pillow("BLP", "P")]
    return found


def bomb(rng: np.random.Generator) -> bytes:
    """Little data that says it is much, or inflates to it."""
    plenty = zlib.compress(bytes(1 << 26), 9)
    fields = {256: (50,), 257: (40,), 258: (16,), 259: (8,), 262: (1,), 277: (1,), 278: (40,)}
    many = {256: (900,), 257: (900,), 258: (16,), 259: (1,), 262: (1,), 277: (1,), 278: (1,)}
    head = struct.pack(">IIBBBBB", *rng.choice(EXTREMES, 2).tolist(), 8, 2, 0, 0, 0)
    choices = (
        image_files.png(PIXELS, chunks=((b"iCCP", b"profile\0\0" + plenty),)),
        image_files.png(PIXELS, chunks=((b"zTXt", b"Comment\0\0" + plenty),)),
        image_files.png(PIXELS, chunks=((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + plenty),)),
        image_files.png(PIXELS, chunks=((b"tEXt", b"Raw profile type exif\0" + b"00" * 100_000),) * 3),
        image_files.png(PIXELS)[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", plenty) + chunk(b"IEND", b""),
        image_files.tiff(fields, plenty),
        image_files.tiff(many, bytes(100)),
        image_files.tiff({**fields, 322: (1 << 30,), 323: (1,)}, plenty),
        b"P6 %d %d 255 " % tuple(rng.choice(EXTREMES, 2)),
        b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
    )
    return choices[rng.integers(len(choices))]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", image_files.crc(kind, body))


def damaged(number: int) -> bytes:
    """The file of that number: a whole one changed in one to six ways, or a bomb."""
    rng = np.random.default_rng([2026, number])
    files = whole_files()
    if number % 50 == 0:
        return bomb(rng)
    content = bytearray(files[rng.integers(len(files))])
    for _ in range(rng.integers(1, 7)):
        if len(content) < 8:
            break
        reach = len(content) if rng.random() < 0.5 else min(len(content), 300)
        at = int(rng.integers(reach))
        match rng.integers(7):
            case 0:
                content[at] ^= 1 << int(rng.integers(8))
            case 1:
                content[at] = EXTREMES[rng.integers(5)]
            case 2:
                size, order = int(rng.choice([2, 4])), rng.choice(["little", "big"])
                value = EXTREMES[rng.integers(len(EXTREMES))] & ((1 << 8 * size) - 1)
                content[at : at + size] = value.to_bytes(size, str(order))
            case 3:
                del content[max(4, at) :]
            case 4:
                del content[at : at + int(rng.integers(1, 40))]
            case 5:
                content[at:at] = content[at : at + int(rng.integers(1, 200))]
            case 6:
                other = files[rng.integers(len(files))]
                content[max(4, at) :] = other[int(rng.integers(len(other))) :]
    return bytes(content)


def read_to_the_end(path: Path) -> None:
    with open_strips(path, max_pixels=MAX_PIXELS) as strips:
        for _ in range(0, strips.height, 16):
            strips.read(16)


def faults_of(path: Path) -> list[str]:
    """What came of reading the file in every way, besides pixels and `InputError`."""
    found = []
    for read in (
        lambda: read_photo(path, max_pixels=MAX_PIXELS),
        lambda: read_to_the_end(path),
        lambda: image_size(path),
    ):
        try:
            read()
        except InputError as error:
            if not str(error).startswith(f"{path}: "):
                found.append(f"InputError that does not name the file: {error}")
        except BaseException as error:  # noqa: BLE001 - the very question is what else there may be
            found.append(f"{type(error).__name__}: {error}")
    return found


def say(**about: object) -> None:
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()


def main(first: int, count: int, folder: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    path, slowest = Path(folder) / "photo", (0.0, 0)
    for number in range(first, first + count):
        say(at=number)
        path.write_bytes(damaged(number))
        start = time.perf_counter()
        faults = faults_of(path)
        slowest = max(slowest, (time.perf_counter() - start, number))
        if faults:
            say(number=number, faults=faults)
    path.unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    say(files=count, seconds=slowest[0], slowest=slowest[1], peak_mib=peak)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
