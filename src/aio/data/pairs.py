"""Samples of one task: synthesised from clean photographs, or read from paired folders.

Both give `(degraded, clean)` float32 `(3, H, W)` in [0, 1], for super-resolution the clean image larger by its scale;
all randomness comes from the generator passed in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from aio.data.cache import DecodedCache
from aio.data.degradations import Degrade
from aio.data.discovery import Pair
from aio.vocabulary import SCALES, Degradation


class TaskSource(Protocol):
    """Where the samples of one degradation come from."""

    task: Degradation
    cache: DecodedCache

    @property
    def degrade(self) -> Degrade | None:
        """What makes degraded images of clean ones; None where both are files."""
        ...

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Of the degraded image: seeds its evaluation noise and stands in tables."""
        ...

    def files(self) -> list[tuple[Path, ...]]:
        """The files behind each sample; those of one sample are of equal size."""
        ...

    def stored(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor | None, Tensor]:
        """Degraded and clean image as their files hold them, uint8 or uint16; None for one that `degrade` is to make.

        An augmented random crop, or the whole image for `patch_size=None`, which draws nothing. `patch_size` is the
        side of the clean crop.
        """
        ...

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        """What is `stored` as float32, with the degraded image made where it is not a file."""
        ...

    def two_views(self, index: int, generator: torch.Generator, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Degraded and clean crop, and a second crop of the same degraded image, each augmented by itself."""
        ...


class Crop(NamedTuple):
    """A square of an image, and which of the eight flips and rotations it undergoes."""

    top: int
    left: int
    size: int
    mode: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """The crop of `(H, W, C)`, as a view; what a smaller image lacks below and at the right is its reflection.

        Its last row and column stand twice then, as in Restormer's loader.
        """
        square = image[self.top : self.top + self.size, self.left : self.left + self.size]
        lacking = [(0, self.size - side) for side in square.shape[:2]]
        if any(count for _, count in lacking):
            square = np.pad(square, [*lacking, (0, 0)], mode="symmetric")
        return eightfold(square, self.mode)

    def enlarged(self, scale: int) -> Crop:
        """The same square of an image `scale` times as large."""
        return Crop(self.top * scale, self.left * scale, self.size * scale, self.mode)


class SynthesisedPairs:
    """Clean photographs, degraded on the fly after crop and flip, as the field does."""

    def __init__(self, *, task: Degradation, photos: Sequence[Path], degrade: Degrade, cache: DecodedCache) -> None:
        self.task, self.photos, self.degrade, self.cache = task, photos, degrade, cache
        self._names = unique_names(photos)
        self._scale = SCALES.get(task, 1)

    def __len__(self) -> int:
        return len(self.photos)

    def name(self, index: int) -> str:
        return self._names[index]

    def files(self) -> list[tuple[Path, ...]]:
        return [(photo,) for photo in self.photos]

    def stored(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor | None, Tensor]:
        photo = self.cache[self.photos[index]]
        if patch_size is not None:
            photo = random_crop(photo, patch_size, generator).of(photo)
        return None, _as_tensor(_multiple_of(photo, self._scale))

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        clean = to_unit(self.stored(index, generator, patch_size)[1])
        return self.degrade(clean, generator), clean

    def two_views(self, index: int, generator: torch.Generator, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        photo = self.cache[self.photos[index]]
        first, second = (random_crop(photo, patch_size, generator) for _ in range(2))
        top, left = min(first.top, second.top), min(first.left, second.left)
        # What holds both crops is degraded at once: the same rain falls in them, at another place.
        bottom, right = (max(a, b) + patch_size for a, b in zip(first[:2], second[:2], strict=True))
        clean = photo[top:bottom, left:right]
        degrade = self.degrade_at(index, slice(top, bottom), slice(left, right))
        degraded = degrade(to_tensor(clean), generator).permute(1, 2, 0).numpy()
        first, second = (c._replace(top=c.top - top, left=c.left - left) for c in (first, second))
        return _as_tensor(first.of(degraded)), to_tensor(first.of(clean)), _as_tensor(second.of(degraded))

    def degrade_at(self, index: int, rows: slice, columns: slice) -> Degrade:
        """What degrades that part of a photograph."""
        return self.degrade


class FolderPairs:
    """Pairs of files, cropped and flipped together; in super-resolution the clean one larger by the scale.

    Rows and columns of it that are too few for one more degraded pixel are left out.
    """

    degrade: Degrade | None = None

    def __init__(self, *, task: Degradation, pairs: Sequence[Pair], cache: DecodedCache) -> None:
        self.task, self.pairs, self.cache = task, pairs, cache
        self._names = unique_names([degraded for degraded, _ in pairs])
        self._scale = SCALES.get(task, 1)

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self._names[index]

    def files(self) -> list[tuple[Path, ...]]:
        return list(self.pairs)

    def stored(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        degraded, clean = self._images(index)
        if patch_size is not None:
            crop = random_crop(degraded, patch_size // self._scale, generator)
            degraded, clean = crop.of(degraded), crop.enlarged(self._scale).of(clean)
        return _as_tensor(degraded), _as_tensor(clean)

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        degraded, clean = (to_unit(image) for image in self.stored(index, generator, patch_size))
        return degraded, clean

    def two_views(self, index: int, generator: torch.Generator, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        degraded, clean = self._images(index)
        first, second = (random_crop(degraded, patch_size // self._scale, generator) for _ in range(2))
        large = first.enlarged(self._scale)
        return to_tensor(first.of(degraded)), to_tensor(large.of(clean)), to_tensor(second.of(degraded))

    def _images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        degraded, clean = (self.cache[path] for path in self.pairs[index])
        height, width = (self._scale * side for side in degraded.shape[:2])
        return degraded, clean[:height, :width]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A name per file: its stem where that tells all of them apart, else its path below their common folder."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    common = os.path.commonpath(paths)
    return [path.relative_to(common).as_posix() for path in paths]


def random_crop(image: np.ndarray, size: int, generator: torch.Generator) -> Crop:
    """A random square of `(H, W, C)`, to be flipped and rotated; a smaller image it covers whole."""
    height, width = image.shape[:2]
    choices = (max(1, height - size + 1), max(1, width - size + 1), 8)
    unit = torch.rand(3, generator=generator).tolist()  # one call: three of `randint` take five times as long
    top, left, mode = (int(u * n) for u, n in zip(unit, choices, strict=True))
    return Crop(top, left, size, mode)


def eightfold(image: np.ndarray, mode: int) -> np.ndarray:
    """The field's augmentation `mode` of `(H, W, C)`: `mode // 2` quarter turns, then up-down if `mode` is odd."""
    turned = np.rot90(image, mode // 2)
    return np.flipud(turned) if mode % 2 else turned


def to_tensor(image: np.ndarray) -> Tensor:
    """`(H, W, 3)` uint8 or uint16 to `(3, H, W)` float32 in [0, 1]."""
    return to_unit(_as_tensor(image))


def to_unit(image: Tensor) -> Tensor:
    """Whole numbers, of uint8 or uint16, as float32 in [0, 1]."""
    return image.float().div_(torch.iinfo(image.dtype).max)


def _as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


def _multiple_of(image: np.ndarray, multiple: int) -> np.ndarray:
    """`(H, W, C)` without the last rows and columns that are too many."""
    height, width = image.shape[:2]
    return image[: height // multiple * multiple, : width // multiple * multiple]
