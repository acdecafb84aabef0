"""Photographs beside which lies a depth map: haze is laid over that depth instead of one made up.

For `FOLDER/clear/0001.png` it is `FOLDER/depth/0001.png`: of 16 bits in thousandths, of 8 bits in 255ths. The unit is
that of beta, as in RESIDE, where depth is at most about 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from aio.data.cache import DecodedCache
from aio.data.degradations import Degrade, with_depth
from aio.data.pairs import SynthesisedPairs, random_crop, to_unit
from aio.images import SUFFIXES
from aio.vocabulary import Degradation

FOLDER: Final = "depth"
_THOUSANDTHS, _LEVELS = 1000, 255


def depth_maps(photos: Iterable[Path]) -> dict[Path, Path]:
    """The depth map of each photograph that has one."""
    photos = list(photos)
    folders = {photo.parent.with_name(FOLDER) for photo in photos}
    maps = {
        path.with_suffix(""): path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES
    }
    found = ((photo, maps.get(photo.parent.with_name(FOLDER) / photo.stem)) for photo in photos)
    return {photo: path for photo, path in found if path is not None}


class DepthPairs(SynthesisedPairs):
    """Clean photographs, some with a depth: what is made over that has 8 bits, as the field's hazy files have.

    Args:
        depths: see `depth_maps`; a photograph without one is degraded as `SynthesisedPairs` does.
    """

    def __init__(
        self,
        *,
        task: Degradation,
        photos: Sequence[Path],
        degrade: Degrade,
        cache: DecodedCache,
        depths: Mapping[Path, Path],
    ) -> None:
        super().__init__(task=task, photos=photos, degrade=degrade, cache=cache)
        self.depths = depths

    def files(self) -> list[tuple[Path, ...]]:
        return [(photo, self.depths[photo]) if photo in self.depths else (photo,) for photo in self.photos]

    def stored(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor | None, Tensor]:
        photo = self.photos[index]
        if photo not in self.depths:
            return super().stored(index, generator, patch_size)
        image, depth = self.cache[photo], self.cache[self.depths[photo]]
        if patch_size is not None:
            crop = random_crop(image, patch_size, generator)
            image, depth = crop.of(image), crop.of(depth)
        clean = torch.from_numpy(image.transpose(2, 0, 1).copy())
        degraded = with_depth(self.degrade, distance(depth))(to_unit(clean), generator)
        return (degraded * _LEVELS).round().clamp(0, _LEVELS).byte(), clean

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        degraded, clean = self.stored(index, generator, patch_size)
        unit = to_unit(clean)
        return (self.degrade(unit, generator) if degraded is None else to_unit(degraded)), unit

    def degrade_at(self, index: int, rows: slice, columns: slice) -> Degrade:
        photo = self.photos[index]
        if photo not in self.depths:
            return self.degrade
        return with_depth(self.degrade, distance(self.cache[self.depths[photo]][rows, columns]))


def distance(image: np.ndarray) -> Tensor:
    """`(H, W)` float32 of a depth map `(H, W, 3)`, uint16 in thousandths or uint8 in 255ths."""
    unit = _THOUSANDTHS if image.dtype == np.uint16 else _LEVELS
    return torch.from_numpy(image[..., 0].astype(np.float32) / unit)
