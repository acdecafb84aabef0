"""What `discover` found as numbers of files and back, so that it can be written down."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aio.data.discovery import Found
from aio.data.sources import Split


def as_rows(found: Mapping[Split, Found], row: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """`found` with the `row` of each path in its place, in dicts and lists.

    Raises:
        KeyError: a path has no row.
    """

    def rows(value: Any) -> Any:
        if isinstance(value, Path):
            return row[os.fspath(value)]
        return {key: rows(part) for key, part in value.items()} if isinstance(value, dict) else list(map(rows, value))

    return {split: rows(vars(content)) for split, content in found.items()}


def from_rows(answer: Mapping[str, Mapping[str, Any]], paths: Sequence[Path]) -> dict[Any, Found]:
    """What `as_rows` was given; `paths` are by row."""

    def sample(rows: Any) -> Any:
        return paths[rows] if isinstance(rows, int) else tuple([paths[row] for row in rows])

    def samples(value: Any) -> Any:
        return (
            {key: samples(part) for key, part in value.items()} if isinstance(value, dict) else list(map(sample, value))
        )

    return {split: Found(**{name: samples(value) for name, value in held.items()}) for split, held in answer.items()}
