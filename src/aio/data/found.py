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

    Samples of several files become a list of the first files, one of the second, and so on.

    Raises:
        KeyError: a path has no row.
    """

    def rows(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rows(part) for key, part in value.items()}
        if value and isinstance(value[0], tuple):
            return [rows(column) for column in zip(*value, strict=True)]
        return [row[os.fspath(path)] for path in value]

    return {split: rows(vars(content)) for split, content in found.items()}


def from_rows(answer: Mapping[str, Mapping[str, Any]], paths: Sequence[Path]) -> dict[Any, Found]:
    """What `as_rows` was given; `paths` are by row."""

    def files(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: files(part) for key, part in value.items()}
        if value and isinstance(value[0], list):
            return list(zip(*map(files, value), strict=True))
        return [paths[row] for row in value]

    return {split: Found(**{name: files(value) for name, value in held.items()}) for split, held in answer.items()}
