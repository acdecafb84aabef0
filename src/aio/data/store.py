"""Decoded images on disk, memory-mapped: a crop touches only its rows, and all processes share the page cache.

A store is a folder of `part-NNN.pixels` (raw samples one image after another), `part-NNN.rows` (one `ROW` for each,
written after its pixels) and `pixels.index` (all rows, sorted), the one file that readers go by.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from aio.data.packed import Packed, read_packed, write_packed
from aio.errors import InputError

FOLDER: Final = ".aio"  # below the root of the images, unless another was named
INDEX: Final = "pixels.index"
_MAGIC: Final = b"aio pixels 1\n"
ROW: Final = np.dtype(
    [
        ("key", "<u8"),  # of the path below the root: 64 bits, and 64 more
        ("check", "<u8"),
        ("size", "<i8"),  # of the source file in bytes
        ("mtime", "<i8"),  # of the source file in nanoseconds
        ("offset", "<i8"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("part", "<i4"),
        ("depth", "<i4"),  # bytes of a sample, 1 or 2
        ("crc", "<u8"),  # of the pixels
    ]
)
STAMP: Final = ["key", "check", "size", "mtime"]  # what says that a row is of a file as it is now
_UNKNOWN, _FRESH, _STALE = range(3)


def key_of(name: str) -> tuple[int, int]:
    """128 bits of a path below the root: `key` and `check` of its row."""
    key, check = struct.unpack("<QQ", hashlib.blake2b(os.fsencode(name), digest_size=16).digest())
    return key, check


def pixels_file(folder: Path, part: int) -> Path:
    return folder / f"part-{part:03}.pixels"


def row_bytes(rows: np.ndarray | np.void) -> np.ndarray:
    """How many bytes of pixels each row stands for, `(N,)` int64."""
    return rows["height"].astype(np.int64) * rows["width"] * rows["depth"] * 3


def write_index(folder: Path, rows: np.ndarray) -> None:
    """Makes `rows` what readers find, at once."""
    ordered = rows[np.argsort(rows["key"], kind="stable")]
    write_packed(folder / INDEX, _MAGIC, Packed({"images": len(rows)}, {"rows": ordered}))


def read_index(folder: Path) -> np.ndarray:
    """The rows `(N,)` of the store in `folder`, sorted by key; none where there is no store.

    Raises:
        InputError: the index is damaged.
    """
    packed = read_packed(folder / INDEX, _MAGIC)
    return np.empty(0, ROW) if packed is None else packed.arrays["rows"]


class DecodedStore:
    """Pixels `(H, W, 3)` uint8 or uint16 by path, as read-only views of memory-mapped files.

    An image is served if its file has the size and the modification time that it had when it was decoded; that is
    looked up once per process. The object may cross a fork, and pickled it is opened anew.

    Args:
        folder: where the store lies; an empty or missing one holds no image.
        root: the folder below which the images lie.

    Attributes:
        faults: what is wrong with the store, a line each; it serves the images that are whole.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.faults: list[str] = []
        self._prefix = os.fspath(root / "_")[:-1]  # of the paths below; nothing for the folder `.`
        self._maps: dict[int, mmap.mmap] = {}
        try:
            rows = read_index(folder)
        except InputError as error:
            rows = np.empty(0, ROW)
            self.faults.append(str(error))
        self._rows = rows[self._is_whole(rows)]
        self._keys = np.ascontiguousarray(self._rows["key"])
        self._state = np.zeros(len(self._rows), np.uint8)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, path: Path) -> np.ndarray | None:
        """The pixels of `path`; None if they are not held, or not those of the file as it is now."""
        found = self._find(path)
        if found is None:
            return None
        _, _, _, _, offset, height, width, part, depth, _ = found
        return np.frombuffer(self._maps[part], f"<u{depth}", height * width * 3, offset).reshape(height, width, 3)

    def __getitem__(self, path: Path) -> np.ndarray:
        """The pixels of `path`; KeyError where `get` gives None."""
        pixels = self.get(path)
        if pixels is None:
            raise KeyError(path)
        return pixels

    def missing(self, stamps: Iterable[tuple[str, int, int]]) -> list[str]:
        """Of files given by name below the root, size and modification time in nanoseconds, those not served."""
        held = set(self._rows[STAMP].tolist())
        return [name for name, size, mtime in stamps if (*key_of(name), size, mtime) not in held]

    def _is_whole(self, rows: np.ndarray) -> np.ndarray:
        """Which of `rows` lie within their files."""
        whole = np.ones(len(rows), bool)
        ends = rows["offset"] + row_bytes(rows)
        for part in np.unique(rows["part"]).tolist():
            file = pixels_file(self.folder, part)
            mapped = _mapped(file)
            if mapped is not None:
                self._maps[part] = mapped
            beyond = (rows["part"] == part) & (ends > (0 if mapped is None else len(mapped)))
            if beyond.any():
                self.faults.append(f"{file}: missing or cut off, {int(beyond.sum()):,} of its images are not there")
            whole &= ~beyond
        return whole

    def _find(self, path: Path) -> tuple[int, ...] | None:
        """The row of `path`."""
        name = os.fspath(path)
        if not name.startswith(self._prefix):
            return None
        key, check = key_of(name.removeprefix(self._prefix))
        at = self._keys.searchsorted(np.uint64(key))
        if at == len(self._rows):
            return None
        row = self._rows[at].tolist()
        if row[:2] != (key, check):
            return None
        if self._state[at] == _UNKNOWN:
            self._state[at] = _FRESH if _is_fresh(path, *row[2:4]) else _STALE
        return row if self._state[at] == _FRESH else None

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _is_fresh(path: Path, size: int, mtime: int) -> bool:
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns) == (size, mtime)


def _mapped(file: Path) -> mmap.mmap | None:
    try:
        with file.open("rb") as opened:
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # missing, or empty
        return None
