"""Lists of photographs in a file: a path a line (.txt), or rows with `path` and perhaps `output` (.csv, .jsonl)."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from aio.errors import InputError

SUFFIXES: Final = frozenset({".txt", ".csv", ".jsonl"})


class Entry(NamedTuple):
    """A photograph, and the name below the folder of results that the manifest gives it, if it does."""

    source: Path
    output: PurePosixPath | None


def read_manifest(path: Path) -> list[Entry]:
    """The entries of the manifest; paths are relative to its folder.

    Raises:
        InputError: it cannot be read, has no column `path`, or an `output` leads out of the folder of results.
    """
    try:
        text = os.fsdecode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    rows = {".txt": _lines, ".csv": _table, ".jsonl": _objects}[path.suffix.lower()](text, path)
    return [_entry(row, path, number) for number, row in rows]


def _lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, {"path": line.removesuffix("\r")}


def _table(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if "path" not in (table.fieldnames or ()):
            raise InputError(f"{path}: expected a column named path, got {', '.join(table.fieldnames or ['nothing'])}")
        for row in table:
            yield table.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {table.line_num}: expected comma-separated values ({error})") from error


def _objects(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: expected an object of JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected an object of JSON, got {line.strip()[:40]}")
        yield number, row


def _entry(row: dict[str, Any], path: Path, number: int) -> Entry:
    where = f"{path}, line {number}"
    source, output = row.get("path"), row.get("output")
    if not isinstance(source, str) or not source:
        raise InputError(f"{where}: expected a path, got {source!r}")
    if output is not None and not isinstance(output, str):
        raise InputError(f"{where}: output: expected a name, got {output!r}")
    for word in filter(None, (source, output)):
        _check_encodable(word, where)
    return Entry(path.parent / source, _checked_output(output, where) if output else None)


def _check_encodable(word: str, where: str) -> None:
    try:
        fits = b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise InputError(f"{where}: {word!a} can be no file's name")


def _checked_output(output: str, where: str) -> PurePosixPath:
    name = PurePosixPath(output)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise InputError(f"{where}: output {output!r}: expected a name that stays below the folder of results (-o)")
    return name
