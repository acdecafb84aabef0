"""A JPEG written band by band, its pixels those that libjpeg would give the whole.

Bands of whole rows of blocks are compressed one by one with restart markers between rows of blocks (ITU-T T.81,
F.1.1.5.2), behind which nothing depends on what came before; so their data joined are one scan.
"""

from __future__ import annotations

from typing import BinaryIO, Final

import numpy as np

from aio.images.layout import About, Layout
from aio.images.plain_writing import compressed

_RESTARTS: Final = 8  # markers RST0..RST7 take turns
_LAST_RESTART: Final = b"\xff\xd7"
_END: Final = b"\xff\xd9"
_FRAME, _FRAME_EXTENDED, _SCAN = 0xC0, 0xC1, 0xDA


class JpegWriter:
    """Sequential, also where the options ask for a progressive file, which would need the whole image in memory."""

    rows = 2 * 16 * _RESTARTS  # of pixels: a multiple of eight rows of blocks, 8 or 16 high

    def __init__(self, file: BinaryIO, layout: Layout, about: About) -> None:
        self._file, self._height, self._begun = file, layout.height, False
        chosen = {key: value for key, value in about.options.items() if key != "progressive"}
        self._options, self._about = {**chosen, "restart_marker_rows": 1}, about

    def write(self, samples: np.ndarray) -> None:
        """A band: `rows` of the image, or its last."""
        band = bytearray(compressed(samples, "JPEG", self._options, None if self._begun else self._about))
        frame, scan = _places(band)
        if self._begun:
            self._file.write(_LAST_RESTART)
        else:
            band[frame + 5 : frame + 7] = self._height.to_bytes(2)
        self._file.write(memoryview(band)[scan if self._begun else 0 : -len(_END)])
        self._begun = True

    def close(self) -> None:
        self._file.write(_END)


def _places(band: bytes | bytearray) -> tuple[int, int]:
    """Where the frame's header begins, and the data of the scan."""
    at, frame = 2, 0
    while True:
        kind, after = band[at + 1], at + 2 + int.from_bytes(band[at + 2 : at + 4])
        if kind in (_FRAME, _FRAME_EXTENDED):
            frame = at
        if kind == _SCAN:
            return frame, after
        at = after
