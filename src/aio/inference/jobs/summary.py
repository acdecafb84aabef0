"""What became of a job: a count by status and the reasons of what was not restored, on paper and on the terminal."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aio.files import atomic_write
from aio.inference.jobs.job import Outcome, printable
from aio.inference.jobs.sources import Skipped

_SHOWN: Final = 20
_COLUMNS: Final = ("photograph", "restoration", "status", "reason", "seconds")


def write_summary(path: Path, outcomes: Sequence[Outcome], skipped: Sequence[Skipped]) -> None:
    """A row for every photograph and every file that is none, those that need a look first."""
    rows = [[str(each.path), "", "skipped", each.reason, ""] for each in skipped]
    rows += [
        [str(each.job.source), str(each.job.target), each.status, each.reason, f"{each.seconds:.3f}"]
        for each in sorted(outcomes, key=lambda each: each.status != "failed")
    ]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_COLUMNS, *rows])
    with atomic_write(path) as file:
        file.write(os.fsencode(text.getvalue()))


def faults(outcomes: Sequence[Outcome], skipped: Sequence[Skipped]) -> str:
    """A line for each photograph that was not restored and each file that is none; of very many the first."""
    lines = [f"not restored: {each.job.source}: {each.reason}" for each in outcomes if each.status == "failed"]
    lines += [f"skipped: {each.path}: {each.reason}" for each in skipped]
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "".join(f"{printable(line)}\n" for line in [*lines[:_SHOWN], *more])


def total(outcomes: Sequence[Outcome], skipped: Sequence[Skipped], jobs: int, output: Path) -> str:
    """One line for all."""
    counts = Counter(each.status for each in outcomes)
    done = counts["restored"] + counts["kept"]
    about = [f"{counts['kept']} of them before"] if counts["kept"] else []
    about += [f"{counts['failed']} failed"] if counts["failed"] else []
    about += [f"{len(skipped)} other files skipped"] if skipped else []
    return printable(f"{done} of {jobs} photographs restored into {output}") + (
        f" ({', '.join(about)})" if about else ""
    )
