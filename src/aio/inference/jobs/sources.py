"""Which photographs are meant: files, folders, patterns and manifests become wishes; what is no image says so."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from aio.errors import InputError
from aio.images.opening import format_of_suffix
from aio.inference.jobs.job import full_path
from aio.inference.jobs.manifest import SUFFIXES, read_manifest
from aio.inference.jobs.names import Wish
from aio.inference.jobs.walk import walk

# Pillow knows endings of films and documents too; these are of photographs.
_PHOTOS: Final = frozenset({"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"})
_KINDS: Final = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
_MAGIC: Final = frozenset("*?[")


class Skipped(NamedTuple):
    """A file that was met and is no photograph."""

    path: Path
    reason: str


class Found(NamedTuple):
    """What the words of a command mean."""

    wishes: list[Wish]
    skipped: list[Skipped]


def find(
    words: Sequence[str], output: Path, *, ours: Iterable[Path] = (), seen: Callable[[], None] = lambda: None
) -> Found:
    """The photographs that `words` mean, each once; `seen` is called for every one.

    A word is a file, a folder (all below it but what is hidden and `output`), a pattern with `*`, `?`, `[...]` and
    `**`, or a manifest. Restorations keep their place below the folder, the fixed part of the pattern or the manifest.

    Args:
        ours: restorations, which are passed over where a folder or pattern would bring them.

    Raises:
        InputError: there is nothing of that name, or no photograph in it.
    """
    search = _Search(output, frozenset(map(full_path, ours)), [])
    wishes: dict[tuple[str, PurePosixPath, bool], Wish] = {}
    for word in words:
        empty = True
        for wish in search.wishes(word):
            seen()
            empty = False
            wishes.setdefault((full_path(wish.source), wish.name, wish.fixed), wish)
        if empty:
            met = f"; {search.skipped[-1].path} {search.skipped[-1].reason}" if search.skipped else ""
            raise InputError(f"{word}: holds no image{met}")
    return Found(list(wishes.values()), search.skipped)


class _Search(NamedTuple):
    output: Path
    ours: frozenset[str]
    skipped: list[Skipped]

    def wishes(self, word: str) -> Iterator[Wish]:
        path = Path(word)
        if not _exists(path):
            if not _MAGIC & set(word):
                raise InputError(f"{word}: no such file or folder")
            yield from self._matching(PurePosixPath(word))
        elif path.is_dir():
            yield from self._below(path, lambda parts: True)
        elif path.suffix.lower() in SUFFIXES:
            yield from (_listed(path.parent, *entry) for entry in read_manifest(path))
        else:
            if fault := _no_file(path):
                raise InputError(f"{path}: expected a photograph, a folder or a manifest, but this is {fault}")
            yield Wish(path, PurePosixPath(path.name))

    def _matching(self, pattern: PurePosixPath) -> Iterator[Wish]:
        """The photographs that the pattern matches; folders that it matches are passed over."""
        fixed = next(i for i, part in enumerate(pattern.parts) if _MAGIC & set(part))
        top, parts = Path(*pattern.parts[:fixed]), pattern.parts[fixed:]
        if not top.is_dir():
            raise InputError(f"{pattern}: there is no folder {top}")
        depth = None if "**" in parts else len(parts) - 1
        yield from self._below(top, lambda name: _matches(name, parts), depth)

    def _below(self, top: Path, wanted: Callable[[Sequence[str]], bool], depth: int | None = None) -> Iterator[Wish]:
        for file in walk(top, avoid=self.output, report=self._skip, depth=depth):
            name = file.relative_to(top)
            if not wanted(name.parts) or (self.ours and full_path(file) in self.ours):
                continue
            if fault := _no_photo(file):
                self._skip(file, fault)
            else:
                yield Wish(file, PurePosixPath(name))

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped.append(Skipped(path, reason))


def _exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError as error:
        raise InputError(f"{str(path)!a}: can be no file's name") from error


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        rest = pattern[1:]
        return (not rest and bool(parts)) or any(_matches(parts[i:], rest) for i in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _listed(folder: Path, source: Path, output: PurePosixPath | None) -> Wish:
    """An entry of a manifest in `folder`; without a name of its own it has that of its place below the folder."""
    if output is not None:
        return Wish(source, output, fixed=True)
    below = os.path.relpath(source, folder)
    return Wish(source, PurePosixPath(source.name if below.startswith("..") else below))


def _no_photo(file: Path) -> str:
    """Why it is none, as far as name, kind and size tell; empty where it may be one."""
    if fault := _no_file(file):
        return f"is {fault}"
    if format_of_suffix(file.suffix) not in _PHOTOS:
        return f"its name ends in {file.suffix or 'nothing'}, as no image's does"
    return "is empty (0 bytes)" if file.stat().st_size == 0 else ""


def _no_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"a link that leads nowhere ({error.strerror})"
    return "" if stat.S_ISREG(mode) else next((kind for holds, kind in _KINDS if holds(mode)), "a device")
