"""A folder tree read in one pass: every search below a root works on this and asks the disk nothing more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aio.errors import InputError
from aio.images import SUFFIXES


@dataclass(eq=False)
class Folder:
    """One folder: its files' names, and its folders by name; both sorted, the hidden ones left out.

    Attributes:
        words: lower-case names from below the root down to this folder.
    """

    path: Path
    words: tuple[str, ...] = ()
    files: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)

    def below(self) -> Iterator[Folder]:
        """This folder and all below it, from the top down."""
        yield self
        for folder in self.folders.values():
            yield from folder.below()

    def paths(self) -> list[Path]:
        """All files below, sorted."""
        return [self.path / name for name in self.names()]

    def images(self) -> list[str]:
        """Names of the image files below, relative to this folder, sorted as paths are."""
        return [name for name in self.names() if _is_image(name)]

    def own_images(self) -> list[str]:
        """Names of the image files in this very folder."""
        return [name for name in self.files if _is_image(name)]

    def names(self) -> list[str]:
        """Of all files below, relative to this folder, sorted as paths are."""
        if not self.folders:
            return self.files
        names: list[str] = []
        for name in sorted([*self.files, *self.folders]):
            folder = self.folders.get(name)
            names += [name] if folder is None else [f"{name}/{inner}" for inner in folder.names()]
        return names


def walk(root: Path) -> list[Path]:
    """All files below `root`, sorted; see `read_tree`."""
    return read_tree(root).paths()


def read_tree(root: Path) -> Folder:
    """The folders and files below `root`.

    Hidden ones (a leading dot) are passed over. A link to a folder is followed, but not to one that it lies in.

    Raises:
        InputError: a folder may not be read.
    """
    top = Folder(root)
    _fill(top, (os.path.realpath(root),))
    return top


def _fill(folder: Folder, inside: tuple[str, ...]) -> None:
    """Reads `folder`; `inside` are the real paths of where it lies, and of where the links on the way to it lie."""
    for entry in _entries(folder.path):
        if entry.is_dir(follow_symlinks=False):
            _enter(folder, entry.name, (*inside[:-1], f"{inside[-1]}/{entry.name}"))
        elif entry.is_symlink() and entry.is_dir():
            target = os.path.realpath(entry.path)
            if not any(f"{place}/".startswith(f"{target}/") for place in inside):
                _enter(folder, entry.name, (*inside, target))
        elif entry.is_file():
            folder.files.append(entry.name)


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".") and entry.name != "lost+found"]
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this folder; expected one of images") from error
    return sorted(seen, key=lambda entry: entry.name)


def _enter(folder: Folder, name: str, inside: tuple[str, ...]) -> None:
    child = folder.folders[name] = Folder(folder.path / name, (*folder.words, name.lower()))
    _fill(child, inside)


def _is_image(name: str) -> bool:
    return f".{name.rpartition('.')[2].lower()}" in SUFFIXES
