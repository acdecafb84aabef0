"""What the loaders of training data need of image files: which there are, how large, and their RGB pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from PIL import ImageFile, ImageOps, TiffImagePlugin

from aio.images import png
from aio.images.modes import largest_in_ppm
from aio.images.opening import MAX_PIXELS, check_pixels, identify, open_file, pillow_limit
from aio.images.photo import Photo
from aio.images.reading import check_ending, read_photo

_BITS_PER_SAMPLE: Final = 258  # TIFF 6.0
_ORIENTATION: Final = 0x0112
SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted; hidden files and folders are passed over."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_rgb(path: Path, *, data: bytes | None = None) -> np.ndarray:
    """Pixels `(H, W, 3)` uint8, upright; of `data`, the file's bytes, where they are at hand.

    Raises:
        InputError: the file is not a whole image.
    """
    with open_file(path, data) as file:
        image = identify(file)
        check_pixels(path, *image.size, MAX_PIXELS)
        if not image.mode.startswith(("I", "F")):
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return _rgb(read_photo(path, data=data), np.uint8)  # Pillow would clip 16 bits to 8


def read_samples(path: Path, *, data: bytes | None = None) -> np.ndarray:
    """Pixels `(H, W, 3)`, upright: uint16 where a PNG, TIFF or PPM holds 16 bits a channel, else uint8 as `read_rgb`.

    With `data`, the file's bytes, nothing is read at `path`.

    Raises:
        InputError: the file is not a whole image.
    """
    with open_file(path, data) as file:
        deep = _is_deep(identify(file))
    if not deep:
        return read_rgb(path, data=data)
    photo = read_photo(path, data=data)
    return _rgb(photo, np.uint16 if photo.bits == 16 else np.uint8)


def sample_bytes(path: Path) -> int:
    """Bytes of a sample as `read_samples` gives it, by the header: 1 or 2; of float TIFF 2 is said, for want of a look.

    Raises:
        InputError: the file is no image.
    """
    with open_file(path) as file:
        return 2 if _is_deep(identify(file)) else 1


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an opened, not yet loaded image has more than 8 bits a channel."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    return image.mode.startswith("I") or png.is_deep(image) or largest_in_ppm(image) > 255


def _rgb(photo: Photo, kind: type[np.unsignedinteger]) -> np.ndarray:
    """The pixels `(H, W, 3)` of `photo` in whole numbers of that kind; exact where it held such."""
    pixels = np.broadcast_to(photo.pixels, (*photo.pixels.shape[:2], 3))
    return np.rint(np.clip(pixels, 0, 1) * np.iinfo(kind).max).astype(kind)


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) from the header, as displayed; the end of a PNG or JPEG is looked at too, not the pixels.

    Raises:
        InputError: the file is no image, was cut off, or has more than `max_pixels`.
    """
    with open_file(path) as file, pillow_limit.raised_to(max_pixels):
        image = identify(file)
        width, height = image.size
        check_pixels(path, width, height, max_pixels)
        # Pillow decodes a PNG to look for an orientation behind the pixels.
        never_turned = image.format == "TIFF" or (image.format == "PNG" and not png.may_be_turned(file))
        upright = never_turned or image.getexif().get(_ORIENTATION, 1) < 5
        check_ending(image, file)
    return (height, width) if upright else (width, height)
