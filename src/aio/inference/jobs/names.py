"""What restorations are called: never one name for two photographs, on any file system, in whatever order they come.

A restoration keeps the name and folder of its photograph; `--suffix` is added to it, `--format` changes its ending.
Names that are equal when letters' cases and Unicode forms do not count go to the photograph that has the name already,
if there is one alone; the others get `~` and eight digits of the SHA-256 of their own path, which no other photograph
changes. A name of more than 255 bytes is cut and gets them too.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from aio.errors import InputError
from aio.images.opening import format_of_suffix
from aio.inference.jobs.job import full_path

_LONGEST: Final = 255  # bytes of a name on Linux, macOS and Windows
COMPARISONS: Final = "compare"
_COMPARISON: Final = ".jpg"
_CHANGED, _OWN, _FIXED = range(3)  # rights to a name, the strongest last


class Wish(NamedTuple):
    """A photograph and the name it would have below the folder of results.

    Attributes:
        fixed: a manifest says so; nothing is added to it.
    """

    source: Path
    name: PurePosixPath
    fixed: bool = False


class _Name(NamedTuple):
    source: Path
    name: PurePosixPath
    right: int


def choose_names(wishes: Sequence[Wish], *, suffix: str = "", format: str | None = None) -> list[PurePosixPath]:
    """The names of the restorations, below the folder of results.

    Raises:
        InputError: a manifest gives one name to two photographs.
    """
    names = [_wanted(wish, suffix, format) for wish in wishes]
    folders = {key_of(folder) for each in names for folder in each.name.parents}
    taken = Counter((key_of(each.name), each.right) for each in names)
    chosen = [_settled(each, taken, folders) for each in names]
    _require_distinct(wishes, chosen)
    return chosen


def comparison_of(name: PurePosixPath) -> PurePosixPath:
    """Where the comparison of the restoration `name` goes, below the folder of results."""
    plain = name.name + _COMPARISON
    if len(os.fsencode(plain)) > _LONGEST:
        plain = _cut(name.name, f"~{_digits(str(name))}{_COMPARISON}")
    return PurePosixPath(COMPARISONS, name.parent, plain)


def key_of(name: PurePosixPath | str) -> str:
    """Equal for names that some file system takes for one."""
    folded = unicodedata.normalize("NFC", str(name)).casefold()
    return unicodedata.normalize("NFC", folded)


def _wanted(wish: Wish, suffix: str, format: str | None) -> _Name:
    if wish.fixed:
        return _Name(wish.source, wish.name, _FIXED)
    stem, ending = _split(wish.name.name)
    kept = format is None or format_of_suffix(ending) == format_of_suffix(f".{format}")
    ending = ending if kept else f".{format}"
    plain = stem + suffix + ending
    if len(os.fsencode(plain)) > _LONGEST:
        plain = _cut(stem, f"~{_digits(full_path(wish.source))}{suffix}{ending}")
    return _Name(wish.source, wish.name.with_name(plain), _OWN if kept else _CHANGED)


def _settled(each: _Name, taken: Counter[tuple[str, int]], folders: set[str]) -> PurePosixPath:
    """The name itself where this photograph has the first right to it, alone; else with digits."""
    key = key_of(each.name)
    first = max(right for right in (_FIXED, _OWN, _CHANGED) if taken[key, right])
    alone = taken[key, first] == 1 and key not in folders
    if each.right == _FIXED or (each.right == first and alone):
        return each.name
    stem, ending = _split(each.name.name)
    return each.name.with_name(_cut(stem, f"~{_digits(full_path(each.source))}{ending}"))


def _require_distinct(wishes: Sequence[Wish], chosen: Sequence[PurePosixPath]) -> None:
    folders = {key_of(folder) for name in chosen for folder in name.parents}
    owners: dict[str, Path] = {}
    for wish, name in zip(wishes, chosen, strict=True):
        other = owners.setdefault(key_of(name), wish.source)
        if other != wish.source:
            raise InputError(f"{other} and {wish.source} would both be written to {name}; expected a name for each")
        if key_of(name) in folders:
            raise InputError(f"{wish.source}: would be written to {name}, where a folder of others is to be")


def _split(name: str) -> tuple[str, str]:
    """Stem and ending, where that is an image's."""
    path = PurePosixPath(name)
    return (path.stem, path.suffix) if format_of_suffix(path.suffix) else (name, "")


def _cut(stem: str, ending: str) -> str:
    while len(os.fsencode(stem + ending)) > _LONGEST:
        stem = stem[:-1]
    return stem + ending


def _digits(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
