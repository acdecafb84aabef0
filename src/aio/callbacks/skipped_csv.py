"""`skipped.csv` in the run's folder: the files of every step that was skipped, replaced by whole files alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final, Literal, NamedTuple

from aio.files import write_text

SKIPPED: Final = "skipped.csv"


class Row(NamedTuple):
    """One sample of a skipped step; `reason` is what was not finite."""

    step: int
    epoch: int
    rank: int
    reason: Literal["loss", "gradient"]
    loss: float
    task: str
    name: str


def append_rows(file: Path, rows: list[Row]) -> None:
    """Adds `rows` to `file`, which need not be there yet."""
    _write(file, [*_read(file), *([str(value) for value in row] for row in rows)])


def forget_rows(file: Path, *, since: int) -> None:
    """Takes out the rows of step `since` and later ones, which a resumed training does again."""
    rows = _read(file)
    kept = [row for row in rows if int(row[0]) < since]
    if len(kept) < len(rows):
        _write(file, kept)


def _read(file: Path) -> list[list[str]]:
    if not file.is_file():
        return []
    with file.open(newline="") as opened:
        return list(csv.reader(opened))[1:]


def _write(file: Path, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([Row._fields, *rows])
    write_text(file, text.getvalue())
