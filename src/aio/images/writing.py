"""Photographs out: the format, depth and quality class they came in, whole or not at all."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from aio.errors import InputError
from aio.files import atomic_write
from aio.images import exif as exif_block
from aio.images import png, tiff
from aio.images.opening import family, format_of_suffix, suffixes_of
from aio.images.photo import Photo


class _Format(NamedTuple):
    modes: tuple[str, ...]
    bits: int = 8
    side: int = 1 << 31


# What a file of each format can hold, and the longest side. GIF is left out: 256 colours would undo a restoration.
_FORMATS: Final = {
    "PNG": _Format(("L", "LA", "RGB", "RGBA"), bits=16),
    "TIFF": _Format(("L", "LA", "RGB", "RGBA"), bits=32),
    "JPEG": _Format(("L", "RGB"), side=65500),  # libjpeg's JPEG_MAX_DIMENSION
    "WEBP": _Format(("RGB", "RGBA"), side=16383),
    "AVIF": _Format(("L", "LA", "RGB", "RGBA"), side=65535),
    "BMP": _Format(("L", "RGB", "RGBA")),
    "PPM": _Format(("L", "RGB"), bits=16),
    "TGA": _Format(("L", "LA", "RGB", "RGBA"), side=65535),
}
_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_UNKNOWN_QUALITY: Final = 95
_JPEG_METADATA: Final = 65504  # a segment of 65535 bytes less its length and the name of an XMP packet


def output_format(photo: Photo, path: str | Path, format: str | None = None, *, scale: int = 1) -> str:
    """The format in which `write_photo` would write; asked before the long work, it refuses what would fail after it.

    The name's suffix decides; `format` (`"PNG"`, `"jpg"`) or else the photo's own decides for a name without one.
    `scale` is by how much the photo will have grown.

    Raises:
        InputError: the format is unknown here, is not the one that the suffix names, or cannot hold the photo.
    """
    path = Path(path)
    wanted = format_of_suffix("." + format) or family(format.upper()) if format else None
    named = format_of_suffix(path.suffix) if path.suffix else wanted or photo.format
    if named not in _FORMATS:
        known = ", ".join(suffix for name in _FORMATS for suffix in suffixes_of(name))
        asked = named or f"a {path.suffix} file"
        raise InputError(f"{path}: photos are not written as {asked}; expected a name ending in {known}")
    if wanted not in (None, named):
        raise InputError(f"{path}: the format {format} was asked for, but the name says {named}; expected one of them")
    limits = _FORMATS[named]
    height, width = (scale * side for side in photo.pixels.shape[:2])
    if max(height, width) > limits.side:
        raise InputError(f"{path}: {width} x {height} pixels, but {named} ends at {limits.side} on a side; try .png")
    if "RGBA" not in limits.modes and photo.alpha is not None and photo.alpha.min() < 1:
        raise InputError(f"{path}: the photo is transparent in part, which {named} cannot hold; try .png or .webp")
    if named == "JPEG" and max(len(photo.exif or b""), len(photo.xmp or b"")) > _JPEG_METADATA:
        raise InputError(f"{path}: its EXIF or XMP is longer than a JPEG can hold ({_JPEG_METADATA} bytes); try .png")
    return named


def write_photo(photo: Photo, path: str | Path, format: str | None = None, *, quality: int | None = None) -> None:
    """Writes the photo, whole or not at all, with its EXIF block, XMP packet and ICC profile.

    The format is that of `output_format`. Depth is the photo's, or the most that the format holds; TIFF alone holds
    floats. In its own format the photo is compressed as it was: a JPEG by its quantisation tables and subsampling, a
    WebP without loss if it was. Else, and where nothing is known of it, JPEG, WebP and AVIF are of quality 95 and
    colour is not subsampled; `quality` (1..100) sets another and is without meaning for the others. A profile that
    does not fit the colours written (gray, RGB) is left out, and alpha that is opaque throughout where the format has
    none. BMP, PPM and TGA hold no metadata.

    Raises:
        InputError: as in `output_format`; or the pixels are not finite or `quality` is no quality.
        OSError: the file cannot be written.
    """
    path = Path(path)
    name = output_format(photo, path, format)
    if quality is not None and not 1 <= quality <= 100:
        raise InputError(f"quality: expected 1..100, got {quality}")
    if not np.isfinite(photo.pixels).all():
        raise InputError(f"{path}: the restored pixels are not all finite numbers")
    samples = _samples(photo, _FORMATS[name])
    height, width, channels = samples.shape
    about = {
        "icc_profile": _fitting(photo.icc_profile, channels),
        "exif": exif_block.with_size(photo.exif, width, height),
        "xmp": photo.xmp,
    }
    if name in ("PNG", "TIFF"):
        data = (png if name == "PNG" else tiff).encode(samples, **about)
    elif name == "PPM" and samples.dtype == np.uint16:
        data = _deep_ppm(samples)
    elif name == "BMP" and channels == 4:
        data = _bmp_with_alpha(samples)
    else:
        try:
            data = _by_pillow(samples, name, _options(photo.encoding, name, quality), about)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: the photo cannot be written as {name} ({error})") from error
    with atomic_write(path) as file:
        file.write(data)


def _samples(photo: Photo, limits: _Format) -> np.ndarray:
    """`(H, W, C)` in the depth and with the channels that the format holds."""
    planes = [photo.pixels] if photo.alpha is None else [photo.pixels, photo.alpha[..., None]]
    samples = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)
    bits = min(photo.bits, limits.bits)
    if bits < 32:
        peak = (1 << bits) - 1
        scaled = np.clip(samples, 0, 1)
        scaled *= peak
        samples = np.rint(scaled, out=scaled).astype(np.uint8 if bits == 8 else np.uint16)
    if photo.alpha is not None and "RGBA" not in limits.modes:
        samples = samples[..., :-1]
    if _MODES[samples.shape[2]] not in limits.modes:
        samples = np.concatenate((samples[..., :1],) * 2 + (samples,), axis=-1)
    return samples


def _fitting(icc_profile: bytes | None, channels: int) -> bytes | None:
    space = b"RGB " if channels >= 3 else b"GRAY"
    return icc_profile if icc_profile and icc_profile[16:20] == space else None


def _options(encoding: Mapping[str, Any], name: str, quality: int | None) -> dict[str, Any]:
    if name == "JPEG":
        if quality is None and "qtables" in encoding:
            return dict(encoding)
        return {"quality": quality or _UNKNOWN_QUALITY, "subsampling": 0}
    if name == "WEBP":
        if quality is None and encoding.get("lossless"):
            return {"lossless": True, "exact": True, "quality": 80}  # here quality means effort
        return {"quality": quality or _UNKNOWN_QUALITY}
    return {"quality": quality or _UNKNOWN_QUALITY, "subsampling": "4:4:4"} if name == "AVIF" else {}


def _by_pillow(samples: np.ndarray, name: str, options: dict[str, Any], about: dict[str, bytes | None]) -> bytes:
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    held = {key: value for key, value in about.items() if value} if name in ("JPEG", "WEBP", "AVIF") else {}
    if "exif" in held and name == "JPEG":
        held["exif"] = b"Exif\0\0" + (held["exif"] or b"")
    buffer = io.BytesIO()
    image.save(buffer, name, **options, **held)
    return buffer.getvalue()


def _deep_ppm(samples: np.ndarray) -> bytes:
    height, width, channels = samples.shape
    return b"P%d %d %d 65535\n" % (6 if channels == 3 else 5, width, height) + samples.astype(">u2").tobytes()


def _bmp_with_alpha(samples: np.ndarray) -> bytes:
    """A bitmap with the version 4 header, the first that has a mask for alpha; Pillow's writer uses the third."""
    height, width, _ = samples.shape
    body = samples[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    file_header = struct.pack("<2sIxxxxI", b"BM", 122 + len(body), 122)
    info = struct.pack("<IiiHHIIiiII4I4s48x", 108, width, height, 1, 32, 3, len(body), 0, 0, 0, 0, *masks, b"BGRs")
    return file_header + info + body
