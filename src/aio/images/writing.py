"""Photographs out: the format, depth and quality class they came in, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from aio.errors import InputError
from aio.files import atomic_write
from aio.images import exif as exif_block
from aio.images.jpeg_writing import JpegWriter
from aio.images.layout import About, Layout, Writer
from aio.images.opening import family, format_of_suffix, suffixes_of
from aio.images.photo import Head, Photo
from aio.images.plain_writing import PillowWriter, PpmWriter
from aio.images.png import PngWriter
from aio.images.rows import as_samples
from aio.images.tiff_writing import TiffWriter


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
_CHANNELS: Final = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_ROWS: Final = 256
_UNKNOWN_QUALITY: Final = 95
_JPEG_METADATA: Final = 65504  # a segment of 65535 bytes less its length and the name of an XMP packet


def output_format(photo: Photo, path: str | Path, format: str | None = None, *, scale: int = 1) -> str:
    """The format in which `write_photo` would write; asked before the long work, it refuses what would fail after it.

    The name's suffix decides; `format` (`"PNG"`, `"jpg"`) or else the photo's own decides for a name without one.
    `scale` is by how much the photo will have grown.

    Raises:
        InputError: the format is unknown here, is not the one that the suffix names, or cannot hold the photo.
    """
    height, width = (scale * side for side in photo.pixels.shape[:2])
    name = format_for(photo.head, path, format, height=height, width=width)
    if photo.alpha is not None:
        _check_alpha(photo.alpha, name, path)
    return name


def format_for(head: Head, path: str | Path, format: str | None = None, *, height: int, width: int) -> str:
    """As `output_format`, of a photograph of that size whose pixels are not at hand: transparency is not asked about.

    Raises:
        InputError: as `output_format`.
    """
    path = Path(path)
    wanted = format_of_suffix("." + format) or family(format.upper()) if format else None
    named = format_of_suffix(path.suffix) if path.suffix else wanted or head.format
    if named not in _FORMATS:
        known = ", ".join(suffix for name in _FORMATS for suffix in suffixes_of(name))
        asked = named or f"a {path.suffix} file"
        raise InputError(f"{path}: photos are not written as {asked}; expected a name ending in {known}")
    if wanted not in (None, named):
        raise InputError(f"{path}: the format {format} was asked for, but the name says {named}; expected one of them")
    limits = _FORMATS[named]
    if max(height, width) > limits.side:
        raise InputError(f"{path}: {width} x {height} pixels, but {named} ends at {limits.side} on a side; try .png")
    if named == "JPEG" and max(len(head.exif or b""), len(head.xmp or b"")) > _JPEG_METADATA:
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
    name = output_format(photo, path, format)
    height, width, channels = photo.pixels.shape
    layout = layout_in(name, photo.head, height, width, channels, photo.alpha is not None)
    with sink(Path(path), name, photo.head, layout, quality=quality) as rows:
        for start in range(0, height, _ROWS):
            part = slice(start, start + _ROWS)
            rows.write(photo.pixels[part], None if photo.alpha is None else photo.alpha[part])


def layout_in(name: str, head: Head, height: int, width: int, channels: int, has_alpha: bool) -> Layout:
    """What the format holds of a photograph of that size, with 1 or 3 `channels` besides alpha."""
    limits = _FORMATS[name]
    alpha = has_alpha and "RGBA" in limits.modes
    held = ("L" if channels == 1 else "RGB") + ("A" if alpha else "")
    if held not in limits.modes:
        held = "RGBA" if alpha else "RGB"
    return Layout(height, width, _CHANNELS[held], min(head.bits, limits.bits))


class Sink:
    """Takes pixels in any number of rows, and gives a format's writer its samples in blocks."""

    def __init__(self, path: Path, name: str, layout: Layout, writer: Writer) -> None:
        self._path, self._name, self._layout, self._writer = path, name, layout, writer
        self._held: list[np.ndarray] = []
        self._came = 0

    def write(self, pixels: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """The next rows: float32 `(h, W, 1 or 3)`, in [0, 1] but for floats, and `(h, W)` where there is alpha.

        Raises:
            InputError: they are not finite, or transparent where the format has no alpha.
            ValueError: they are not as wide as was said, or too many.
        """
        if pixels.shape[1] != self._layout.width or self._came + len(pixels) > self._layout.height:
            raise ValueError(f"{self._path}: {pixels.shape} after {self._came} rows of {self._layout}")
        if not np.isfinite(pixels).all():
            raise InputError(f"{self._path}: the restored pixels are not all finite numbers")
        if alpha is not None:
            _check_alpha(alpha, self._name, self._path)
        self._came += len(pixels)
        self._held.append(as_samples(pixels, alpha, self._layout.bits, self._layout.channels))
        self._pass_on(last=self._came == self._layout.height)

    def close(self) -> None:
        """Ends the file.

        Raises:
            ValueError: rows are missing.
        """
        if self._came != self._layout.height:
            raise ValueError(f"{self._path}: {self._came} rows came, expected {self._layout.height}")
        with self._named():
            self._writer.close()

    def _pass_on(self, *, last: bool) -> None:
        rows = self._writer.rows
        if sum(map(len, self._held)) < rows and not last:
            return
        block = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        end = len(block) if last else len(block) - len(block) % rows
        for start in range(0, end, rows):
            with self._named():
                self._writer.write(block[start : min(start + rows, end)])
        self._held = [block[end:].copy()] if end < len(block) else []

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise InputError(f"{self._path}: the photo cannot be written as {self._name} ({error})") from error


@contextmanager
def sink(
    path: Path, name: str, head: Head, layout: Layout, *, quality: int | None = None, by_strips: bool = False
) -> Iterator[Sink]:
    """Where rows go that become `path` when the block ends well; `by_strips` never holds a whole JPEG.

    Raises:
        InputError: `quality` is no quality.
        ValueError: rows are missing when the block ends.
        OSError: the file cannot be written.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise InputError(f"quality: expected 1..100, got {quality}")
    about = About(
        _fitting(head.icc_profile, layout.channels),
        exif_block.with_size(head.exif, layout.width, layout.height),
        head.xmp,
        _options(head.encoding, name, quality),
    )
    with atomic_write(path) as file:
        rows = Sink(path, name, layout, _writer(name, file, layout, about, by_strips))
        yield rows
        rows.close()


def _writer(name: str, file: BinaryIO, layout: Layout, about: About, by_strips: bool) -> Writer:
    if name == "PNG":
        return PngWriter(file, layout, about)
    if name == "TIFF":
        return TiffWriter(file, layout, about)
    if name == "PPM":
        return PpmWriter(file, layout, about)
    if name == "JPEG" and by_strips:
        return JpegWriter(file, layout, about)
    return PillowWriter(file, layout, about, name)


def _check_alpha(alpha: np.ndarray, name: str, path: str | Path) -> None:
    if "RGBA" not in _FORMATS[name].modes and alpha.min(initial=1) < 1:
        raise InputError(f"{path}: the photo is transparent in part, which {name} cannot hold; try .png or .webp")


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
