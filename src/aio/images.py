"""Image files in: what the loaders read and what the scan checks before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from aio.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_LAST_BYTES = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_TAIL = 64


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted; hidden files and folders are passed over."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_rgb(path: Path) -> np.ndarray:
    """Pixels `(H, W, 3)` uint8, upright.

    Raises:
        InputError: the file is not a whole image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: expected an image, but it cannot be read ({error})") from error


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header, as displayed; the end of a PNG or JPEG is looked at too, not the pixels.

    Raises:
        InputError: the file is no image, or was cut off.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            upright = image.getexif().get(0x0112, 1) < 5
            ending = _LAST_BYTES.get(image.format or "")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: expected an image, but it cannot be read ({error})") from error
    if ending is not None:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            if ending not in file.read():
                raise InputError(f"{path}: the image is cut off (its last bytes are missing)")
    return (height, width) if upright else (width, height)
