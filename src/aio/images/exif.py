"""EXIF and XMP as bytes that pass from file to file: only what restoring an image makes untrue is changed in them.

Camera makers' notes hold offsets into the block they stand in, so tags are overwritten where they are.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import numpy as np

from aio.images import ifd

_ORIENTATION: Final = 0x0112
_EXIF_IFD: Final = 0x8769
_GPS_IFD: Final = 0x8825
_INTEROP_IFD: Final = 0xA005
_WIDTH, _HEIGHT = 0xA002, 0xA003

# What a TIFF file says about the picture, as against the layout of its own bytes: document name, description, maker,
# model, resolution (3), page, software, date, artist, host, rating (2), copyright, IPTC and Windows' five text tags.
_ABOUT_THE_PICTURE: Final = frozenset(
    {269, 270, 271, 272, 282, 283, 296, 297, 305, 306, 315, 316, 18246, 18249, 33432, 33723, *range(40091, 40096)}
)
_XMP_ORIENTATION: Final = re.compile(rb"(tiff:Orientation(?:=[\"']|>)\s*)([0-9])")


def bare(exif: bytes | None) -> bytes | None:
    """The block without the mark that JPEG puts before it; None where nothing is left."""
    return re.sub(rb"^(Exif\0\0)+", b"", exif or b"") or None


def orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """1..8, from EXIF or else from XMP; 1 where neither says."""
    return orientation_of(directory_of(exif), xmp)


def orientation_of(directory: ifd.Directory | None, xmp: bytes | None) -> int:
    """As `orientation`, of a TIFF file's first directory."""
    found = _XMP_ORIENTATION.search(xmp or b"")
    value: tuple[int, ...] = (int(found[2]),) if found else ()
    if directory is not None and _ORIENTATION in directory.entries:
        with suppress(ValueError):
            value = directory.numbers(_ORIENTATION)[:1]
    return value[0] if value and 1 <= value[0] <= 8 else 1


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """`(H, W, ...)` turned and mirrored so that it is seen as `orientation` wants it seen."""
    if orientation >= 5:  # rows of the file are columns of the picture
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def settled(exif: bytes | None) -> bytes | None:
    """The block of an image that now stands upright; its thumbnail, which shows the old image, is unlinked."""
    directory = directory_of(exif)
    if exif is None or directory is None:
        return exif
    block = bytearray(exif)
    _overwrite(block, directory, _ORIENTATION, 1)
    struct.pack_into(directory.order + "I", block, directory.link, 0)
    return bytes(block)


def settled_xmp(xmp: bytes | None) -> bytes | None:
    """The packet of an image that now stands upright."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if xmp else None


def with_size(exif: bytes | None, width: int, height: int) -> bytes | None:
    """The block with the size it states, if it does, made that of the image."""
    directory = directory_of(exif)
    inner = directory and _sub(directory, _EXIF_IFD)
    if exif is None or inner is None:
        return exif
    block = bytearray(exif)
    _overwrite(block, inner, _WIDTH, width)
    _overwrite(block, inner, _HEIGHT, height)
    return bytes(block)


def about_the_picture(directory: ifd.Directory) -> dict[int, ifd.Field | ifd.Fields]:
    """The fields of a TIFF file's or EXIF block's first directory that outlive the layout of its bytes."""
    fields = _readable(directory, _ABOUT_THE_PICTURE.intersection(directory.entries))
    for tag in (_EXIF_IFD, _GPS_IFD):
        inner = _sub(directory, tag)
        if inner is not None:
            within = _readable(inner, inner.entries.keys() - {_INTEROP_IFD})
            interop = _sub(inner, _INTEROP_IFD)
            if interop is not None:
                within[_INTEROP_IFD] = _readable(interop, interop.entries)
            fields[tag] = within
    return fields


def from_tiff(directory: ifd.Directory) -> bytes | None:
    """What a TIFF file says about its picture, as an EXIF block."""
    fields = about_the_picture(directory)
    return ifd.header(directory.order, 8) + ifd.pack(fields, 8, directory.order) if fields else None


def directory_of(exif: bytes | None) -> ifd.Directory | None:
    """The first directory of the block, None where there is none that can be read."""
    try:
        return ifd.Directory.first(io.BytesIO(exif)) if exif else None
    except ValueError:
        return None


def _overwrite(block: bytearray, directory: ifd.Directory, tag: int, number: int) -> None:
    entry = directory.entries.get(tag)
    if entry is not None:
        short = number < 1 << 16
        row = (ifd.SHORT, 1, number) if short else (ifd.LONG, 1, number)
        struct.pack_into(directory.order + ("HIHxx" if short else "HII"), block, entry.at + 2, *row)


def _readable(directory: ifd.Directory, tags: Iterable[int]) -> dict[int, ifd.Field | ifd.Fields]:
    fields: dict[int, ifd.Field | ifd.Fields] = {}
    for tag in tags:
        with suppress(ValueError):
            field = directory.field(tag)
            if field is not None:
                fields[tag] = field
    return fields


def _sub(directory: ifd.Directory, tag: int) -> ifd.Directory | None:
    try:
        return directory.sub(tag)
    except ValueError:
        return None
