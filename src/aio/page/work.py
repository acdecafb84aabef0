"""What the page does with a photograph: looks at it, restores it into a file, makes pictures for the screen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from aio.adapters import AdaptedNet
from aio.errors import InputError
from aio.files import atomic_write
from aio.images import open_strips, output_format, read_photo, write_photo
from aio.inference.jobs.one import count_pixels
from aio.inference.photos import STREAMED_FROM, restore_large, restore_photo
from aio.inference.reduced import ANY_SIZE, reduce_photo
from aio.inference.settings import Settings
from aio.nets.base import RestorationNet
from aio.nets.dfrg import DFRG
from aio.vocabulary import DEGRADATIONS, SCALES, Degradation

Progress = Callable[[int, int], None]
_SCREEN: Final = 1600  # pixels on the longer side, at most


class Look(NamedTuple):
    """What the header of an upload says, and a picture of it for the screen."""

    height: int
    width: int
    format: str
    bits: int
    picture: Path


class Restored(NamedTuple):
    """The file to download, pictures of before and after of one size, and the seconds it took."""

    file: Path
    before: Path
    after: Path
    seconds: float


def look_at(photo: Path, folder: Path, max_pixels: int) -> Look:
    """Reads the photograph, and draws it into `folder`.

    Raises:
        InputError: it is no image, or has more than `max_pixels`.
    """
    pixels = count_pixels(photo, ANY_SIZE)
    if pixels > max_pixels:
        raise InputError(
            f"{photo}: {pixels / 1e6:,.1f} megapixels, but this page takes at most {max_pixels / 1e6:,.1f}; "
            "start it with a larger --max_megapixels"
        )
    with open_strips(photo, max_pixels=max_pixels) as strips:
        height, width, head = strips.height, strips.width, strips.head
    picture = folder / "before.png"
    _draw(photo, picture, _step(height, width), head.icc_profile)
    return Look(height, width, head.format, head.bits, picture)


def restore_upload(
    net: RestorationNet,
    photo: Path,
    folder: Path,
    settings: Settings,
    *,
    max_pixels: int,
    progress: Progress | None = None,
) -> Restored:
    """Restores the photograph into `folder`, in its own format and with its metadata.

    Raises:
        InputError: it cannot be read, or its format cannot hold the result.
        torch.OutOfMemoryError: not even the smallest tile fits.
    """
    begun = time.perf_counter()
    look = look_at(photo, folder, max_pixels)
    target = folder / f"{photo.stem}_restored{photo.suffix}"
    if look.height * look.width >= STREAMED_FROM:
        restore_large(net, photo, target, settings, max_pixels=max_pixels, progress=progress)
    else:
        before = read_photo(photo, max_pixels=max_pixels)
        output_format(before, target, scale=net.scale)
        write_photo(restore_photo(net, before, settings, progress=progress), target)
    with open_strips(target, max_pixels=ANY_SIZE) as strips:
        profile = strips.head.icc_profile
    after = folder / "after.png"
    _draw(target, after, _step(look.height, look.width) * net.scale, profile)
    return Restored(target, look.picture, after, time.perf_counter() - begun)


def told_degradations(net: RestorationNet) -> list[Degradation]:
    """The degradations between which `net` tells by their name; none for a net that goes by the image alone."""
    if isinstance(net, AdaptedNet):
        return list(net.plan)
    if net.scale == 1 and any(isinstance(part, DFRG) and part.use_experts for part in net.modules()):
        return [name for name in DEGRADATIONS if name not in SCALES]
    return []


def _step(height: int, width: int) -> int:
    return math.ceil(max(height, width) / _SCREEN)


def _draw(photo: Path, picture: Path, step: int, icc_profile: bytes | None) -> None:
    pixels = np.rint(reduce_photo(photo, step) * 255).astype(np.uint8)
    colours = {"icc_profile": icc_profile} if icc_profile and icc_profile[16:20] == b"RGB " else {}
    with atomic_write(picture) as file:
        Image.fromarray(pixels).save(file, format="PNG", compress_level=1, **colours)
