"""Decoded photographs kept in memory, so that an epoch of crops decodes each file once."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from aio.images import read_rgb


class DecodedCache:
    """RGB arrays `(H, W, 3)` uint8 by path; the least recently used leave when `limit_bytes` is passed.

    Every loader worker has one of its own.
    """

    def __init__(self, limit_bytes: int = 2**30) -> None:
        self.limit_bytes = limit_bytes
        self._arrays: OrderedDict[Path, np.ndarray] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, path: Path) -> np.ndarray:
        if path in self._arrays:
            self._arrays.move_to_end(path)
            return self._arrays[path]
        array = read_rgb(path)
        self._arrays[path] = array
        self._bytes += array.nbytes
        while self._bytes > self.limit_bytes and len(self._arrays) > 1:
            self._bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array

    def __len__(self) -> int:
        return len(self._arrays)
