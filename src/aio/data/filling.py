"""Fills the store with every image below a folder, or cuts them into the field's crops, in several processes.

Killed at any moment and started again, both go on where they were; a second run on the same folder waits for the first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from aio.data.crops import Grid, claim, pixels_of, plan, write
from aio.data.imagefiles import ImageFile, image_files, image_sizes, need_room, own_folder
from aio.data.index import FileIndex
from aio.data.parallel import in_processes
from aio.data.store import FOLDER, key_of
from aio.data.storing import Part, seal, sound_rows, written_rows
from aio.errors import InputError
from aio.images import image_size, read_samples, sample_bytes

Job = TypeVar("Job")
_parts: list[Part] = []  # of a process: the one that it writes to


class Prepared(NamedTuple):
    """What a run did.

    Attributes:
        done: images that it decoded or cut.
        images: of the folder.
        faults: a line for each that cannot be read.
    """

    done: int
    images: int
    faults: list[str]


def fill_store(root: Path, *, out: Path | None = None, processes: int | None = None, verify: bool = False) -> Prepared:
    """Decodes what the store of `root` does not hold yet, and remembers the headers of all images.

    Args:
        root: every image file below it is meant, save in hidden folders.
        out: where the store lies; `ROOT/.aio` by default.
        processes: as many as there are cores by default.
        verify: reads all that is stored, too, and decodes anew what is not what was written.

    Raises:
        InputError: there is no such folder, no image, no place to write to, or too little of it.
    """
    folder = out or root / FOLDER
    files = image_files(root)
    with own_folder(folder):
        kept = sound_rows(folder, files, verify=verify)
        seal(folder, kept)  # from here on readers find nothing that turned out unsound
        before = written_rows(folder)
        index = FileIndex(root, folder)
        sizes, faults = image_sizes(files, index.image_size)
        index.save()
        held = set(kept[["key", "check"]].tolist())
        jobs = [file for file in sizes if key_of(file.name) not in held]
        need_room(folder, sum(3 * math.prod(sizes[file]) * sample_bytes(file.path) for file in jobs))
        try:
            faults += _faults(_decode, jobs, processes, begin=_open_part, args=(folder,))
        finally:
            added = [rows[len(before.get(part, ())) :] for part, rows in written_rows(folder).items()]
            seal(folder, np.concatenate([kept, *added]))
    return Prepared(sum(map(len, added)), len(files), faults)


def cut_crops(root: Path, *, out: Path, grid: Grid, processes: int | None = None) -> Prepared:
    """Writes the crops of every image below `root` into the same folders below `out`, as PNG.

    Both images of a pair give crops of equal numbers at equal places.

    Raises:
        InputError: as `fill_store`, or two images would give crops of one name, or `out` lies within `root` or holds
            other images.
    """
    files = image_files(root)
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(f"--out {out}: lies in {root}, so that its crops would be cut again; expected another place")
    with own_folder(out):
        sizes, faults = image_sizes(files, image_size)
        cuts = [plan(file, size, grid, out) for file, size in sizes.items()]
        claim(out, grid, cuts)
        jobs = [cut for cut in cuts if not cut.is_done()]
        need_room(out, 3 * pixels_of(jobs, sizes) // 2)  # PNG makes about half of a photograph
        faults += _faults(write, jobs, processes, begin=_nothing)
    return Prepared(len(jobs), len(files), faults)


def _faults(
    work: Callable[[Job], str | None],
    jobs: Sequence[Job],
    processes: int | None,
    *,
    begin: Callable[..., None],
    args: Sequence[Path] = (),
) -> list[str]:
    if not jobs:
        return []
    processes = processes or os.cpu_count() or 1
    try:
        answers = in_processes(work, jobs, processes=processes, description="preparing", begin=begin, args=args)
        return [fault for fault in answers if fault]
    except OSError as error:
        raise InputError(f"cannot write: {error}; what is done is kept, make room and start again to go on") from error


def _nothing() -> None:
    """For processes that share nothing among their jobs."""


def _open_part(folder: Path) -> None:
    _parts.append(Part(folder))


def _decode(file: ImageFile) -> str | None:
    """Decodes one image into the part of this process; says what cannot be read."""
    try:
        pixels = read_samples(file.path)
        about = file.path.stat()
    except (InputError, FileNotFoundError) as error:
        return str(error)
    if (about.st_size, about.st_mtime_ns) != (file.size, file.mtime):
        return f"{file.path}: was changed in the meantime; start again"
    _parts[0].append(file, pixels)
    return None
