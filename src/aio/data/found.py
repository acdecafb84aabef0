"""What `discover` found as arrays of file numbers and back, so that it can be written down."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aio.data.discovery import Found
from aio.data.sources import Split


def as_arrays(found: Mapping[Split, Found], row: Mapping[str, int]) -> dict[str, np.ndarray]:
    """`found` with the `row` of each path in its place, `(samples, files)`, by `split/what/task`.

    Raises:
        KeyError: a path has no row.
    """

    def rows(value: Any) -> Any:
        return row[os.fspath(value)] if isinstance(value, Path) else [rows(part) for part in value]

    arrays = {}
    for split, content in found.items():
        for what, value in vars(content).items():
            by_task = value if isinstance(value, dict) else {"": value}
            arrays |= {f"{split}/{what}/{task}": np.array(rows(v), np.int32) for task, v in by_task.items()}
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray], paths: Sequence[Path]) -> dict[Any, Found]:
    """What `as_arrays` was given; `paths` are by row."""
    held: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, rows in arrays.items():
        split, what, task = name.split("/")
        if task:
            held[split].setdefault(what, {})[task] = _samples(rows, paths)
        else:
            held[split][what] = _samples(rows, paths)
    return {split: Found(**content) for split, content in held.items()}


def _samples(rows: np.ndarray, paths: Sequence[Path]) -> list[Any]:
    columns = [[paths[row] for row in column] for column in np.atleast_2d(rows.T).tolist()]
    return columns[0] if rows.ndim == 1 else list(zip(*columns, strict=True))
