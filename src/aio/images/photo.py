"""A photograph in memory: its pixels, and what its file said besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Head:
    """What a photograph's file says besides its pixels; the attributes are `Photo`'s."""

    bits: int = 8
    format: str = "PNG"
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    encoding: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    frames: int = 1


@dataclass(frozen=True, eq=False)
class Photo:
    """One image, upright.

    Attributes:
        pixels: float32 `(H, W, 3)`, or `(H, W, 1)` where the file is gray; as stored, in [0, 1] unless `bits` is 32.
        alpha: float32 `(H, W)`, not multiplied into the pixels; None where the file has none.
        bits: per sample of the file, 8 or 16 (fewer count as 8), or 32 for floats.
        format: Pillow's name of the file's format.
        exif: the EXIF block from its byte order mark on; its orientation is 1.
        icc_profile: the colour profile of the pixels; None means sRGB.
        xmp: the XMP packet.
        encoding: options with which Pillow compresses as this file was: a JPEG's quantisation tables and subsampling,
            whether a WebP is lossless; empty where nothing is known.
        frames: how many the file holds; the pixels are those of the first.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8
    format: str = "PNG"
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    encoding: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    frames: int = 1

    @property
    def head(self) -> Head:
        return Head(self.bits, self.format, self.exif, self.icc_profile, self.xmp, self.encoding, self.frames)

    def __post_init__(self) -> None:
        height, width, channels = self.pixels.shape
        if channels not in (1, 3) or self.pixels.dtype != np.float32:
            raise ValueError(f"pixels: expected float32 (H, W, 1 or 3), got {self.pixels.dtype} {self.pixels.shape}")
        if self.alpha is not None and (self.alpha.shape != (height, width) or self.alpha.dtype != np.float32):
            raise ValueError(f"alpha: expected float32 {(height, width)}, got {self.alpha.dtype} {self.alpha.shape}")
        if self.bits not in (8, 16, 32):
            raise ValueError(f"bits: expected 8, 16 or 32, got {self.bits}")
