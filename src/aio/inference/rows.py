"""Images as rows that come from the upper edge down, and the band of them that is being worked on."""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor

_PIECE: Final = 16  # rows asked for at once: what a source makes of them lives beside the band


class Rows(Protocol):
    """An image that is read once, from above."""

    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...

    def read(self, rows: int) -> Tensor:
        """The next `rows`, `(C, rows, W)` float32 on the host."""
        ...


class ImageRows:
    """The rows of `image (C, H, W)`."""

    def __init__(self, image: Tensor) -> None:
        self.channels, self.height, self.width = image.shape
        self._image, self._read = image, 0

    def read(self, rows: int) -> Tensor:
        self._read += rows
        return self._image[:, self._read - rows : self._read]


class Band:
    """Some rows of a source, one band after the other; a band may start with the last rows of the one before."""

    def __init__(self, source: Rows) -> None:
        self._source, self._end, self._height = source, 0, 0
        self._held = torch.empty(source.channels, 0, source.width)

    def move(self, top: int, height: int) -> Tensor:
        """Rows `top` to `top + height`, `(C, height, W)`; it is overwritten by the next move.

        No band is higher than the first, and none leaves out rows.
        """
        if not self._end:
            self._held = torch.empty(self._source.channels, height, self._source.width)
        kept, held = self._end - top, self._held
        if kept:
            held[:, :kept] = held[:, self._height - kept : self._height].clone()
        for row in range(kept, height, _PIECE):
            end = min(row + _PIECE, height)
            held[:, row:end] = self._source.read(end - row)
        self._end, self._height = top + height, height
        return held[:, :height]
