"""What the loaders of training data need of image files: which there are, how large, and their 8-bit RGB pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from PIL import ImageOps

from aio.images.opening import MAX_PIXELS, check_pixels, identify, open_file
from aio.images.reading import check_ending, read_photo

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted; hidden files and folders are passed over."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_rgb(path: Path) -> np.ndarray:
    """Pixels `(H, W, 3)` uint8, upright.

    Raises:
        InputError: the file is not a whole image.
    """
    with open_file(path) as file:
        image = identify(file)
        check_pixels(path, *image.size, MAX_PIXELS)
        if not image.mode.startswith(("I", "F")):
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    pixels = read_photo(path).pixels  # Pillow would clip 16 bits to 8
    return np.rint(np.clip(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), 0, 1) * 255).astype(np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header, as displayed; the end of a PNG or JPEG is looked at too, not the pixels.

    Raises:
        InputError: the file is no image, was cut off, or has more pixels than Pillow's limit.
    """
    with open_file(path) as file:
        image = identify(file)
        width, height = image.size
        check_pixels(path, width, height, MAX_PIXELS)
        upright = image.format == "TIFF" or image.getexif().get(0x0112, 1) < 5
        check_ending(image, file)
    return (height, width) if upright else (width, height)
