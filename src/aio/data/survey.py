"""One look at each image file: whether it decodes, its size, what is odd about it, and what tells it apart."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageFile

from aio.data.duplicates import fingerprint
from aio.data.parallel import progress_bar
from aio.errors import InputError
from aio.images import image_size, png, read_samples
from aio.images.opening import identify, open_file

_EVERY = 8  # pixels between those that are asked for colour


class Look(NamedTuple):
    """What one file is.

    Attributes:
        fault: why it cannot be read; the rest is then empty.
        size: (height, width).
        oddities: of `gray`, `palette`, `alpha`, `16 bits`, `CMYK`, and more that are neither 8-bit gray nor RGB.
        digest: of the pixels; empty where only the header was read.
        fingerprint: see `aio.data.duplicates`; None where none was asked for.
    """

    fault: str = ""
    size: tuple[int, int] = (0, 0)
    oddities: tuple[str, ...] = ()
    digest: bytes = b""
    fingerprint: np.ndarray | None = None


def look_at_all(paths: Sequence[Path], *, quick: bool, fingerprinted: Collection[Path]) -> dict[Path, Look]:
    """Decodes every file once, in parallel and with a progress bar; reads headers alone where it is to be `quick`."""
    with ThreadPoolExecutor() as pool, progress_bar() as bar:
        looks = pool.map(lambda path: look(path, quick=quick, with_fingerprint=path in fingerprinted), paths)
        description = "reading headers" if quick else "decoding images"
        return dict(zip(paths, bar.track(looks, total=len(paths), description=description), strict=True))


def look(path: Path, *, quick: bool = False, with_fingerprint: bool = False) -> Look:
    """What the file is; a fault is an answer, no exception."""
    try:
        with open_file(path) as file:
            oddities = _oddities(identify(file))
        if quick:
            return Look(size=image_size(path), oddities=oddities)
        pixels = np.ascontiguousarray(read_samples(path))
    except InputError as error:
        return Look(fault=str(error))
    height, width = pixels.shape[:2]
    sample = pixels[::_EVERY, ::_EVERY]
    if "gray" not in oddities and not np.ptp(sample, axis=-1).any():
        oddities = (*oddities, "gray")
    if pixels.dtype == np.uint16 and "16 bits" not in oddities:
        oddities = (*oddities, "16 bits")
    digest = hashlib.blake2b(pixels.data, digest_size=16, salt=f"{height}x{width}".encode()[:16]).digest()
    return Look("", (height, width), oddities, digest, fingerprint(pixels) if with_fingerprint else None)


def _oddities(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """What the header says of an image, whose pixels are not loaded yet."""
    mode = image.mode
    found = {
        "gray": mode in ("L", "LA", "1") or mode.startswith(("I", "F")),
        "palette": mode.startswith("P"),
        "alpha": mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
        "16 bits": mode.startswith("I") or png.is_deep(image),
        "1 bit": mode == "1",
        "floats": mode == "F",
        mode: mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "F") and not mode.startswith("I"),
    }
    return tuple(name for name, holds in found.items() if holds)
