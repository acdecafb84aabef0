"""What a writer of one format is told: how samples lie, and what goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np


class Layout(NamedTuple):
    """An image of `(height, width, channels)` samples of 8, 16 or 32 (float) bits."""

    height: int
    width: int
    channels: int
    bits: int


class About(NamedTuple):
    """Metadata, each None where there is none, and the options with which Pillow compresses."""

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    options: Mapping[str, Any] = MappingProxyType({})


class Writer(Protocol):
    """Writes an image in blocks of `rows`, the last of which may be shorter."""

    rows: int

    def write(self, samples: np.ndarray) -> None: ...

    def close(self) -> None: ...
