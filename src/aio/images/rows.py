"""The pixels of a photograph as a stream: from blocks of rows, as decoding yields them, to any number of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PEAKS = {"uint8": 255, "uint16": 65535, "float32": 1}


class Rows:
    """Samples `(h, W, C)` uint8, uint16 or float32 from the upper edge down; an even last channel is alpha.

    `blocks` gives them in whatever heights suit the file; the first is asked for at once.

    Raises:
        ValueError: there are none.
    """

    def __init__(self, blocks: Iterator[np.ndarray], height: int) -> None:
        self.height = height
        self._blocks = blocks
        first = next(blocks, None)
        if first is None:
            raise ValueError("the image holds no rows")
        self._left = first
        self._given = 0
        self.width, self.channels = first.shape[1:]
        self.dtype = first.dtype

    def read(self, rows: int) -> np.ndarray:
        """The next `rows`, or all that are left.

        Raises:
            ValueError: the blocks end before the image does.
        """
        wanted = min(rows, self.height - self._given)
        parts, missing = [self._left[:wanted]], wanted - min(wanted, len(self._left))
        self._left = self._left[wanted:]
        while missing:
            block = next(self._blocks, None)
            if block is None:
                raise ValueError(f"{missing} rows of pixels are missing")
            parts.append(block[:missing])
            self._left = block[missing:]
            missing -= len(parts[-1])
        self._given += wanted
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def as_floats(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels `(h, W, 1 or 3)` and alpha `(h, W)`, float32; integers in [0, 1].

    Raises:
        ValueError: floats that are not finite.
    """
    peak = PEAKS[samples.dtype.name]
    if peak == 1 and not np.isfinite(samples).all():
        raise ValueError("its samples are not all finite numbers")
    colours = samples.shape[2] - (samples.shape[2] + 1) % 2
    pixels = samples[..., :colours].astype(np.float32, order="C")
    alpha = samples[..., -1].astype(np.float32, order="C") if samples.shape[2] > colours else None
    for part in (pixels, alpha):
        if part is not None:
            part /= peak
    return pixels, alpha


def as_samples(pixels: np.ndarray, alpha: np.ndarray | None, bits: int, channels: int) -> np.ndarray:
    """`(h, W, channels)` of 8, 16 or 32 bits; alpha only where they have room for it, gray thrice if need be."""
    planes = [pixels] * (3 if pixels.shape[2] == 1 and channels >= 3 else 1)
    if alpha is not None and channels % 2 == 0:
        planes.append(alpha[..., None])
    samples = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)
    if bits == 32:
        return samples.astype(np.float32, copy=False)
    peak = (1 << bits) - 1
    scaled = np.clip(samples, 0, 1)
    scaled *= peak
    return np.rint(scaled, out=scaled).astype(np.uint8 if bits == 8 else np.uint16)
