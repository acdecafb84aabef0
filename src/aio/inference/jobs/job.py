"""One photograph of a job: where it is, where its restoration goes, and what became of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["restored", "kept", "failed", "busy"]


@dataclass(frozen=True)
class Job:
    """A photograph to restore.

    Attributes:
        target: the file to write; its suffix is its format.
        comparison: where a picture of both is to go; None for none.
    """

    source: Path
    target: Path
    comparison: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        status: `kept` where an earlier run, or another process, has restored it already; `busy` while another is at it.
        reason: why it failed.
        seconds: from reading to writing.
        digest: SHA-256 of the source's bytes, as they were restored; empty where they were not read.
    """

    job: Job
    status: Status
    reason: str = ""
    seconds: float = 0.0
    digest: str = ""


def full_path(path: Path) -> str:
    """The path from the root without `..`; links stay, as the name is what a photograph is known by."""
    return os.path.normpath(path.absolute())


def printable(text: str | os.PathLike[str]) -> str:
    """`text` for a terminal or a page: what is no character there, as in names that are not UTF-8, is escaped."""
    plain = os.fspath(text)
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in plain)
