"""From words to jobs: each photograph with its place below the folder of results, checked first."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from aio.errors import InputError
from aio.images import Photo, output_format
from aio.inference.jobs.job import Job
from aio.inference.jobs.journal import Journal
from aio.inference.jobs.names import COMPARISONS, choose_names, comparison_of, key_of
from aio.inference.jobs.sources import Skipped, find

JOURNALS: Final = ".aio"


class Plan(NamedTuple):
    """All that is to be restored, and what was met and is no photograph."""

    jobs: list[Job]
    skipped: list[Skipped]


def make_plan(
    words: Sequence[str],
    output: Path,
    *,
    suffix: str = "",
    format: str | None = None,
    compare: bool = False,
    ours: Collection[str] = (),
    seen: Callable[[], None] = lambda: None,
) -> Plan:
    """What `words` (see `find`) mean, with a place below `output` for each (see `choose_names`).

    Args:
        ours: names below `output` of earlier restorations.

    Raises:
        InputError: nothing is there, a name or format cannot be used, or a place lies outside `output`.
    """
    _check_names(suffix, format)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: expected a folder for the results, but this is a file")
    wishes, skipped = find(words, output, ours=(output / name for name in ours), seen=seen)
    names = choose_names(wishes, suffix=suffix, format=format)
    reserved = {key_of(JOURNALS): "the journal", **({COMPARISONS: "the comparisons"} if compare else {})}
    jobs = []
    for wish, name in zip(wishes, names, strict=True):
        if what := reserved.get(key_of(name.parts[0])):
            raise InputError(f"{wish.source}: would be written to {name}, where {what} are kept; rename it")
        comparison = output / comparison_of(name) if compare else None
        jobs.append(Job(wish.source, output / name, comparison))
    _check_places(jobs, output)
    return Plan(jobs, skipped)


def check_targets(jobs: Sequence[Job], output: Path) -> None:
    """Refuses to replace a photograph: one of `jobs`, or any file that no journal knows as a restoration.

    Raises:
        InputError: a file is in the way.
    """
    sources = {place: job.source for job in jobs if (place := _identity(job.source))}
    there: dict[str, Path] = {}
    for path in (path for job in jobs for path in (job.target, job.comparison) if path and os.path.lexists(path)):
        if (place := _identity(path)) in sources:
            raise InputError(f"{sources[place]}: would be replaced by its restoration; choose another folder with -o")
        there[str(path.relative_to(output))] = path
    ours = Journal(output / JOURNALS, output, work="", names=there).planned  # read now, as others may be writing
    foreign = [path for name, path in there.items() if name not in ours]
    if foreign:
        others = f" (nor are {len(foreign) - 1} others)" if len(foreign) > 1 else ""
        raise InputError(
            f"{foreign[0]}: is there, and is no restoration by this command{others}; move it, or choose another -o"
        )


def _check_names(suffix: str, format: str | None) -> None:
    if "/" in suffix or "\0" in suffix or len(os.fsencode(suffix)) > 100:
        raise InputError(f"--suffix {suffix!a}: expected a short part of a name, as _restored")
    if format is not None:
        try:
            output_format(Photo(np.zeros((1, 1, 3), np.float32)), Path(f"photo.{format}"))
        except InputError as error:
            raise InputError(f"--format {format}: {str(error).removeprefix(f'photo.{format}: ')}") from error


def _check_places(jobs: Sequence[Job], output: Path) -> None:
    """No link inside `output` leads out of it."""
    folders = {path.parent for job in jobs for path in (job.target, job.comparison) if path} | {output / JOURNALS}
    top = os.path.realpath(output)
    for folder in sorted(folders):
        place = os.path.realpath(folder)
        if os.path.commonpath((top, place)) != top:
            raise InputError(f"{folder}: leads to {place}, out of {output}; expected folders within it")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
