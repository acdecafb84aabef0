"""Photographs of any size for the screen: reduced by means over blocks, and transparency laid on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from aio.images import open_strips

CHUNK: Final = 1 << 22  # pixels of a strip
ANY_SIZE: Final = 1 << 62  # for whoever has accepted the photograph's size already
_PAPER: Final = np.float32(250 / 255)


def reduce_photo(path: Path, step: int) -> np.ndarray:
    """The photograph as `(h, w, 3)` float32 in [0, 1], each of its pixels the mean of `step` x `step`.

    Raises:
        InputError: the file cannot be read.
    """
    with open_strips(path, max_pixels=ANY_SIZE) as strips:
        rows = step * max(1, CHUNK // (step * strips.width))
        parts = (on_paper(*strips.read(rows)) for _ in range(0, strips.height, rows))
        return np.concatenate([block_means(part, step) for part in parts])


def on_paper(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """`(h, w, 3)` in [0, 1] of pixels `(h, w, 1 or 3)` and their alpha `(h, w)`."""
    colours = np.broadcast_to(pixels.clip(0, 1), (*pixels.shape[:2], 3))
    return colours if alpha is None else _PAPER + alpha[..., None] * (colours - _PAPER)


def block_means(pixels: np.ndarray, step: int) -> np.ndarray:
    """`(h, w, C)` by means over `step` x `step` pixels; blocks at the edges may hold fewer."""
    if step == 1:
        return pixels
    for axis in (0, 1):
        starts = np.arange(0, pixels.shape[axis], step)
        counts = np.diff(starts, append=pixels.shape[axis]).astype(np.float32)
        sums = np.add.reduceat(pixels, starts, axis=axis)
        pixels = sums / (counts[:, None, None] if axis == 0 else counts[:, None])
    return pixels
