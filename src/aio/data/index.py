"""What a look at a tree and into its files found, kept for the next start: `.aio/files.index` below the root.

At each start the tree is listed anew, with size and modification time of every file. A header counts while those of
its file agree, and what `discover` found while they agree for all files of the tree, none was added or taken away, and
the code is the same. So all is noticed but a change that leaves a file's size and sets its time back.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from aio import vocabulary
from aio.data.discovery import Found, discover
from aio.data.found import as_rows, from_rows
from aio.data.packed import Packed, read_packed, write_packed
from aio.data.sources import Split
from aio.data.store import FOLDER
from aio.data.tree import read_tree
from aio.errors import InputError
from aio.images import image_size
from aio.vocabulary import Degradation

FILES: Final = "files.index"
MANY: Final = 5000  # files from which on an index is worth its place
_MAGIC: Final = b"aio files 1\n"
_KEPT: Final = 8  # answers of `discover`


class FileIndex:
    """The files below `root` as they are now, with what is known of them; lists the tree when it is made.

    Args:
        root: the folder below which the files lie.
        folder: where the index lies; `root/.aio` by default. A missing or damaged index knows nothing.

    Attributes:
        learnt: how much was found out since then that the index does not hold.
    """

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        self.root, self.folder, self.learnt = root, folder or root / FOLDER, 0
        self._names = read_tree(root).names()
        prefix = os.fspath(root / "_")[:-1]
        self._row = {prefix + name: row for row, name in enumerate(self._names)}
        self._times = np.fromiter(map(_times, self._row), (np.int64, 2), len(self._row))
        self._sizes = np.zeros((len(self._row), 2), np.int32)  # where nothing is known
        self._answers: dict[str, dict[str, Any]] = {}
        self._recall()

    def __len__(self) -> int:
        return len(self._names)

    def image_size(self, path: Path) -> tuple[int, int]:
        """(height, width), as `aio.images.image_size`; several threads may ask at once.

        Raises:
            InputError: the file is not a whole image.
        """
        row = self._row.get(os.fspath(path))
        if row is None:
            return image_size(path)
        height, width = self._sizes[row].tolist()
        if not height:
            height, width = self._sizes[row] = image_size(path)
            self.learnt += 1
        return height, width

    def discover(self, tasks: Collection[Degradation]) -> dict[Split, Found]:
        """As `aio.data.discovery.discover` of the root.

        Raises:
            InputError: as there.
        """
        key = repr((list(tasks), os.fspath(self.root.resolve()), _code()))
        if key in self._answers:
            return from_rows(self._answers[key], _paths(self._row))
        found = discover(self.root, tasks)
        try:
            answer = as_rows(found, self._row)
        except KeyError:  # a file that came after the listing
            return found
        self._answers = dict([*self._answers.items(), (key, answer)][-_KEPT:])
        self.learnt += 1
        return found

    def stamps(self, paths: Iterable[Path]) -> list[tuple[str, int, int]]:
        """Name below the root, size in bytes and modification time in nanoseconds of those of `paths` below it."""
        rows = [row for path in paths if (row := self._row.get(os.fspath(path))) is not None]
        return [
            (self._names[row], size, mtime) for row, (size, mtime) in zip(rows, self._times[rows].tolist(), strict=True)
        ]

    def save(self) -> None:
        """Writes the index, at once.

        Raises:
            OSError: the folder cannot be written to.
        """
        names = np.frombuffer(b"\0".join(map(os.fsencode, self._names)), np.uint8)
        arrays = {"names": names, "times": self._times, "sizes": self._sizes}
        write_packed(self.folder / FILES, _MAGIC, Packed({"answers": self._answers}, arrays))
        self.learnt = 0

    def _recall(self) -> None:
        """Takes from the stored index what still holds."""
        try:
            packed = read_packed(self.folder / FILES, _MAGIC)
        except InputError:
            return
        if packed is None or not len(packed.arrays["times"]):
            return
        names = os.fsdecode(packed.arrays["names"].tobytes()).split("\0")
        times, sizes = packed.arrays["times"], packed.arrays["sizes"]
        if names == self._names and np.array_equal(times, self._times):
            self._sizes, self._answers = sizes, packed.header["answers"]
            return
        known = {(name, *stamp): row for row, (name, stamp) in enumerate(zip(names, times.tolist(), strict=True))}
        now = zip(self._names, self._times.tolist(), strict=True)
        found = np.array([known.get((name, *stamp), -1) for name, stamp in now], np.int64)
        self._sizes[found >= 0] = sizes[found[found >= 0]]


def _paths(names: Iterable[str]) -> list[Path]:
    """A path made of its folder's costs less than one that is taken apart anew."""
    folders: dict[str, Path] = {}
    paths = []
    for path in names:
        above, _, name = path.rpartition("/")
        folder = folders.get(above)
        if folder is None:
            folder = folders[above] = Path(above or ("/" if path.startswith("/") else "."))
        paths.append(folder / name)
    return paths


def _times(path: str) -> tuple[int, int]:
    about = os.stat(path)  # noqa: PTH116, a Path for each costs more than its stat
    return about.st_size, about.st_mtime_ns


def _code() -> int:
    """A checksum of the code that decides what is found."""
    files = [*sorted(Path(__file__).parent.glob("*.py")), Path(vocabulary.__file__)]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))
