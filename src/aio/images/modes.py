"""What Pillow decodes, in any of its modes, as samples of gray or RGB and alpha."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import numpy as np
from PIL import Image, ImageCms, ImageFile

from aio.images.exif import upright

_GRAY: Final = frozenset({"1", "L", "LA", "La"})
_BLOCK: Final = 1 << 20  # pixels converted at once


def blocks(image: ImageFile.ImageFile, orientation: int = 1) -> Iterator[np.ndarray]:
    """uint8 or uint16 `(h, W, C)` from the picture's upper edge down, of an image that Pillow holds in its own mode.

    Raises:
        ValueError: samples of 32 bits, which no format but TIFF is read with.
    """
    image.load()  # some formats know their mode only now
    convert = _conversion(image)
    width, height = image.size if orientation < 5 else image.size[::-1]
    step = max(1, _BLOCK // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        if orientation in (3, 4, 7, 8):
            start, stop = height - stop, height - start
        box = (0, start, width, stop) if orientation < 5 else (start, 0, stop, width)
        yield upright(convert(image.crop(box)), orientation)


def is_converted(image: Image.Image) -> bool:
    """Whether the samples are other colours than those the file's profile speaks of."""
    return image.mode in ("CMYK", "LAB")


def _conversion(image: ImageFile.ImageFile) -> Callable[[Image.Image], np.ndarray]:
    """What turns a part of `image` into samples, without loss where Pillow itself decodes so."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return lambda part: np.asarray(part).astype(np.uint16)[..., None]
    if image.mode in ("I", "F"):
        raise ValueError("samples of 32 bits: expected 8 or 16 bits, or a TIFF of floats")
    mode = ("L" if image.mode in _GRAY else "RGB") + ("A" if image.has_transparency_data else "")
    transform = _to_srgb(image) if is_converted(image) else None

    def converted(part: Image.Image) -> np.ndarray:
        if transform is not None:
            part = ImageCms.applyTransform(part, transform) or part
        samples = np.asarray(part if part.mode == mode else part.convert(mode))
        return samples[..., None] if mode == "L" else samples

    return converted


def _to_srgb(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """From CMYK or Lab, by profile, relative colorimetric with black point compensation; None if that cannot be."""
    stored = io.BytesIO(image.info.get("icc_profile") or b"")
    try:
        profile = ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(stored)
        return ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError):
        return None


def largest_in_ppm(image: ImageFile.ImageFile) -> int:
    """What stands for 1 in a binary PPM or PGM, where that needs scaling."""
    args = image.tile[0].args if image.tile and image.tile[0].codec_name == "ppm" else None
    return args[-1] if isinstance(args, tuple) else 0


def deep_ppm_blocks(image: ImageFile.ImageFile, file: BinaryIO) -> Iterator[np.ndarray]:
    """uint16 blocks of a PPM or PGM of more than 8 bits: Pillow narrows colours to 8.

    Raises:
        ValueError: the file is cut off.
    """
    width, height = image.size
    channels, scale = len(image.getbands()), 65535 / largest_in_ppm(image)
    step = max(1, _BLOCK // width)
    file.seek(image.tile[0].offset)
    for start in range(0, height, step):
        rows = min(step, height - start)
        stored = np.frombuffer(file.read(2 * width * rows * channels), ">u2").reshape(rows, width, channels)
        yield np.minimum(np.rint(stored * scale), 65535).astype(np.uint16)


def with_key(samples: np.ndarray, key: int | tuple[int, ...] | None) -> np.ndarray:
    """Alpha for samples of which one colour, the key, stands for transparent."""
    if key is None:
        return samples
    opaque = (samples != np.asarray(key)).any(axis=-1, keepdims=True)
    return np.concatenate((samples, opaque * samples.dtype.type(np.iinfo(samples.dtype).max)), axis=-1)
