"""Photographs in: every mode and depth as float32 pixels, with all that the file says besides."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from PIL import ImageFile, JpegImagePlugin

from aio.images import exif as exif_block
from aio.images import modes, png
from aio.images.opening import MAX_PIXELS, check_pixels, check_suffix, family, identify, open_file, pillow_limit
from aio.images.photo import Head, Photo
from aio.images.rows import Rows, as_floats
from aio.images.tiff import Tiff

_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ENDINGS: Final = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_TAIL: Final = 64
_ROWS: Final = 256


class Source(NamedTuple):
    """An opened photograph; `orientation` is how its rows still have to be turned."""

    rows: Rows
    head: Head
    orientation: int = 1


def read_photo(path: str | Path, *, max_pixels: int = MAX_PIXELS, data: bytes | None = None) -> Photo:
    """The photograph in the file, upright; in `data`, the file's bytes, where they are at hand.

    Samples of 1, 2 and 4 bits, palettes and colour keys become 8-bit gray or RGB, with alpha where they say what is
    transparent. CMYK and Lab become 8-bit sRGB, CMYK through its ICC profile if it has one, and lose that profile.
    16-bit PNG, TIFF and PPM and float TIFF keep their depth. Of animations and books the first frame is read. In the
    EXIF block and XMP packet the orientation is 1 and the block's thumbnail is gone; all else stays.

    Raises:
        InputError: the file is missing, is no regular file or no whole image, has more than `max_pixels`, a name that
            speaks of another format, integers of more than 16 bits, or floats that are not finite.
    """
    path = Path(path)
    with open_file(path, data) as file, pillow_limit.raised_to(max_pixels):
        return _gathered(whole(file, path, max_pixels))


def whole(file: BinaryIO, path: Path, max_pixels: int) -> Source:
    """The photograph; what Pillow decodes is decoded now, and held in Pillow's own mode."""
    page = tiff_page(file, path, max_pixels)
    if page is None:
        return _by_pillow(file, path, max_pixels)
    if page.deep:
        return banded(page)
    image = identify(file)
    image.load()  # and turned: Pillow does that by itself with TIFFs
    return Source(Rows(modes.blocks(image), image.height), tiff_head(page))


def tiff_page(file: BinaryIO, path: Path, max_pixels: int) -> Tiff | None:
    """The first page of a TIFF that may be read; None where the file is none."""
    file.seek(0)
    if file.read(4) not in _TIFF_STARTS:
        return None
    check_suffix(path, "TIFF")
    page = Tiff(file)
    check_pixels(path, page.width, page.height, max_pixels)
    return page


def banded(page: Tiff) -> Source:
    """A TIFF's photograph, decoded band by band as it is asked for."""
    return Source(Rows(page.blocks(), page.height), tiff_head(page), page.orientation)


def tiff_head(page: Tiff) -> Head:
    """What a TIFF says of its photograph once that is upright."""
    return Head(
        page.bits,
        "TIFF",
        exif_block.from_tiff(page.directory),
        None if page.is_converted else page.icc_profile,
        exif_block.settled_xmp(page.xmp),
        frames=page.pages(),
    )


def _by_pillow(file: BinaryIO, path: Path, max_pixels: int) -> Source:
    image = identify(file)
    check_suffix(path, family(image.format))
    check_pixels(path, *image.size, max_pixels)
    encoding = encoding_of(image, file)
    rows, image = _decoded(image, file)
    check_ending(image, file)
    return Source(rows, head_of(image, encoding, rows))


def _decoded(image: ImageFile.ImageFile, file: BinaryIO) -> tuple[Rows, ImageFile.ImageFile]:
    """The upright rows, and the loaded image: what stands behind the pixels is known only then."""
    if modes.largest_in_ppm(image) > 255:
        return Rows(modes.deep_ppm_blocks(image, file), image.height), image
    if png.is_deep(image):
        samples, image = png.deep_samples(partial(identify, file))
        samples = exif_block.upright(modes.with_key(samples, image.info.get("transparency")), turn_of(image))
        return Rows(iter([samples]), len(samples)), image
    image.load()
    turn = turn_of(image)
    blocks = modes.blocks(image, turn)
    if image.mode.startswith("I;16"):
        blocks = (modes.with_key(block, image.info.get("transparency")) for block in blocks)
    return Rows(blocks, image.height if turn < 5 else image.width), image


def turn_of(image: ImageFile.ImageFile) -> int:
    """The orientation, 1..8, that a file other than TIFF states."""
    return exif_block.orientation(exif_block.bare(image.info.get("exif")), image.info.get("xmp"))


def head_of(image: ImageFile.ImageFile, encoding: Mapping[str, Any], rows: Rows) -> Head:
    """What a file other than TIFF says of its photograph, whose `rows` are upright or will be."""
    return Head(
        8 * rows.dtype.itemsize,
        family(image.format),
        exif_block.settled(exif_block.bare(image.info.get("exif"))),
        None if modes.is_converted(image) else image.info.get("icc_profile"),
        exif_block.settled_xmp(image.info.get("xmp")),
        encoding,
        1 if image.format == "MPO" else getattr(image, "n_frames", 1),  # an MPO's others are previews
    )


def _gathered(source: Source) -> Photo:
    rows = source.rows
    first = as_floats(rows.read(_ROWS))
    parts = [None if part is None else np.empty((rows.height, *part.shape[1:]), np.float32) for part in first]
    for start in range(0, rows.height, _ROWS):
        found = as_floats(rows.read(_ROWS)) if start else first
        for part, block in zip(parts, found, strict=True):
            if part is not None:
                part[start : start + _ROWS] = block
    pixels, alpha = (
        None if part is None else np.ascontiguousarray(exif_block.upright(part, source.orientation)) for part in parts
    )
    assert pixels is not None
    return Photo(pixels, alpha, **vars(source.head))


def check_ending(image: ImageFile.ImageFile, file: BinaryIO) -> None:
    """Refuses a PNG or JPEG that was cut off: by its last bytes, or else, since cameras append to them, by all.

    Raises:
        ValueError, OSError: the end is missing.
    """
    ending = _ENDINGS.get(family(image.format))
    if ending is not None:
        file.seek(max(0, file.seek(0, io.SEEK_END) - _TAIL))
        if ending not in file.read():
            _search(image, file, ending)


def _search(image: ImageFile.ImageFile, file: BinaryIO, ending: bytes) -> None:
    if image.format != "PNG":
        image.load()
        return
    file.seek(0)
    if ending not in file.read():
        raise ValueError("the image is cut off: its last bytes are missing")


def encoding_of(image: ImageFile.ImageFile, file: BinaryIO) -> Mapping[str, Any]:
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("L", "RGB"):
        tables = [list(image.quantization[key]) for key in sorted(image.quantization)]
        sampling = JpegImagePlugin.get_sampling(image)
        progressive = bool(image.info.get("progressive"))
        return {"qtables": tables, "subsampling": max(sampling, 0), "progressive": progressive}
    if image.format == "WEBP":
        return {"lossless": _has_lossless_chunk(file)}
    return {}


def _has_lossless_chunk(file: BinaryIO) -> bool:
    """Whether the first picture within a WebP is lossless: RIFF chunks, with those of a frame in `ANMF`."""
    at = 12
    while True:
        file.seek(at)
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
        if kind in (b"VP8L", b"VP8 ", b""):
            return kind == b"VP8L"
        at += 24 if kind == b"ANMF" else 8 + size + size % 2
