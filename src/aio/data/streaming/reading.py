"""A stream in the place of a data tree: what it holds, and the pixels behind each path."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from aio.data.discovery import Found, Split
from aio.data.streaming.chunks import ChunkCache
from aio.data.streaming.fetching import Fetcher, require_litdata
from aio.data.streaming.manifest import MANIFEST, Manifest
from aio.errors import InputError
from aio.images import read_samples
from aio.vocabulary import Degradation

_LOCAL: Final = "file://"


@dataclass(frozen=True)
class StreamCache:
    """Where chunks of a stream wait on this machine.

    Args:
        folder: on a local disk; `~/.cache/aio/streams` by default. Streams have a folder each below it.
        gigabytes: at most so much per stream, of 10^9 bytes. For one fetch of each chunk in a pass it holds six
            chunks for every degradation that has images of its own.
    """

    folder: str | None = None
    gigabytes: float = 16

    def __post_init__(self) -> None:
        if not self.gigabytes > 0:
            raise InputError(f"--data.stream_cache.gigabytes {self.gigabytes}: expected a number above 0")


class Stream:
    """The images of a tree that `write_stream` packed, at a folder or URL.

    Paths are relative to that tree. The manifest is fetched when first needed. Every process that reads, a fork or a
    spawned copy, does so by itself; on one machine they share the chunks in the cache.

    Raises:
        InputError: litdata is not installed; on first use, that the manifest or later that a chunk cannot be fetched.
    """

    def __init__(self, location: str, cache: StreamCache) -> None:
        require_litdata()
        self.location = location.removeprefix(_LOCAL).rstrip("/")
        self.cache = cache

    @cached_property
    def manifest(self) -> Manifest:
        """What the stream holds."""
        return Manifest.parse(self._manifest_bytes, f"{self.location}/{MANIFEST}")

    def found(self, tasks: Iterable[Degradation]) -> dict[Split, Found]:
        """As `aio.data.discovery.discover`, of the tree that was packed."""
        return self.manifest.found(tasks, self.location)

    def read(self, path: Path) -> np.ndarray:
        """Pixels `(H, W, 3)`, upright: uint16 where the file holds 16 bits a channel, else uint8.

        Raises:
            InputError: the chunk cannot be had, or the bytes are no whole image.
        """
        return read_samples(Path(self.location, path), data=self._chunks.image(*self.manifest.place(path)))

    def size_of(self, path: Path) -> tuple[int, int]:
        """(height, width) as displayed, without fetching the image."""
        height, width = self.manifest.sizes[self.manifest.number[path]]
        return height, width

    def places(self, samples: Sequence[tuple[Path, ...]]) -> np.ndarray:
        """The chunk of each sample's first image, int64 `(N,)`; the others lie in the same one wherever they fit."""
        return np.array([self.manifest.place(paths[0])[0] for paths in samples], dtype=np.int64)

    @cached_property
    def _manifest_bytes(self) -> bytes:
        with tempfile.TemporaryDirectory(prefix="aio-stream-") as folder:
            return Fetcher(self.location).fetch(MANIFEST, Path(folder)).read_bytes()

    @cached_property
    def _chunks(self) -> ChunkCache:
        below = Path(self.cache.folder) if self.cache.folder else Path.home() / ".cache" / "aio" / "streams"
        written = hashlib.sha256(self._manifest_bytes).hexdigest()[:16]  # another stream at the same place is new
        limit = int(self.cache.gigabytes * 1e9)
        manifest = self.manifest
        return ChunkCache(remote=self.location, folder=below / written, limit_bytes=limit, chunks=manifest.chunks)
