"""The lists of files that come with PromptIR, AirNet, AdaIR's followers and RealBlur, which say what trains.

A line is a path below the folder of its task (`rainy/rain-100.png`) or a bare name; RealBlur writes the clean file
first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aio.data.sources import DATA_SETS, DataSet
from aio.data.tree import Folder
from aio.errors import InputError
from aio.vocabulary import Degradation

Files = TypeVar("Files", bound=tuple[Path, ...])

_SHOWN = 10


@dataclass(frozen=True)
class FileList:
    """A list file, the part of a data set that it belongs to, and the degraded files that it names."""

    path: Path
    of: DataSet
    entries: tuple[str, ...]


def read_lists(root: Folder, tasks: Collection[Degradation]) -> list[FileList]:
    """All official lists below `root` for `tasks`."""
    wanted = {end: row for row in DATA_SETS if {*row.tasks}.intersection(tasks) for end in row.lists}
    found = []
    for folder in root.below():
        above = folder.words[-1] if folder.words else root.path.resolve().name.lower()
        for name in folder.files:
            row = wanted.get(f"{above}/{name.lower()}") or wanted.get(name.lower())
            if row is not None:
                found.append(FileList(folder.path / name, row, _entries(folder.path / name)))
    return found


def listed(samples: Sequence[Files], lists: Sequence[FileList]) -> list[Files]:
    """The samples whose first file one of `lists` names, in the order of `samples`.

    Raises:
        InputError: a list names files that no sample has (the first ten are shown).
    """
    entries = {entry for file_list in lists for entry in file_list.entries}
    depths = {entry.count("/") + 1 for entry in entries}
    by_end: dict[str, list[Files]] = defaultdict(list)
    for sample in samples:
        for depth in depths:
            by_end["/".join(sample[0].parts[-depth:])].append(sample)
    for file_list in lists:
        if absent := [entry for entry in file_list.entries if entry not in by_end]:
            shown = "\n  ".join(absent[:_SHOWN])
            raise InputError(
                f"{file_list.path} lists {len(file_list.entries)} files of {file_list.of.name}, "
                f"of which {len(absent)} are absent, the first:\n  {shown}"
            )
    chosen = {id(sample) for entry in entries for sample in by_end[entry]}
    return [sample for sample in samples if id(sample) in chosen]


def _entries(path: Path) -> tuple[str, ...]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line.split()[-1].removeprefix("./") for line in lines if line.strip())
