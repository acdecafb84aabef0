"""Decoded photographs: from the memory-mapped store where it holds them, else decoded once and kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from aio.data.store import DecodedStore
from aio.images import read_samples

_LIMIT: Final = 2**31


class DecodedCache:
    """RGB arrays `(H, W, 3)` by path, uint8, or uint16 where the file holds 16 bits; read, not written to.

    Args:
        limit_bytes: of what is kept in memory; the least recently used leave when it is passed, but one stays. Pixels
            of the store do not count: they lie in the page cache, once for all processes.
        sharers: processes among which the limit is divided, since every worker of a loader keeps a cache of its own.
        store: where to look first.
        read: gives the pixels of a path that is not kept; from its file by default.
    """

    def __init__(
        self,
        limit_bytes: int = _LIMIT,
        *,
        sharers: int = 1,
        store: DecodedStore | None = None,
        read: Callable[[Path], np.ndarray] = read_samples,
    ) -> None:
        self.limit_bytes = limit_bytes // max(1, sharers)
        self.store, self.read = store, read
        self._arrays: OrderedDict[Path, np.ndarray] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, path: Path) -> np.ndarray:
        """The pixels of `path`.

        Raises:
            InputError: the file is not a whole image.
        """
        if path in self._arrays:
            self._arrays.move_to_end(path)
            return self._arrays[path]
        stored = None if self.store is None else self.store.get(path)
        return self._keep(path, self.read(path)) if stored is None else stored

    def _keep(self, path: Path, array: np.ndarray) -> np.ndarray:
        self._arrays[path] = array
        self._bytes += array.nbytes
        while self._bytes > self.limit_bytes and len(self._arrays) > 1:
            self._bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array

    def __len__(self) -> int:
        return len(self._arrays)
