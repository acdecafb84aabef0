"""Formats that are written as a whole, from 8 bits a sample, and PPM, which needs no more than its rows."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

import numpy as np
from PIL import Image

from aio.images.layout import About, Layout

_ROWS: Final = 256
_WITH_METADATA: Final = frozenset({"JPEG", "WEBP", "AVIF"})


class PpmWriter:
    """Binary PPM or PGM of 8 or 16 bits."""

    rows = _ROWS

    def __init__(self, file: BinaryIO, layout: Layout, about: About) -> None:
        self._file = file
        kind, peak = 6 if layout.channels == 3 else 5, (1 << layout.bits) - 1
        file.write(b"P%d\n%d %d\n%d\n" % (kind, layout.width, layout.height, peak))

    def write(self, samples: np.ndarray) -> None:
        self._file.write(samples.astype(samples.dtype.newbyteorder(">")).tobytes())

    def close(self) -> None:
        """Nothing comes behind the rows."""


class PillowWriter:
    """Gathers the image, 1 to 4 bytes a pixel, and lets Pillow write it when it is whole."""

    rows = _ROWS

    def __init__(self, file: BinaryIO, layout: Layout, about: About, name: str) -> None:
        self._file, self._about, self._name = file, about, name
        self._samples = np.empty(layout[:3], np.uint8)
        self._at = 0

    def write(self, samples: np.ndarray) -> None:
        self._samples[self._at : self._at + len(samples)] = samples
        self._at += len(samples)

    def close(self) -> None:
        if self._name == "BMP" and self._samples.shape[2] == 4:
            _write_bmp_with_alpha(self._samples, self._file)
            return
        self._file.write(compressed(self._samples, self._name, self._about.options, self._about))


def compressed(samples: np.ndarray, name: str, options: Mapping[str, Any], about: About | None = None) -> bytes:
    """The file that Pillow makes of uint8 samples `(H, W, 1..4)`.

    Raises:
        ValueError: it cannot.
    """
    held: dict[str, bytes] = {}
    if about is not None and name in _WITH_METADATA:
        mark = b"Exif\0\0" if name == "JPEG" else b""
        found = {"icc_profile": about.icc_profile, "exif": about.exif and mark + about.exif, "xmp": about.xmp}
        held = {key: value for key, value in found.items() if value}
    buffer = io.BytesIO()
    try:
        Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(buffer, name, **options, **held)
    except OSError as error:
        raise ValueError(str(error)) from error
    return buffer.getvalue()


def _write_bmp_with_alpha(samples: np.ndarray, file: BinaryIO) -> None:
    """A bitmap with the version 4 header, the first that has a mask for alpha; Pillow's writer uses the third."""
    height, width, _ = samples.shape
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    file.write(struct.pack("<2sIxxxxI", b"BM", 122 + samples.nbytes, 122))
    file.write(
        struct.pack("<IiiHHIIiiII4I4s48x", 108, width, height, 1, 32, 3, samples.nbytes, 0, 0, 0, 0, *masks, b"BGRs")
    )
    for stop in range(height, 0, -_ROWS):
        file.write(samples[max(0, stop - _ROWS) : stop][::-1, :, [2, 1, 0, 3]].tobytes())
