"""The sets of real camera noise that come as MATLAB files: SIDD's blocks, and DND's boxes.

SIDD: Abdelhamed et al., CVPR 2018; `Validation{Noisy,Gt}BlocksSrgb.mat`, 40 images x 32 blocks of 256 x 256, 8 bit.
DND: Plotz and Roth, CVPR 2017; `info.mat` and `images_srgb/0001.mat` ..., 50 images x 20 boxes, read by h5py.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from torch import Tensor

from aio.data.pairs import to_tensor
from aio.errors import InputError
from aio.vocabulary import Degradation

VALIDATION: Final = ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")
BENCHMARK: Final = "BenchmarkNoisyBlocksSrgb"
DND_IMAGES: Final = 50
DND_BOXES: Final = 20


class SiddBlocks:
    """SIDD's validation blocks as a source of pairs: `(3, 256, 256)` each, by image and block."""

    task: Degradation = "denoise_real"

    def __init__(self, *, root: Path) -> None:
        self.paths = tuple(find_file(root, f"{name}.mat") for name in VALIDATION)
        images, blocks = read_blocks(self.paths[0], VALIDATION[0]).shape[:2]
        self.shape = (images, blocks)

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def name(self, index: int) -> str:
        image, block = divmod(index, self.shape[1])
        return f"{image + 1:02d}-{block + 1:02d}"

    def files(self) -> list[tuple[Path, ...]]:
        return [self.paths] * len(self)

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]:
        image, block = divmod(index, self.shape[1])
        noisy, clean = (
            to_tensor(read_blocks(path, name)[image, block]) for path, name in zip(self.paths, VALIDATION, strict=True)
        )
        return noisy, clean


def find_file(root: Path, name: str) -> Path:
    """The file `name` anywhere below `root`.

    Raises:
        InputError: there is none.
    """
    found = sorted(root.rglob(name))
    if not found:
        raise InputError(f"{root}: expected {name} in it or below it")
    return found[0]


@lru_cache(maxsize=2)
def read_blocks(path: Path, name: str) -> np.ndarray:
    """SIDD's array `name` in `path`: `(images, blocks, H, W, 3)` uint8.

    Raises:
        InputError: the file cannot be read, or does not hold it.
    """
    try:
        blocks = loadmat(path).get(name)
    except (OSError, ValueError, NotImplementedError, TypeError, MatReadError) as error:
        raise InputError(f"{path}: expected a MATLAB 5 file ({error})") from error
    if blocks is None or blocks.ndim != 5 or blocks.dtype != np.uint8:
        raise InputError(f"{path}: expected {name}, 8-bit blocks of shape (images, blocks, H, W, 3)")
    return blocks


def dnd_boxes(root: Path, image: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the boxes of DND's image `image`, which counts from 0."""
    with _h5py().File(find_file(root, "info.mat")) as file:
        boxes = np.asarray(file[file["info"]["boundingboxes"][0][image]]).T.astype(int)
    return [(slice(top - 1, bottom), slice(left - 1, right)) for top, left, bottom, right in boxes]


def dnd_image(root: Path, image: int) -> Tensor:
    """DND's noisy image `image` of `(3, H, W)` in [0, 1]."""
    with _h5py().File(find_file(root, f"{image + 1:04d}.mat")) as file:
        return torch.from_numpy(np.asarray(file["InoisySRGB"]).transpose(0, 2, 1).astype(np.float32))


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise InputError("DND's files are read by h5py: pip install 'aio[dnd]'") from error
    return h5py
