"""Writing the store: each process appends to a part of its own, pixels before their row, so that a kill leaves no half.

What the index does not name yet was perhaps never flushed to the disk, and counts only if its checksum is right.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from filelock import FileLock, Timeout

from aio.data.imagefiles import ImageFile
from aio.data.parallel import progress_bar
from aio.data.store import ROW, STAMP, key_of, pixels_file, read_index, row_bytes, write_index
from aio.errors import InputError

_ALIGNMENT: Final = 64
_AT_ONCE: Final = 2**30  # Linux writes at most 2 GiB in one call


class Part:
    """The first part of the store in `folder` that no other process writes to; nothing in it is ever overwritten."""

    def __init__(self, folder: Path) -> None:
        self.number, self._lock = _first_unlocked(folder)
        self._pixels = os.open(pixels_file(folder, self.number), os.O_RDWR | os.O_CREAT, 0o666)
        self._rows = os.open(rows_file(folder, self.number), os.O_RDWR | os.O_CREAT, 0o666)
        whole = os.fstat(self._rows).st_size // ROW.itemsize * ROW.itemsize
        os.truncate(self._rows, whole)  # a row cut off by a power failure

    def append(self, file: ImageFile, pixels: np.ndarray) -> None:
        """Adds the decoded `pixels (H, W, 3)` of `file`."""
        pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
        offset = -(-os.fstat(self._pixels).st_size // _ALIGNMENT) * _ALIGNMENT
        row = np.zeros((), ROW)
        row["key"], row["check"] = key_of(file.name)
        row["size"], row["mtime"] = file.size, file.mtime
        row["offset"], row["part"], row["crc"] = offset, self.number, zlib.crc32(pixels.data)
        row["height"], row["width"], row["depth"] = *pixels.shape[:2], pixels.itemsize
        _write(self._pixels, pixels.data.cast("B"), offset)
        _write(self._rows, memoryview(row.tobytes()), os.fstat(self._rows).st_size)

    def close(self) -> None:
        os.close(self._pixels)
        os.close(self._rows)
        self._lock.release()


def rows_file(folder: Path, part: int) -> Path:
    return folder / f"part-{part:03}.rows"


def written_rows(folder: Path) -> dict[int, np.ndarray]:
    """All rows `(N,)` of each part, sound or not, in the order in which they were written."""
    rows = {}
    for file in sorted(folder.glob("part-*.rows")):
        rows[int(file.stem.rpartition("-")[2])] = np.fromfile(file, ROW, file.stat().st_size // ROW.itemsize)
    return rows


def sound_rows(folder: Path, files: Sequence[ImageFile], *, verify: bool) -> np.ndarray:
    """The rows `(N,)` that hold the pixels of `files` as these are now, one for each that has one.

    What the index does not name is compared with its checksum; with `verify`, everything is.
    """
    wanted = {(*key_of(file.name), file.size, file.mtime) for file in files}
    trusted = set() if verify else {row.tobytes() for row in _indexed_rows(folder)}
    found: dict[tuple[int, ...], np.void] = {}
    written = written_rows(folder)
    lengths = {part: _length(pixels_file(folder, part)) for part in written}
    with progress_bar() as bar:
        total = sum(map(len, written.values()))
        for row in bar.track(itertools.chain(*written.values()), total=total, description="looking at what is there"):
            stamp = row[STAMP].item()
            if stamp not in wanted or stamp in found or not _lies_within(row, lengths):
                continue
            if row.tobytes() in trusted or _crc(folder, row) == row["crc"]:
                found[stamp] = row
    return np.array(list(found.values()), ROW)


def seal(folder: Path, rows: np.ndarray) -> None:
    """Waits until the pixels of `rows` are on the disk, whoever wrote them, and shows them to readers."""
    for part in np.unique(rows["part"]).tolist():
        handle = os.open(pixels_file(folder, part), os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    write_index(folder, rows)


def _indexed_rows(folder: Path) -> np.ndarray:
    """The rows of the index `(N,)`; none where it is missing or damaged, since the parts tell all."""
    try:
        return read_index(folder)
    except InputError:
        return np.empty(0, ROW)


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _lies_within(row: np.void, lengths: Mapping[int, int]) -> bool:
    count, part = int(row_bytes(row)), int(row["part"])
    return count > 0 and 0 <= row["offset"] <= lengths.get(part, 0) - count


def _crc(folder: Path, row: np.void) -> int:
    pixels = np.fromfile(pixels_file(folder, row["part"]), np.uint8, int(row_bytes(row)), offset=int(row["offset"]))
    return zlib.crc32(pixels.data)


def _first_unlocked(folder: Path) -> tuple[int, FileLock]:
    number = 0
    while True:
        lock = FileLock(folder / f"part-{number:03}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            number += 1
        else:
            return number, lock


def _write(handle: int, data: memoryview, offset: int) -> None:
    while len(data):
        written = os.pwrite(handle, data[:_AT_ONCE], offset)
        data, offset = data[written:], offset + written
