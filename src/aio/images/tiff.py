"""TIFF: 16-bit and float samples, which Pillow narrows or refuses, and a writer of all depths that keeps the metadata.

TIFF 6.0, and its supplements for Deflate; tag numbers are theirs.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from itertools import accumulate
from typing import BinaryIO, Final

import numpy as np

from aio.images import exif as exif_block
from aio.images import ifd
from aio.images.halves import Reopen, byte_pairs

_WIDTH, _HEIGHT = 256, 257
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _EXTRA, _FORMAT = 258, 262, 277, 284, 338, 339
_STRIP_OFFSETS, _ROWS, _STRIP_SIZES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_XMP, _ICC = 700, 34675
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_MULTIPLIED, _ALPHA = 1, 2  # extra samples: alpha with the colours multiplied by it, and without
_UNSIGNED, _FLOAT = 1, 3
_ORDER: Final = "<"  # Pillow reads BigTIFF in no other
_DEFLATE: Final = 8
_DIFFERENCES: Final = 2  # the predictor for integers
_MOST_CHANNELS: Final = 8  # a lying header must not ask for more memory than its pixels account for
_LARGEST_TILE: Final = 1 << 24  # pixels, where the image itself is smaller
_DEEP: Final = (({_UNSIGNED}, {16}), ({_FLOAT}, {16}), ({_FLOAT}, {32}), ({_FLOAT}, {64}))
_STRIP: Final = 1 << 20
_CLASSIC: Final = (1 << 32) - (1 << 20)  # bytes that 32-bit offsets reach, with room for the directory


class Tiff:
    """The first page of a TIFF file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.directory = ifd.Directory.first(file)
        self.width, self.height = (self._number(tag) for tag in (_WIDTH, _HEIGHT))
        self._channels = self._number(_SAMPLES, 1)
        bits = set(self.directory.numbers(_BITS, 1))
        kinds = set(self.directory.numbers(_FORMAT, _UNSIGNED))
        self._photometric = self._number(_PHOTOMETRIC, _WHITE_IS_ZERO)
        if self._channels > _MOST_CHANNELS:
            raise ValueError(f"{self._channels} channels, expected at most {_MOST_CHANNELS}")
        self.deep = False
        if max(bits) > 8 and self._photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            if (kinds, bits) not in _DEEP:
                raise ValueError(
                    f"samples of {max(bits)} bits and format {max(kinds)}: expected 8 or 16 bits, or floats"
                )
            self.deep = True

    @property
    def orientation(self) -> int:
        return exif_block.orientation_of(self.directory, self.xmp)

    @property
    def icc_profile(self) -> bytes | None:
        return self.directory.data(_ICC)

    @property
    def xmp(self) -> bytes | None:
        return self.directory.data(_XMP)

    def pages(self) -> int:
        """How many pages the file holds, as far as they can be followed."""
        seen, page = {0}, self.directory
        with suppress(ValueError):
            while page.next not in seen:
                seen.add(page.next)
                page = ifd.Directory(self._file, page.next, page.order, page.big)
        return len(seen)

    def deep_samples(self, reopen: Reopen) -> np.ndarray:
        """uint16 or float32 `(H, W, C)`, upright: gray or RGB, and any alpha. `reopen` as in `byte_pairs`."""
        samples = self._stored(reopen)
        if self._photometric == _WHITE_IS_ZERO:
            samples = (65535 if samples.dtype == np.uint16 else 1) - samples
        colours = 3 if self._photometric == _RGB else 1
        extra = self.directory.numbers(_EXTRA, *(_ALPHA,) * (self._channels - colours))[:1]
        if not extra or extra[0] not in (_MULTIPLIED, _ALPHA):
            return samples[..., :colours]
        return _divided(samples[..., : colours + 1]) if extra[0] == _MULTIPLIED else samples[..., : colours + 1]

    def _stored(self, reopen: Reopen) -> np.ndarray:
        self._check_parts()
        import tifffile  # a third of a second, which only deep TIFFs need to wait

        self._file.seek(0)
        try:
            with tifffile.TiffFile(self._file) as file:
                samples = file.pages[0].asarray()
        except (KeyError, ValueError) as error:
            if "imagecodecs" not in str(error):  # the package that tifffile misses for most compressions
                raise
            return self._by_libtiff(reopen, error)
        if self._channels > 1 and self._number(_PLANES, 1) == 2:
            samples = np.moveaxis(samples, 0, -1)
        samples = samples.reshape(self.height, self.width, self._channels)
        samples = samples.astype(np.uint16 if samples.dtype.kind == "u" else np.float32)
        return exif_block.upright(samples, self.orientation)

    def _check_parts(self) -> None:
        """Refuses a directory that lacks strips or tiles, for which tifffile puts black, or lies about their size."""
        tiled = _TILE_WIDTH in self.directory.entries
        width = self._number(_TILE_WIDTH) if tiled else self.width
        height = self._number(_TILE_HEIGHT) if tiled else min(self.height, self._number(_ROWS, self.height))
        if width * height > max(self.width * self.height, _LARGEST_TILE):
            raise ValueError(f"tiles of {width} x {height} pixels")
        planes = self._channels if self._number(_PLANES, 1) == 2 else 1
        expected = planes * -(-self.width // width) * -(-self.height // height)
        for tag in (_TILE_OFFSETS, _TILE_SIZES) if tiled else (_STRIP_OFFSETS, _STRIP_SIZES):
            found = self.directory.numbers(tag)
            if len(found) != expected or not all(found):
                raise ValueError(f"{sum(map(bool, found))} strips or tiles where {expected} were expected")

    def _by_libtiff(self, reopen: Reopen, error: Exception) -> np.ndarray:
        if (
            self._number(_BITS, 1) != 16
            or self._number(_FORMAT, _UNSIGNED) != _UNSIGNED
            or self._number(_PLANES, 1) == 2
        ):
            raise ValueError(f"{error.args[0]}; pip install imagecodecs") from error
        # Pillow turns TIFFs upright by itself.
        if self._channels == 1:
            return np.asarray(reopen()).astype(np.uint16)[..., None]
        pairs, _ = byte_pairs(reopen)
        return pairs.view(np.uint16)[..., 0]  # libtiff has put them in the order of this machine

    def _number(self, tag: int, *default: int) -> int:
        values = self.directory.numbers(tag, *default)
        if not values:
            raise ValueError(f"the TIFF directory lacks tag {tag}")
        return values[0]


def encode(
    samples: np.ndarray, *, icc_profile: bytes | None = None, exif: bytes | None = None, xmp: bytes | None = None
) -> bytes:
    """A TIFF of uint8, uint16 or float32 samples `(H, W, C)`: gray or RGB, and alpha; Deflate, BigTIFF above 4 GiB."""
    height, width, channels = samples.shape
    rows = max(1, _STRIP // (width * channels * samples.itemsize))
    strips = [_strip(samples[start : start + rows]) for start in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    big = sum(sizes) > _CLASSIC
    *offsets, end = accumulate(sizes, initial=len(ifd.header(_ORDER, 0, big)))
    block = exif_block.directory_of(exif)
    fields = exif_block.about_the_picture(block) if block else {}
    if block and block.order != _ORDER:
        fields = ifd.swapped(fields)
    for tag, kind, data in ((_XMP, ifd.BYTE, xmp), (_ICC, ifd.UNDEFINED, icc_profile)):
        if data:
            fields[tag] = ifd.Field(kind, len(data), data)
    for tag, values in _layout(samples, rows).items():
        fields[tag] = ifd.numbers(_ORDER, ifd.LONG if tag in (_WIDTH, _HEIGHT, _ROWS) else ifd.SHORT, *values)
    for tag, bytes_ in ((_STRIP_OFFSETS, offsets), (_STRIP_SIZES, sizes)):
        fields[tag] = ifd.numbers(_ORDER, ifd.LONG8 if big else ifd.LONG, *bytes_)
    end += end % 2
    head = [ifd.header(_ORDER, end, big), *strips]
    return b"".join((*head, b"\0" * (end - sum(map(len, head))), ifd.pack(fields, end, _ORDER, big)))


def _layout(samples: np.ndarray, rows: int) -> dict[int, tuple[int, ...]]:
    height, width, channels = samples.shape
    integers = samples.dtype.kind == "u"
    return {
        _WIDTH: (width,),
        _HEIGHT: (height,),
        _BITS: (8 * samples.itemsize,) * channels,
        259: (_DEFLATE,),
        _PHOTOMETRIC: (_RGB if channels >= 3 else _BLACK_IS_ZERO,),
        _SAMPLES: (channels,),
        _ROWS: (rows,),
        _PLANES: (1,),
        317: (_DIFFERENCES if integers else 1,),
        _FORMAT: (_UNSIGNED if integers else _FLOAT,) * channels,
        **({_EXTRA: (_ALPHA,)} if channels % 2 == 0 else {}),
    }


def _strip(rows: np.ndarray) -> bytes:
    if rows.dtype.kind == "u":
        rows = rows.copy()
        rows[:, 1:] -= rows[:, :-1].copy()
    return zlib.compress(rows.astype(f"{_ORDER}{rows.dtype.str[1:]}").tobytes(), 6)


def _divided(samples: np.ndarray) -> np.ndarray:
    """Colours freed of the alpha that multiplied them."""
    peak = 65535 if samples.dtype == np.uint16 else 1
    alpha = samples[..., -1:].astype(np.float64)
    colours = samples[..., :-1] * np.divide(peak, alpha, out=np.zeros_like(alpha), where=alpha > 0)
    if samples.dtype == np.uint16:
        colours = np.rint(np.minimum(colours, peak))
    return np.concatenate((colours.astype(samples.dtype), samples[..., -1:]), axis=-1)
