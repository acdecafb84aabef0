"""Photographs to try the page with: scikit-image's, degraded by this package."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import skimage
import torch
from PIL import ImageOps

from aio.data.degradations import DEGRADE
from aio.images import read_rgb
from aio.pictures import to_picture
from aio.vocabulary import Degradation

_PHOTOS: Final[dict[str, Degradation]] = {
    "chelsea.png": "denoise_25",
    "astronaut.png": "derain",
    "rocket.jpg": "dehaze",
    "coffee.png": "lowlight",
}
_THUMBNAIL: Final = (240, 160)


class Example(NamedTuple):
    """A degraded photograph, a small picture of it, and what it suffers from."""

    photo: Path
    thumbnail: Path
    task: Degradation


def draw_examples(folder: Path) -> list[Example]:
    """Writes them below `folder`, always the same."""
    photos = Path(skimage.__file__).parent / "data"
    return [_draw(photos / name, task, folder) for name, task in _PHOTOS.items()]


def _draw(source: Path, task: Degradation, folder: Path) -> Example:
    clean = torch.tensor(read_rgb(source)).permute(2, 0, 1).float() / 255
    degraded = DEGRADE[task](clean, torch.Generator().manual_seed(0))
    picture = to_picture(degraded)
    example = Example(folder / f"{source.stem}_{task}.png", folder / f"{source.stem}_small.png", task)
    picture.save(example.photo)
    ImageOps.fit(picture, _THUMBNAIL).save(example.thumbnail)
    return example
