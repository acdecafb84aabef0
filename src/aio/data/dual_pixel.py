"""Pairs of a dual-pixel camera: what the left and the right half of each pixel saw, and the sharp image.

Abuolaim and Brown, Defocus Deblurring Using Dual-Pixel Data, ECCV 2020; their DPDD holds 16-bit PNG.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aio.data.cache import DecodedCache
from aio.data.discovery import Views
from aio.data.pairs import random_crop, to_unit, unique_names
from aio.errors import InputError
from aio.vocabulary import Degradation


class DualPixelPairs:
    """As `FolderPairs`, with degraded images of six channels: the left view's, then the right one's.

    Flips and quarter turns treat both views alike, as Restormer's training does, though real ones differ sideways.
    """

    degrade = None

    def __init__(self, *, task: Degradation, views: Sequence[Views], cache: DecodedCache) -> None:
        self.task, self.views, self.cache = task, views, cache
        self._names = unique_names([left for left, _, _ in views])

    def __len__(self) -> int:
        return len(self.views)

    def name(self, index: int) -> str:
        return self._names[index]

    def files(self) -> list[tuple[Path, ...]]:
        return list(self.views)

    def stored(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        """Degraded `(6, H, W)` and clean `(3, H, W)`, uint8 or uint16 as in the files.

        Raises:
            InputError: one view has 8 bits and the other 16.
        """
        images = self._images(index)
        if patch_size is not None:
            crop = random_crop(images[0], patch_size, generator)
            images = [crop.of(image) for image in images]
        return _stacked(images[:2]), _stacked(images[2:])

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        """Degraded `(6, H, W)` and clean `(3, H, W)` in [0, 1]."""
        degraded, clean = (to_unit(image) for image in self.stored(index, generator, patch_size))
        return degraded, clean

    def two_views(self, index: int, generator: torch.Generator, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        images = self._images(index)
        first, second = (random_crop(images[0], patch_size, generator) for _ in range(2))
        chosen = ((first, images[:2]), (first, images[2:]), (second, images[:2]))
        degraded, clean, other = (to_unit(_stacked([crop.of(image) for image in part])) for crop, part in chosen)
        return degraded, clean, other

    def _images(self, index: int) -> list[np.ndarray]:
        left, right, clean = (self.cache[path] for path in self.views[index])
        if left.dtype != right.dtype:
            files = " and ".join(map(str, self.views[index][:2]))
            raise InputError(f"{files}: {left.dtype} and {right.dtype}, expected as many bits in both views")
        return [left, right, clean]


def _stacked(images: Sequence[np.ndarray]) -> Tensor:
    """All channels `(C, H, W)` of images `(H, W, 3)`."""
    return torch.from_numpy(np.concatenate([image.transpose(2, 0, 1) for image in images]))
