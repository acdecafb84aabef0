"""JPEG by bands of rows, where libvips is installed (the extra `large`): Pillow decodes a JPEG only as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import BinaryIO, Final

import numpy as np
from PIL import ImageFile

_BAND: Final = 1 << 22  # bytes


def is_streamed(image: ImageFile.ImageFile) -> bool:
    """Whether `blocks` decodes this file: a gray or RGB JPEG, and libvips is there."""
    return image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB") and find_spec("pyvips") is not None


def blocks(image: ImageFile.ImageFile, file: BinaryIO) -> Iterator[np.ndarray]:
    """uint8 `(h, W, C)` as stored; of a progressive JPEG libjpeg holds the coefficients, 2 bytes each.

    Raises:
        OSError: the file is cut off or broken.
    """
    import pyvips  # an optional package, and a tenth of a second

    width, height = image.size
    channels = len(image.getbands())
    step = max(1, _BAND // (width * channels))
    try:
        source = pyvips.SourceCustom()  # a file given by its name or number would be mapped into memory
        source.on_read(file.read)
        source.on_seek(file.seek)
        file.seek(0)
        picture = pyvips.Image.jpegload_source(source, access="sequential", fail_on="truncated")
        if (picture.width, picture.height, picture.bands) != (width, height, channels):
            raise OSError(f"libvips sees {picture.width} x {picture.height} pixels of {picture.bands} bytes")
        region = pyvips.Region.new(picture)
        for start in range(0, height, step):
            rows = min(step, height - start)
            band = region.fetch(0, start, width, rows)
            yield np.frombuffer(band, np.uint8).reshape(rows, width, channels)
    except pyvips.Error as error:
        raise OSError(" ".join(str(error).split())) from error
