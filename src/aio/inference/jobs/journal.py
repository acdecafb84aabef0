"""What was restored into a folder, a line of JSON each, so that a killed job goes on where it was.

A restoration is known by the content of its photograph, by what was done with it (model and settings) and by the bytes
that were written: it counts only while all three are the same. Sizes and times save reading what has not changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self

from aio.inference.jobs.job import Job

_PATTERN: Final = "journal*.jsonl"
_SETTLED: Final = 2_000_000_000  # nanoseconds: a file changed within two ticks of a coarse clock may change unseen


class Stamp(NamedTuple):
    """Size, time of change and number of a file: while they stay its content does."""

    size: int
    mtime: int
    inode: int


class _Written(NamedTuple):
    stamp: Stamp
    digest: str


@dataclass
class _Memory:
    """The lines of all journals, as far as they were read."""

    planned: set[str]
    written: dict[tuple[str, str, str], _Written]  # by name, digest of the source, and work
    sources: dict[str, tuple[Stamp, int, str]]  # by path: as it was, when that was seen, and its digest
    read: dict[Path, int]


class Journal:
    """The journals in `folder`, of which this process appends to one.

    Args:
        output: the folder of results, which names are below.
        work: digest of the model and the settings.
        names: those that are asked for; None keeps all in memory.
    """

    def __init__(self, folder: Path, output: Path, *, work: str, names: Collection[str] | None = None) -> None:
        self._folder, self._output, self._work, self._names = folder, output, work, names
        self._memory = _Memory(set(), {}, {}, {})
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Reads what other processes have added."""
        with self._lock:
            for path in sorted(self._folder.glob(_PATTERN)):
                for line in self._new_lines(path):
                    self._remember(line)

    @property
    def planned(self) -> Collection[str]:
        """Names that some process set out to write, or wrote."""
        return self._memory.planned

    def open(self, name: str) -> Self:
        """Appends to the journal `name` from now on; no other process may."""
        self._file = (self._folder / f"journal{name}.jsonl").open("ab+")
        if self._file.tell():
            self._file.seek(-1, os.SEEK_END)
            self._file.write(b"" if self._file.read(1) == b"\n" else b"\n")
        return self

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def plan(self, names: Collection[str]) -> None:
        """Notes what is going to be written, so that it is known as ours whenever this process is killed."""
        self._append([{"name": name} for name in names if name not in self._memory.planned])

    def name_of(self, job: Job) -> str:
        """Of its target, below the folder of results."""
        return str(job.target.relative_to(self._output))

    def digest_of(self, source: Path) -> str | None:
        """The digest of the source's content, if it was read before and has not changed since."""
        known = self._memory.sources.get(str(source.absolute()))
        if known is None:
            return None
        stamp, seen, digest = known
        return digest if stamp == stamp_of(source) and stamp.mtime + _SETTLED < seen else None

    def has(self, job: Job, digest: str) -> bool:
        """Whether the target holds what this work makes of a source of that digest."""
        written = self._memory.written.get((self.name_of(job), digest, self._work))
        now = stamp_of(job.target)
        if written is None or now is None or now.size != written.stamp.size:
            return False
        return now == written.stamp or file_digest(job.target) == written.digest

    def add(self, job: Job, digest: str, seen: Stamp | None) -> None:
        """Notes that the target now holds the restoration of a source of that digest.

        Args:
            seen: the source's, from before it was read.
        """
        line = {
            "name": self.name_of(job),
            "source": str(job.source.absolute()),
            "seen": seen,
            "digest": digest,
            "work": self._work,
            "written": stamp_of(job.target),
            "written_digest": file_digest(job.target),
            "at": time.time_ns(),
        }
        self._append([line])

    def _append(self, lines: list[dict[str, Any]]) -> None:
        if self._file is None or not lines:
            return
        with self._lock:
            self._file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            self._file.flush()
            os.fsync(self._file.fileno())
            for line in lines:
                self._remember(json.loads(json.dumps(line)))

    def _new_lines(self, path: Path) -> Iterator[dict[str, Any]]:
        """Whole lines behind those that were read; a kill may have left half a one."""
        start = self._memory.read.get(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                start += len(raw)
                line = _parsed(raw)
                if line is not None:
                    yield line
        self._memory.read[path] = start

    def _remember(self, line: dict[str, Any]) -> None:
        if self._names is not None and line["name"] not in self._names:
            return
        self._memory.planned.add(line["name"])
        if "written" not in line or line["written"] is None:
            return
        written = _Written(Stamp(*line["written"]), line["written_digest"])
        self._memory.written[line["name"], line["digest"], line["work"]] = written
        if line["seen"] is not None:
            self._memory.sources[line["source"]] = (Stamp(*line["seen"]), line["at"], line["digest"])


def stamp_of(path: Path) -> Stamp | None:
    """Of the file at `path` now; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return Stamp(about.st_size, about.st_mtime_ns, about.st_ino)


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("name"), str) else None
