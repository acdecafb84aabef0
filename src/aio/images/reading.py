"""Photographs in: every mode and depth as float32 pixels, with all that the file says besides."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin

from aio.images import exif as exif_block
from aio.images import png, tiff
from aio.images.opening import MAX_PIXELS, check_pixels, check_suffix, family, identify, open_file, pillow_limit
from aio.images.photo import Photo

_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ENDINGS: Final = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_TAIL: Final = 64
_GRAY: Final = frozenset({"1", "L", "LA", "La"})


def read_photo(path: str | Path, *, max_pixels: int = MAX_PIXELS, data: bytes | None = None) -> Photo:
    """The photograph in the file, upright; in `data`, the file's bytes, where they are at hand.

    Samples of 1, 2 and 4 bits, palettes and colour keys become 8-bit gray or RGB, with alpha where they say what is
    transparent. CMYK and Lab become 8-bit sRGB, CMYK through its ICC profile if it has one, and lose that profile.
    16-bit PNG, TIFF and PPM and float TIFF keep their depth. Of animations and books the first frame is read. In the
    EXIF block and XMP packet the orientation is 1 and the block's thumbnail is gone; all else stays.

    Raises:
        InputError: the file is missing, is no regular file or no whole image, has more than `max_pixels`, a name that
            speaks of another format, integers of more than 16 bits, or floats that are not finite.
    """
    path = Path(path)
    with open_file(path, data) as file, pillow_limit.raised_to(max_pixels):
        start = file.read(4)
        return (_from_tiff if start in _TIFF_STARTS else _from_pillow)(file, path, max_pixels)


def _from_tiff(file: BinaryIO, path: Path, max_pixels: int) -> Photo:
    check_suffix(path, "TIFF")
    page = tiff.Tiff(file)
    check_pixels(path, page.width, page.height, max_pixels)
    if page.deep:
        samples, icc_profile = page.deep_samples(partial(identify, file)), page.icc_profile
    else:
        image = identify(file)
        samples = _samples(image)  # upright: Pillow turns TIFFs by itself
        icc_profile = None if _is_converted(image) else page.icc_profile
    return _photo(
        samples,
        format="TIFF",
        exif=exif_block.from_tiff(page.directory),
        icc_profile=icc_profile,
        xmp=exif_block.settled_xmp(page.xmp),
        frames=page.pages(),
    )


def _from_pillow(file: BinaryIO, path: Path, max_pixels: int) -> Photo:
    image = identify(file)
    check_suffix(path, family(image.format))
    check_pixels(path, *image.size, max_pixels)
    encoding = _encoding(image, file)
    if png.is_deep(image):
        samples, image = png.deep_samples(partial(identify, file))
    elif (largest := largest_in_ppm(image)) > 255:
        samples = _deep_ppm(image, file, largest)
    else:
        samples = _samples(image)
    if samples.dtype == np.uint16:
        samples = _with_key(samples, image.info.get("transparency"))
    check_ending(image, file)
    exif = exif_block.bare(image.info.get("exif"))
    xmp = image.info.get("xmp")
    return _photo(
        exif_block.upright(samples, exif_block.orientation(exif, xmp)),
        format=family(image.format),
        exif=exif_block.settled(exif),
        icc_profile=None if _is_converted(image) else image.info.get("icc_profile"),
        xmp=exif_block.settled_xmp(xmp),
        encoding=encoding,
        frames=1 if image.format == "MPO" else getattr(image, "n_frames", 1),  # an MPO's others are previews
    )


def check_ending(image: ImageFile.ImageFile, file: BinaryIO) -> None:
    """Refuses a PNG or JPEG that was cut off: by its last bytes, or else, since cameras append to them, by all.

    Raises:
        ValueError, OSError: the end is missing.
    """
    ending = _ENDINGS.get(family(image.format))
    if ending is not None:
        file.seek(max(0, file.seek(0, io.SEEK_END) - _TAIL))
        if ending not in file.read():
            _search(image, file, ending)


def _search(image: ImageFile.ImageFile, file: BinaryIO, ending: bytes) -> None:
    if image.format != "PNG":
        image.load()
        return
    file.seek(0)
    if ending not in file.read():
        raise ValueError("the image is cut off: its last bytes are missing")


def _photo(samples: np.ndarray, **about: Any) -> Photo:
    """The photo of uint8, uint16 or float32 `(H, W, C)`, of which an even last channel is alpha."""
    bits, peak = {"uint8": (8, 255), "uint16": (16, 65535), "float32": (32, 1)}[samples.dtype.name]
    if bits == 32 and not np.isfinite(samples).all():
        raise ValueError("its samples are not all finite numbers")
    colours = samples.shape[2] - (samples.shape[2] + 1) % 2
    pixels = samples[..., :colours].astype(np.float32, order="C")
    alpha = samples[..., -1].astype(np.float32, order="C") if samples.shape[2] > colours else None
    for part in (pixels, alpha):
        if part is not None:
            part /= peak
    return Photo(pixels, alpha, bits, **about)


def _samples(image: ImageFile.ImageFile) -> np.ndarray:
    """uint8 or uint16 `(H, W, C)`: gray or RGB, and alpha if there is one; what Pillow itself decodes without loss."""
    image.load()  # some formats know their mode only now
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.mode in ("I", "F"):
        raise ValueError("samples of 32 bits: expected 8 or 16 bits, or a TIFF of floats")
    plain = _to_srgb(image) if _is_converted(image) else image
    mode = ("L" if image.mode in _GRAY else "RGB") + ("A" if image.has_transparency_data else "")
    samples = np.asarray(plain.convert(mode))
    return samples[..., None] if mode == "L" else samples


def _is_converted(image: Image.Image) -> bool:
    return image.mode in ("CMYK", "LAB")


def _to_srgb(image: Image.Image) -> Image.Image:
    """sRGB of a CMYK or Lab image: by profile, relative colorimetric with black point compensation, if that works."""
    stored = io.BytesIO(image.info.get("icc_profile") or b"")
    try:
        profile = ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(stored)
        converted = ImageCms.profileToProfile(
            image,
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError):
        return image
    return image if converted is None else converted


def largest_in_ppm(image: ImageFile.ImageFile) -> int:
    """What stands for 1 in a binary PPM or PGM, where that needs scaling."""
    args = image.tile[0].args if image.tile and image.tile[0].codec_name == "ppm" else None
    return args[-1] if isinstance(args, tuple) else 0


def _deep_ppm(image: ImageFile.ImageFile, file: BinaryIO, largest: int) -> np.ndarray:
    """PPM and PGM of more than 8 bits: Pillow narrows colours to 8."""
    width, height = image.size
    channels = len(image.getbands())
    file.seek(image.tile[0].offset)
    stored = np.frombuffer(file.read(2 * width * height * channels), ">u2").reshape(height, width, channels)
    return np.minimum(np.rint(stored * (65535 / largest)), 65535).astype(np.uint16)


def _with_key(samples: np.ndarray, key: int | tuple[int, ...] | None) -> np.ndarray:
    """Alpha for uint16 samples of which one colour, the key, stands for transparent."""
    if key is None:
        return samples
    opaque = (samples != np.asarray(key)).any(axis=-1, keepdims=True)
    return np.concatenate((samples, opaque * np.uint16(65535)), axis=-1)


def _encoding(image: ImageFile.ImageFile, file: BinaryIO) -> Mapping[str, Any]:
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("L", "RGB"):
        tables = [list(image.quantization[key]) for key in sorted(image.quantization)]
        sampling = JpegImagePlugin.get_sampling(image)
        progressive = bool(image.info.get("progressive"))
        return {"qtables": tables, "subsampling": max(sampling, 0), "progressive": progressive}
    if image.format == "WEBP":
        return {"lossless": _has_lossless_chunk(file)}
    return {}


def _has_lossless_chunk(file: BinaryIO) -> bool:
    """Whether the first picture within a WebP is lossless: RIFF chunks, with those of a frame in `ANMF`."""
    at = 12
    while True:
        file.seek(at)
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
        if kind in (b"VP8L", b"VP8 ", b""):
            return kind == b"VP8L"
        at += 24 if kind == b"ANMF" else 8 + size + size % 2
