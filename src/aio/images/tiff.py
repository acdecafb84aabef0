"""TIFF: samples by bands of rows, also of 16 bits and floats, which Pillow narrows or refuses.

TIFF 6.0, and its supplements for Deflate; tag numbers are theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import BinaryIO, Final

import numpy as np

from aio.images import exif as exif_block
from aio.images import ifd, modes, tiff_parts
from aio.images.halves import byte_pairs
from aio.images.opening import identify

_WIDTH, _HEIGHT = 256, 257
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _EXTRA, _FORMAT = 258, 262, 277, 284, 338, 339
_XMP, _ICC = 700, 34675
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_MULTIPLIED, _ALPHA = 1, 2  # extra samples: alpha with the colours multiplied by it, and without
_CMYK, _LAB = 5, 8
_UNSIGNED, _FLOAT = 1, 3
_OLD_JPEG: Final = 6  # a compression whose strips are no images by themselves
_SLOW: Final = 32773  # PackBits, which tifffile unpacks in Python
_MOST_CHANNELS: Final = 8  # a lying header must not ask for more memory than its pixels account for
_DEEP: Final = (({_UNSIGNED}, {16}), ({_FLOAT}, {16}), ({_FLOAT}, {32}), ({_FLOAT}, {64}))


class Tiff:
    """The first page of a TIFF file.

    Raises:
        ValueError: the directory cannot be read, or says what no image can be.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.directory = ifd.Directory.first(file)
        self.width, self.height = (self._number(tag) for tag in (_WIDTH, _HEIGHT))
        self._channels = self._number(_SAMPLES, 1)
        self._planes = self._channels if self._number(_PLANES, 1) == 2 else 1
        bits = set(self.directory.numbers(_BITS, 1))
        kinds = set(self.directory.numbers(_FORMAT, _UNSIGNED))
        self._photometric = self._number(_PHOTOMETRIC, _WHITE_IS_ZERO)
        if not self.width or not self.height:
            raise ValueError(f"{self.width} x {self.height} pixels")
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
    def bits(self) -> int:
        """8, 16 or 32, as `Photo` has it."""
        return 8 if not self.deep else 16 if self._number(_FORMAT, _UNSIGNED) == _UNSIGNED else 32

    @property
    def is_converted(self) -> bool:
        """Whether the colours come out as sRGB, whatever the file's profile says."""
        return self._photometric in (_CMYK, _LAB)

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
        seen, at = {0}, self.directory.next
        with suppress(ValueError):
            while at not in seen:
                seen.add(at)
                at = self.directory.next_after(at)
        return len(seen)

    def blocks(self) -> Iterator[np.ndarray]:
        """uint8, uint16 or float32 `(h, W, C)` as stored, not turned: gray or RGB, and any alpha.

        Raises:
            ValueError, OSError: strips or tiles are missing or broken, or need a decoder that is not there.
        """
        decode = self._deep_samples if self.deep else _plain_samples
        parts = tiff_parts.parts_of(self.directory, self.width, self.height, self._planes)
        row_bytes = -(-parts.width * max(self.directory.numbers(_BITS, 1)) * self._channels // self._planes // 8)
        cuttable = not parts.tiled and self._photometric != _YCBCR
        if cuttable and tiff_parts.compression_of(self.directory) == tiff_parts.PLAIN:
            parts = tiff_parts.cut(parts, self.height, row_bytes)
        size = (self.width, self.height)
        for small in tiff_parts.bands(self.directory, parts, size, row_bytes, inflate=self.deep):
            yield decode(small)

    def has_bands(self) -> bool:
        """Whether `blocks` can be asked for: strips and tiles are all there and independent of each other."""
        if tiff_parts.compression_of(self.directory) == _OLD_JPEG:
            return False
        with suppress(ValueError):
            return bool(tiff_parts.parts_of(self.directory, self.width, self.height, self._planes))
        return False

    def _deep_samples(self, small: BinaryIO) -> np.ndarray:
        samples = self._stored(small)
        if self._photometric == _WHITE_IS_ZERO:
            samples = (65535 if samples.dtype == np.uint16 else 1) - samples
        colours = 3 if self._photometric == _RGB else 1
        extra = self.directory.numbers(_EXTRA, *(_ALPHA,) * (self._channels - colours))[:1]
        if not extra or extra[0] not in (_MULTIPLIED, _ALPHA):
            return samples[..., :colours]
        return _divided(samples[..., : colours + 1]) if extra[0] == _MULTIPLIED else samples[..., : colours + 1]

    def _stored(self, small: BinaryIO) -> np.ndarray:
        if tiff_parts.compression_of(self.directory) == _SLOW and self._fits_libtiff():
            return self._by_libtiff(small)
        import tifffile  # a third of a second, which only deep TIFFs need to wait

        try:
            with tifffile.TiffFile(small) as file:
                samples = file.pages[0].asarray()
        except (KeyError, ValueError) as error:
            if "imagecodecs" not in str(error):  # the package that tifffile misses for most compressions
                raise
            if not self._fits_libtiff():
                raise ValueError(f"{error.args[0]}; pip install imagecodecs") from error
            return self._by_libtiff(small)
        if self._planes > 1:
            samples = np.moveaxis(samples, 0, -1)
        samples = samples.reshape(-1, self.width, self._channels)
        return samples.astype(np.uint16 if samples.dtype.kind == "u" else np.float32)

    def _fits_libtiff(self) -> bool:
        """Whether Pillow reads such samples of 16 bits: those that are whole numbers, and interleaved."""
        return self._number(_BITS, 1) == 16 and self._number(_FORMAT, _UNSIGNED) == _UNSIGNED and self._planes == 1

    def _by_libtiff(self, small: BinaryIO) -> np.ndarray:
        if self._channels == 1:
            return np.asarray(identify(small)).astype(np.uint16)[..., None]
        pairs, _ = byte_pairs(partial(identify, small))
        return pairs.view(np.uint16)[..., 0]  # libtiff has put them in the order of this machine

    def _number(self, tag: int, *default: int) -> int:
        values = self.directory.numbers(tag, *default)
        if not values:
            raise ValueError(f"the TIFF directory lacks tag {tag}")
        return values[0]


def _plain_samples(small: BinaryIO) -> np.ndarray:
    return np.concatenate([*modes.blocks(identify(small))])


def _divided(samples: np.ndarray) -> np.ndarray:
    """Colours freed of the alpha that multiplied them."""
    peak = 65535 if samples.dtype == np.uint16 else 1
    alpha = samples[..., -1:].astype(np.float64)
    colours = samples[..., :-1] * np.divide(peak, alpha, out=np.zeros_like(alpha), where=alpha > 0)
    if samples.dtype == np.uint16:
        colours = np.rint(np.minimum(colours, peak))
    return np.concatenate((colours.astype(samples.dtype), samples[..., -1:]), axis=-1)
