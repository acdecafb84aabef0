"""A TIFF written strip by strip: all depths, Deflate, BigTIFF above 4 GiB, with the metadata.

TIFF 6.0, and its supplements for Deflate; tag numbers are theirs.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

import numpy as np

from aio.images import exif as exif_block
from aio.images import ifd
from aio.images.layout import About, Layout

_ORDER: Final = "<"  # Pillow reads BigTIFF in no other
_WIDTH, _HEIGHT, _ROWS, _OFFSETS, _SIZES = 256, 257, 278, 273, 279
_XMP, _ICC = 700, 34675
_BLACK_IS_ZERO, _RGB = 1, 2
_ALPHA: Final = 2  # an extra sample by which the colours are not multiplied
_UNSIGNED, _FLOAT = 1, 3
_DEFLATE: Final = 8
_DIFFERENCES: Final = 2  # the predictor for integers
_STRIP: Final = 1 << 20  # bytes
_FIRST: Final = 16  # where the strips begin: room for either header
_CLASSIC: Final = (1 << 32) - (1 << 20)  # bytes that 32-bit offsets reach, with room for the directory


class TiffWriter:
    """Writes the strips as they come and the directory behind them."""

    def __init__(self, file: BinaryIO, layout: Layout, about: About) -> None:
        self._file, self._layout, self._about = file, layout, about
        self.rows = max(1, _STRIP // (layout.width * layout.channels * layout.bits // 8))
        self._sizes: list[int] = []
        file.write(bytes(_FIRST))

    def write(self, samples: np.ndarray) -> None:
        """A strip: `rows` of the image, or its last."""
        integers = samples.dtype.kind == "u"
        if integers:
            samples = samples.copy()
            samples[:, 1:] -= samples[:, :-1].copy()
        strip = zlib.compress(samples.astype(f"{_ORDER}{samples.dtype.str[1:]}").tobytes(), 6)
        self._sizes.append(len(strip))
        self._file.write(strip)

    def close(self) -> None:
        """The directory, and the header that points to it."""
        end = _FIRST + sum(self._sizes)
        big = end > _CLASSIC
        self._file.write(bytes(end % 2))
        end += end % 2
        self._file.write(ifd.pack(self._fields(big), end, _ORDER, big))
        self._file.seek(0)
        self._file.write(ifd.header(_ORDER, end, big))

    def _fields(self, big: bool) -> ifd.Fields:
        block = exif_block.directory_of(self._about.exif)
        fields = exif_block.about_the_picture(block) if block else {}
        if block and block.order != _ORDER:
            fields = ifd.swapped(fields)
        for tag, kind, data in ((_XMP, ifd.BYTE, self._about.xmp), (_ICC, ifd.UNDEFINED, self._about.icc_profile)):
            if data:
                fields[tag] = ifd.Field(kind, len(data), data)
        for tag, values in self._described().items():
            fields[tag] = ifd.numbers(_ORDER, ifd.LONG if tag in (_WIDTH, _HEIGHT, _ROWS) else ifd.SHORT, *values)
        at = np.cumsum([_FIRST, *self._sizes[:-1]], dtype=np.uint64).tolist()
        for tag, places in ((_OFFSETS, at), (_SIZES, self._sizes)):
            fields[tag] = ifd.numbers(_ORDER, ifd.LONG8 if big else ifd.LONG, *places)
        return fields

    def _described(self) -> dict[int, tuple[int, ...]]:
        channels, integers = self._layout.channels, self._layout.bits < 32
        return {
            _WIDTH: (self._layout.width,),
            _HEIGHT: (self._layout.height,),
            258: (self._layout.bits,) * channels,
            259: (_DEFLATE,),
            262: (_RGB if channels >= 3 else _BLACK_IS_ZERO,),
            277: (channels,),
            _ROWS: (self.rows,),
            284: (1,),
            317: (_DIFFERENCES if integers else 1,),
            339: (_UNSIGNED if integers else _FLOAT,) * channels,
            **({338: (_ALPHA,)} if channels % 2 == 0 else {}),
        }
