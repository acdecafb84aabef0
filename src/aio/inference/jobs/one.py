"""One photograph from file to file: opened, restored, written; the three steps that a pipeline overlaps."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from aio.errors import InputError
from aio.images import Photo, output_format, read_photo, tiff, write_photo
from aio.images.opening import LARGEST, check_pixels, identify, open_file
from aio.inference.compare import write_comparison
from aio.inference.jobs.job import Job, Outcome
from aio.inference.jobs.journal import file_digest
from aio.inference.photos import STREAMED_FROM, restore_large, restore_photo
from aio.inference.settings import Settings
from aio.nets.base import RestorationNet

# What is wrong with one photograph; any other OSError from writing means that no photograph can be written.
FAULTS: Final = (InputError, torch.OutOfMemoryError, MemoryError)
_OF_ONE_NAME: Final = frozenset(
    {errno.ENAMETOOLONG, errno.EFBIG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ}
)
_IN_MEMORY: Final = 2**26  # bytes of a file; a longer one is read twice, for its digest and for its pixels
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Opened:
    """A photograph ready for the net, or restored and ready to be written.

    Attributes:
        photo: None where it goes from file to file, strip by strip.
        digest: SHA-256 of the bytes that were read.
    """

    job: Job
    digest: str
    photo: Photo | None


def restore_one(net: RestorationNet, job: Job, settings: Settings, *, max_pixels: int = LARGEST) -> Outcome:
    """Reads, restores and writes one photograph, whole or not at all; what is wrong with it is told in the outcome.

    Raises:
        OSError: the target cannot be written: the disk is full, read-only or closed to this user.
    """
    begun = time.perf_counter()
    try:
        pixels = count_pixels(job.source, max_pixels)
        digest, data = read_source(job.source)
        opened = open_one(job, digest, data, pixels=pixels, scale=net.scale, max_pixels=max_pixels)
        write_one(compute_one(net, opened, settings, max_pixels=max_pixels))
    except FAULTS as error:
        return Outcome(job, "failed", reason_of(error, job), time.perf_counter() - begun)
    return Outcome(job, "restored", "", time.perf_counter() - begun, digest)


def count_pixels(path: Path, max_pixels: int) -> int:
    """By the header alone.

    Raises:
        InputError: the file is no image, or of more than `max_pixels`.
    """
    with open_file(path) as file:
        start = file.read(4)
        found = tiff.Tiff(file) if start in _TIFF_STARTS else identify(file)
        check_pixels(path, found.width, found.height, max_pixels)
        return found.width * found.height


def read_source(path: Path) -> tuple[str, bytes | None]:
    """SHA-256 of the file, and its bytes where memory holds them lightly.

    Raises:
        InputError: it cannot be read.
    """
    with open_file(path) as file:
        if path.stat().st_size > _IN_MEMORY:
            return file_digest(path), None
        data = file.read()
    return hashlib.sha256(data).hexdigest(), data


def open_one(
    job: Job, digest: str, data: bytes | None, *, pixels: int, scale: int, max_pixels: int = LARGEST
) -> Opened:
    """The photograph with its pixels, unless it has so many that it is restored strip by strip.

    Raises:
        InputError: it cannot be read, or `scale` times its size cannot be written as the target's name says.
    """
    if pixels >= STREAMED_FROM:
        return Opened(job, digest, None)
    photo = read_photo(job.source, max_pixels=max_pixels, data=data)
    output_format(photo, job.target, scale=scale)
    return Opened(job, digest, photo)


def compute_one(net: RestorationNet, opened: Opened, settings: Settings, *, max_pixels: int = LARGEST) -> Opened:
    """The photograph restored: in memory, or, strip by strip, in its target already.

    Raises:
        InputError, torch.OutOfMemoryError, MemoryError: this photograph cannot be restored.
        OSError: the target cannot be written.
    """
    if opened.photo is not None:
        return replace(opened, photo=restore_photo(net, opened.photo, settings))
    with _writing(opened.job):
        restore_large(net, opened.job.source, opened.job.target, settings, max_pixels=max_pixels)
    if read_source(opened.job.source)[0] != opened.digest:
        opened.job.target.unlink()
        raise InputError(f"{opened.job.source}: was changed while it was being restored")
    return opened


def write_one(restored: Opened) -> None:
    """Writes what is not written yet, and the comparison if one is wanted.

    Raises:
        InputError: the pixels are no numbers, or the format cannot hold them.
        OSError: the target cannot be written.
    """
    job = restored.job
    with _writing(job):
        if restored.photo is not None:
            write_photo(restored.photo, job.target)
        if job.comparison is not None:
            write_comparison(job.source, job.target, job.comparison)


@contextmanager
def _writing(job: Job) -> Iterator[None]:
    """A name or a size that the file system does not take is the fault of this photograph alone."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_ONE_NAME:
            raise InputError(f"{job.target}: cannot be written ({error.strerror})") from error
        raise


def reason_of(error: Exception, job: Job) -> str:
    """What went wrong, in one line without the name of the photograph before it."""
    if isinstance(error, InputError):
        return str(error).removeprefix(f"{job.source}: ")
    return f"does not fit into memory ({str(error).partition(chr(10))[0] or type(error).__name__})"
