"""Images as a program holds them (PIL, NumPy, torch), to and from the photograph that nets restore.

Each function gives the photograph and the way back: a function that makes the same kind of thing of what was restored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aio.errors import InputError
from aio.images import Photo

T = TypeVar("T")
Converted = tuple[Photo, Callable[[Photo], T]]

_PEAKS: Final = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
_BITS: Final = {"uint8": 8, "uint16": 16}
# What Pillow's other modes are restored as; they come back as that.
_PLAIN: Final = {"1": "L", "P": "RGB", "PA": "RGBA"}
_MODES: Final = ("L", "LA", "RGB", "RGBA", "I;16", "F", *_PLAIN)


def of_array(array: np.ndarray) -> Converted[np.ndarray]:
    """`(H, W)` or `(H, W, C)` with 1 to 4 channels, of which an even last one is alpha.

    Raises:
        InputError: another shape or type, or floats outside [0, 1].
    """
    kind = array.dtype.name
    if kind not in _PEAKS:
        raise InputError(f"image: an array of {kind}, expected {', '.join(_PEAKS)}")
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[2] not in (1, 2, 3, 4) or 0 in planes.shape:
        raise InputError(f"image: an array of shape {array.shape}, expected (H, W) or (H, W, C) with 1 to 4 channels")
    if kind.startswith("float"):
        _check_range(float(planes.min()), float(planes.max()))
    colours = planes.shape[2] - (planes.shape[2] + 1) % 2
    samples = planes.astype(np.float32) / np.float32(_PEAKS[kind])
    alpha = np.ascontiguousarray(samples[..., -1]) if colours < planes.shape[2] else None
    photo = Photo(np.ascontiguousarray(samples[..., :colours]), alpha, bits=_BITS.get(kind, 32))

    def back(restored: Photo) -> np.ndarray:
        whole = _samples(restored, array.dtype)
        return whole[..., 0] if array.ndim == 2 else whole

    return photo, back


def of_picture(picture: Image.Image) -> Converted[Image.Image]:
    """A PIL image; size, mode, alpha, EXIF, colour profile and all else in `info` are kept, and the way it lies.

    Bitmaps come back gray and palettes as RGB; a transparent colour comes back as alpha.

    Raises:
        InputError: the mode is another, or floats lie outside [0, 1].
    """
    if picture.mode not in _MODES:
        modes = ", ".join(_MODES)
        raise InputError(f"image: of the mode {picture.mode}, expected {modes}; convert it, or give the file's path")
    mode = _PLAIN.get(picture.mode, picture.mode)
    if mode in ("L", "RGB") and picture.has_transparency_data:
        mode += "A"
    photo, way = of_array(np.asarray(picture if mode == picture.mode else picture.convert(mode)))
    about = {key: value for key, value in picture.info.items() if key != "transparency"}
    tags = picture.getexif()
    if tags and "exif" not in about:  # as with a TIFF, which holds them elsewhere
        about["exif"] = tags.tobytes()

    def back(restored: Photo) -> Image.Image:
        result = Image.fromarray(way(restored))
        result.info = dict(about)
        return result

    return photo, back


def fits_picture(photo: Photo) -> bool:
    """Whether a mode of Pillow holds it: deep colours have none."""
    return photo.bits == 8 or (photo.pixels.shape[2] == 1 and photo.alpha is None)


def picture_of(photo: Photo) -> Image.Image:
    """A photograph that `fits_picture` as a PIL image with its metadata: of the mode L, LA, RGB, RGBA, I;16 or F."""
    kind = {8: np.uint8, 16: np.uint16, 32: np.float32}[photo.bits]
    samples = _samples(photo, np.dtype(kind))
    picture = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    about = {"exif": photo.exif, "icc_profile": photo.icc_profile, "xmp": photo.xmp}
    picture.info = {key: value for key, value in about.items() if value is not None}
    return picture


def of_tensor(tensor: Tensor) -> Converted[Tensor]:
    """One image `(1 or 3, H, W)`, floats in [0, 1], on the host.

    Raises:
        InputError: values outside [0, 1].
    """
    _check_range(float(tensor.min()), float(tensor.max()))
    pixels = np.ascontiguousarray(tensor.permute(1, 2, 0).numpy())
    return Photo(pixels, bits=32), lambda restored: torch.from_numpy(restored.pixels).permute(2, 0, 1)


def _check_range(least: float, most: float) -> None:
    if not (least >= 0 and most <= 1):  # so that NaN is refused too
        raise InputError(f"image: floats from {least:g} to {most:g}, expected them in [0, 1]")


def _samples(photo: Photo, kind: np.dtype) -> np.ndarray:
    """`(H, W, C)` of that type, alpha last; whole numbers are rounded."""
    planes = [photo.pixels] if photo.alpha is None else [photo.pixels, photo.alpha[..., None]]
    samples = np.concatenate(planes, axis=-1)
    if kind.kind == "f":
        return samples.astype(kind)
    return np.rint(samples.clip(0, 1) * _PEAKS[kind.name]).astype(kind)
