"""The files below a folder: hidden ones passed over, every folder entered once, whatever links lead there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

Report = Callable[[Path, str], None]


def walk(top: Path, *, avoid: Path, report: Report, depth: int | None = None) -> Iterator[Path]:
    """Every file below `top`, also what is no regular one; a folder's own files first, then its folders, by name.

    Links to folders are followed after all else, so that they take nothing from the real place of a file.

    Args:
        avoid: a folder that is not entered: that of the results.
        report: called with a folder that cannot be read, and why.
        depth: how many folders deep; None for all.
    """
    seen = {_identity(avoid)} - {_identity(top), None}
    folders, links = deque([(top, 0)]), deque[tuple[Path, int]]()
    while folders or links:
        folder, level = folders.popleft() if folders else links.popleft()
        identity = _identity(folder)
        if identity is None or identity in seen:
            continue
        seen.add(identity)
        below: list[tuple[Path, int]] = []
        for entry in _entries(folder, report):
            path = folder / entry.name
            if not entry.is_dir():
                yield path
            elif depth is None or level < depth:
                (links if entry.is_symlink() else below).append((path, level + 1))
        folders.extendleft(reversed(below))


def _entries(folder: Path, report: Report) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        report(folder, f"cannot be read ({error.strerror})")
        return []


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
