"""Samples of one task: synthesised from clean photographs, or read from paired folders.

Both give `(degraded, clean)` float32 `(3, H, W)` in [0, 1]; all randomness comes from the generator passed in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from aio.data.cache import DecodedCache
from aio.data.degradations import Degrade
from aio.data.sources import Pair
from aio.vocabulary import Degradation


class TaskSource(Protocol):
    """Where the samples of one degradation come from."""

    task: Degradation

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Of the degraded image: seeds its evaluation noise and stands in tables."""
        ...

    def files(self) -> list[tuple[Path, ...]]:
        """The files behind each sample; those of one sample are of equal size."""
        ...

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        """Degraded and clean image; an augmented random crop, or the whole image for `patch_size=None`."""
        ...


class SynthesisedPairs:
    """Clean photographs, degraded on the fly after crop and flip, as the field does."""

    def __init__(self, *, task: Degradation, photos: Sequence[Path], degrade: Degrade, cache: DecodedCache) -> None:
        self.task, self.photos, self.degrade, self.cache = task, photos, degrade, cache
        self._names = unique_names(photos)

    def __len__(self) -> int:
        return len(self.photos)

    def name(self, index: int) -> str:
        return self._names[index]

    def files(self) -> list[tuple[Path, ...]]:
        return [(photo,) for photo in self.photos]

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        photo = self.cache[self.photos[index]]
        if patch_size is not None:
            (photo,) = crop_and_flip([photo], patch_size, generator)
        clean = to_tensor(photo)
        return self.degrade(clean, generator), clean


class FolderPairs:
    """Pairs of files, cropped and flipped together."""

    def __init__(self, *, task: Degradation, pairs: Sequence[Pair], cache: DecodedCache) -> None:
        self.task, self.pairs, self.cache = task, pairs, cache
        self._names = unique_names([degraded for degraded, _ in pairs])

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self._names[index]

    def files(self) -> list[tuple[Path, ...]]:
        return list(self.pairs)

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        images = [self.cache[path] for path in self.pairs[index]]
        if patch_size is not None:
            images = crop_and_flip(images, patch_size, generator)
        degraded, clean = (to_tensor(image) for image in images)
        return degraded, clean


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A name per file: its stem where that tells all of them apart, else its path below their common folder."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    common = os.path.commonpath(paths)
    return [path.relative_to(common).as_posix() for path in paths]


def crop_and_flip(images: list[np.ndarray], size: int, generator: torch.Generator) -> list[np.ndarray]:
    """The same random square and one of the eight flips and rotations of each `(H, W, C)` array, as views."""
    height, width = images[0].shape[:2]
    top, left, mode = (_draw(n, generator) for n in (height - size + 1, width - size + 1, 8))
    return [eightfold(image[top : top + size, left : left + size], mode) for image in images]


def eightfold(image: np.ndarray, mode: int) -> np.ndarray:
    """The field's augmentation `mode` of `(H, W, C)`: `mode // 2` quarter turns, then up-down if `mode` is odd."""
    turned = np.rot90(image, mode // 2)
    return np.flipud(turned) if mode % 2 else turned


def to_tensor(image: np.ndarray) -> Tensor:
    """`(H, W, 3)` uint8 to `(3, H, W)` float32 in [0, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy()).float().div_(255)


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
