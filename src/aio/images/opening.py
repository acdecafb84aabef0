"""Opening image files that nobody vouches for: named errors for whatever is wrong, a limit on pixels, never a wait."""

from __future__ import annotations

import io
import lzma
import re
import stat
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, ImageFile

from aio.errors import InputError

MAX_PIXELS: Final = 89_478_485  # Pillow's limit: a quarter of a GiB of 24-bit pixels
LARGEST: Final = 1 << 28  # pixels; what restoring takes, since it reads by strips
# Pillow hands EPS to Ghostscript and WMF to Windows, and IPTC may hold either.
_RUNS_PROGRAMS: Final = frozenset({"EPS", "IPTC", "WMF"})

_RAW: Final = "raw photographs of cameras"
_RAW_SUFFIXES: Final = frozenset(
    {".arw", ".cr2", ".dng", ".nef", ".nrw", ".orf", ".pef", ".rw2", ".srw"}
)  # TIFFs inside
# Photographs that only other programs read, by their first bytes.
_FOREIGN: Final = (
    (rb"....ftyp(hei|hev|mif1|msf1)", "HEIC images"),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|IIRO|IIU\0", _RAW),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL images"),
)

_ALIASES: Final = {"MPO": "JPEG", "DIB": "BMP"}  # one family of files, read and written alike
_KINDS: Final = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISCHR, "device"),
)
# What Pillow, tifffile, zlib and lzma raise over bytes that are not what they claim to be.
_FAULTS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    AssertionError,
    MemoryError,
    Warning,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


@contextmanager
def open_file(path: Path, data: bytes | None = None) -> Iterator[BinaryIO]:
    """The open file; whatever its decoding raises inside the block becomes an `InputError` that names it.

    With `data`, its bytes, nothing is read at `path`.

    Raises:
        InputError: the path is missing, no regular file (a named pipe would block), empty, or no whole image.
    """
    with named_faults(path), io.BytesIO(data) if data is not None else opened(path) as file:
        yield file


def opened(path: Path) -> BinaryIO:
    """The regular file at `path`, open for reading.

    Raises:
        InputError: it is none, or empty.
        OSError: it cannot be opened.
    """
    found = path.stat()
    kind = next((name for holds, name in _KINDS if holds(found.st_mode)), None)
    if kind is not None:
        raise InputError(f"{path}: expected an image file, but this is a {kind}")
    if found.st_size == 0:
        raise InputError(f"{path}: expected an image, but the file is empty (0 bytes)")
    return path.open("rb")


@contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Whatever decoding raises inside the block becomes an `InputError` that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected an image file, but there is none") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: {error} To read it all the same, raise max_pixels (--max_pixels)") from error
    except _FAULTS as error:
        raise InputError(f"{path}: expected an image, but it cannot be read ({error})") from error


def identify(file: BinaryIO) -> ImageFile.ImageFile:
    """The image in `file`, its header read: `Image.open` without the warning about many pixels.

    Raises:
        ValueError: no format known here is that of these bytes.
    """
    file.seek(0)
    prefix = file.read(16)
    for prepare in (Image.preinit, Image.init):
        prepare()
        for name in [name for name in Image.ID if name not in _RUNS_PROGRAMS]:
            factory, accept = Image.OPEN[name]
            accepted = accept is None or accept(prefix)
            if not accepted or isinstance(accepted, str):  # a text says which codec Pillow was built without
                continue
            file.seek(0)
            try:
                return factory(file, "")
            except (SyntaxError, LookupError, TypeError, struct.error):
                continue
    foreign = next((name for mark, name in _FOREIGN if re.match(mark, prefix, re.DOTALL)), None)
    if foreign is not None:
        raise ValueError(f"{foreign} are not read here; convert it to JPEG, PNG or TIFF")
    raise ValueError("its bytes belong to no known image format")


def family(name: str | None) -> str:
    """The format's name under which its files are read and written here."""
    return _ALIASES.get(name or "", name or "")


def format_of_suffix(suffix: str) -> str | None:
    """The format that files of this suffix (`.jpg`) hold, or None where it is not an image's."""
    Image.init()
    return family(Image.EXTENSION.get(suffix.lower())) or None


def suffixes_of(name: str) -> list[str]:
    """The suffixes that files of the format `name` may have."""
    Image.init()
    return sorted(suffix for suffix, known in Image.EXTENSION.items() if family(known) == name)


def check_suffix(path: Path, name: str) -> None:
    """Refuses names that speak of another format: the restored file would bear the wrong name as well."""
    if path.suffix.lower() in _RAW_SUFFIXES:
        raise InputError(f"{path}: {_RAW} are not read here; convert it to TIFF, PNG or JPEG")
    if path.suffix and format_of_suffix(path.suffix) != name:
        expected = ", ".join(suffixes_of(name))
        raise InputError(f"{path}: holds a {name} image, so its name was expected to end in {expected}; rename it")


def check_pixels(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuses a header that promises more than `max_pixels`, before memory for them is asked for."""
    if width * height > max_pixels:
        raise InputError(
            f"{path}: {width} x {height} = {width * height:,} pixels, expected at most {max_pixels:,}; "
            f"to read it all the same, raise max_pixels to {width * height} (--max_pixels {width * height})"
        )


class _PillowLimit:
    """Pillow's own limit, one for the whole process: lifted while someone reads more than it allows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._limit: int | None = None

    @contextmanager
    def raised_to(self, max_pixels: int) -> Iterator[None]:
        with self._lock:
            limit = self._limit if self._readers else Image.MAX_IMAGE_PIXELS
            lifts = limit is not None and max_pixels > limit
            if lifts:
                self._limit, Image.MAX_IMAGE_PIXELS = limit, None
                self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= lifts
                if lifts and not self._readers:
                    Image.MAX_IMAGE_PIXELS = self._limit


pillow_limit = _PillowLimit()
