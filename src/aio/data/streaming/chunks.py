"""Chunks fetched on demand into a folder of bounded size that all processes of a node share.

litdata fetches; its own cache is not used: random access passes over its limit and fails between processes (0.2.76).
A kill at any time leaves nothing that a later run would trust: locks end with their process, chunks appear whole.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from aio.data.streaming.fetching import Fetcher
from aio.data.streaming.manifest import Chunk
from aio.errors import InputError

_LOCKS: Final = 64  # files for the locks of all chunks
_PART: Final = ".part"


class ChunkCache:
    """Images out of the chunks below the URL or folder `remote`.

    Files in `folder` take at most `limit_bytes`, or one chunk per process where that is more; those not read for
    longest leave. The folder has to lie on a file system whose locks work between the processes that share it.
    """

    def __init__(self, *, remote: str, folder: Path, limit_bytes: int, chunks: Sequence[Chunk]) -> None:
        self.remote, self.folder, self.limit_bytes, self.chunks = remote, folder, limit_bytes, chunks
        self._fetcher = Fetcher(remote, chunks)
        self._number = {chunk.file: number for number, chunk in enumerate(chunks)}
        self.folder.mkdir(parents=True, exist_ok=True)

    def image(self, chunk: int, position: int) -> bytes:
        """The bytes of the image file at `position` of chunk number `chunk`.

        litdata's layout in little-endian uint32: the number of items, where each begins, where the last one ends;
        an item is the length of its one leaf, then the leaf.

        Raises:
            InputError: the chunk is missing, cannot be fetched, or has not the length that was written.
        """
        with self._open(chunk) as file:
            os.utime(file.fileno())
            begin, end = struct.unpack("<2I", os.pread(file.fileno(), 8, 4 + 4 * position))
            return os.pread(file.fileno(), end - begin - 4, begin + 4)

    def _open(self, number: int) -> FileIO:
        """The open chunk, which can be read to its end even if another process removes the file."""
        return self._whole(number) or self._fetched(number)

    def _whole(self, number: int) -> FileIO | None:
        path = self.folder / self.chunks[number].file
        with suppress(FileNotFoundError):
            file = FileIO(path)
            if os.fstat(file.fileno()).st_size == self.chunks[number].bytes:
                return file
            file.close()
            path.unlink(missing_ok=True)  # the machine stopped before the disk had all of it
        return None

    def _fetched(self, number: int) -> FileIO:
        with self._lock(number):
            file = self._whole(number)
            if file is not None:
                return file
            part = self._room(number)
            try:
                return self._download(self.chunks[number], part)
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def _download(self, chunk: Chunk, part: Path) -> FileIO:
        arrived = self._fetcher.fetch(chunk.file, part)
        length = arrived.stat().st_size
        if length != chunk.bytes:
            raise InputError(
                f"{self.remote}/{chunk.file}: is {length} bytes long, expected {chunk.bytes}; copy it anew"
            )
        file = FileIO(arrived)  # before others can see it and remove it
        arrived.replace(self.folder / chunk.file)
        return file

    def _room(self, number: int) -> Path:
        """A new folder for the download, which counts as the chunk's length from now on."""
        wanted = self.chunks[number]
        part = self.folder / (wanted.file + _PART)
        with FileLock(self.folder / "lock"):
            arriving = sum(self._still_arriving(path, number) for path in self.folder.glob("*" + _PART))
            kept = sorted((path for path in self.folder.iterdir() if path.name in self._number), key=_last_read)
            held = arriving + sum(self._length(path) for path in kept)
            while kept and held + wanted.bytes > self.limit_bytes:
                oldest = kept.pop(0)
                held -= self._length(oldest)
                oldest.unlink(missing_ok=True)
            part.mkdir()
        return part

    def _still_arriving(self, part: Path, own: int) -> int:
        """The length of the chunk that another process fetches into `part`; 0, and it is gone, if that was killed."""
        number = self._number[part.name.removesuffix(_PART)]
        if number % _LOCKS != own % _LOCKS:  # else the lock is held here, so whoever made the folder holds it no more
            try:
                with self._lock(number, timeout=0):
                    shutil.rmtree(part, ignore_errors=True)
            except Timeout:
                return self.chunks[number].bytes
        shutil.rmtree(part, ignore_errors=True)
        return 0

    def _lock(self, number: int, timeout: float = -1) -> FileLock:
        return FileLock(self.folder / f"lock-{number % _LOCKS}", timeout=timeout)

    def _length(self, path: Path) -> int:
        return self.chunks[self._number[path.name]].bytes


def _last_read(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0
