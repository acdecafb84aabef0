"""Rows on disk: one line of JSON per measured image, so that a killed evaluation goes on where it was.

A row is kept under a key of everything that decides it: the method, the protocol, the settings and the images' bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from aio.evaluation.items import Item

_PATTERN = "measured*.jsonl"


@dataclass(frozen=True)
class Measured:
    """One image, measured: what it scored before and after, by measure, and what that cost.

    Attributes:
        seconds: of the restoration alone.
        memory: bytes at most in use, see `peak_memory`.
        macs_per_pixel: multiply-accumulates, where they differ from image to image.
    """

    key: str
    column: str
    name: str
    before: dict[str, float]
    after: dict[str, float]
    seconds: float
    memory: int
    macs_per_pixel: float | None = None


def key_of(item: Item, *settings: str) -> str:
    """Of an image and of what is done with it."""
    digest = hashlib.sha256(json.dumps([item.column, item.name, item.protocol, item.source.task, *settings]).encode())
    for path in item.files:
        known = path.stat()
        digest.update(_content(path, known.st_size, known.st_mtime_ns))
    return digest.hexdigest()


@cache
def _content(path: Path, size: int, modified: int) -> bytes:
    """Read once, though many images may come from one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def read_rows(folder: Path) -> dict[str, Measured]:
    """All whole rows that any process left in `folder`, by key."""
    rows = {}
    for path in sorted(folder.glob(_PATTERN)):
        for line in _whole_lines(path):
            rows[line["key"]] = Measured(**line)
    return rows


def count_rows(folder: Path) -> int:
    """How many rows are in `folder`, for a progress bar."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(_PATTERN))


def append_row(folder: Path, row: Measured, rank: int) -> None:
    """Adds `row` to what process `rank` measured."""
    path = folder / f"measured-{rank}.jsonl"
    line = json.dumps(asdict(row)).encode() + b"\n"
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("ab") as file:
        file.write((b"\n" if torn else b"") + line)
        file.flush()
        os.fsync(file.fileno())


def _whole_lines(path: Path) -> Iterator[dict]:
    """A kill may leave half a line: it counts as not measured."""
    for line in path.read_bytes().split(b"\n"):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and "key" in content:
            yield content
