"""PNG with 16 bits per sample, of which Pillow keeps 8, and one encoder for all depths that keeps the metadata."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from PIL import ImageFile

_COLOUR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels; PNG specification, table 11.1
_PAETH: Final = 4
_BLOCK: Final = 1 << 22  # bytes filtered at once


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an opened, not yet loaded PNG has colour or alpha of 16 bits."""
    return image.format == "PNG" and image.mode != "I;16" and any(_rawmode(image).endswith(";16B") for _ in image.tile)


def deep_samples(reopen: Callable[[], ImageFile.ImageFile]) -> tuple[np.ndarray, ImageFile.ImageFile]:
    """uint16 `(H, W, C)` and the loaded image, for its metadata. `reopen` gives the opened image each time."""
    image = reopen()
    if _rawmode(image) == "LA;16B":  # gray and alpha are four bytes: those of one RGBA pixel
        return _decoded(image, "RGBA").view(">u2").astype(np.uint16), image
    return byte_pairs(reopen).view(">u2")[..., 0].astype(np.uint16), image


def byte_pairs(reopen: Callable[[], ImageFile.ImageFile]) -> np.ndarray:
    """uint8 `(H, W, C, 2)`: both bytes of each 16-bit sample, in the order of the decoded data.

    Pillow unpacks one byte of each pair, the first as `;16B` and the second as `;16L`: so it is asked twice.
    """
    halves = []
    for order in ("B", "L"):
        image = reopen()
        halves.append(_decoded(image, _rawmode(image).replace("RGBa", "RGBA")[:-1] + order))
    return np.stack(halves, axis=-1)
