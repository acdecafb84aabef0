"""What the servers of SIDD and DND score: restored blocks of images whose ground truth they keep, as MATLAB files.

Each image's blocks are kept as soon as they are restored, so that a killed submission goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from rich.progress import track
from scipy.io import savemat
from torch import Tensor

from aio.data.pairs import to_tensor
from aio.errors import InputError
from aio.evaluation.blocks import BENCHMARK, DND_BOXES, DND_IMAGES, dnd_boxes, dnd_image, find_file, read_blocks
from aio.files import atomic_write, write_text
from aio.inference.tiles import Tile, restore_image
from aio.nets.base import RestorationNet

_METHOD: Final = "method.txt"


def submit_sidd(
    net: RestorationNet, root: Path, out: Path, *, fingerprint: str, task: int | None = None, tile: Tile = "none"
) -> Path:
    """Writes `SubmitSrgb.mat`: `DenoisedBlocksSrgb`, a cell of 8-bit blocks for each of `BenchmarkNoisyBlocksSrgb`.

    Raises:
        InputError: the benchmark's file is not below `root`, or `out` holds another method's blocks.
    """
    noisy = read_blocks(find_file(root, f"{BENCHMARK}.mat"), BENCHMARK)
    _claim(out, fingerprint)
    cells = np.empty(noisy.shape[:2], dtype=object)
    for image in track(range(len(noisy)), description="SIDD"):
        part = out / "parts" / f"{image + 1:02d}.npy"
        if not part.exists():
            restored = [_to_8_bit(restore_image(net, to_tensor(block), task=task, tile=tile)) for block in noisy[image]]
            with atomic_write(part) as file:
                np.save(file, np.stack(restored))
        cells[image] = list(np.load(part))
    target = out / "SubmitSrgb.mat"
    with atomic_write(target) as file:
        savemat(file, {"DenoisedBlocksSrgb": cells, "TimeMPSrgb": np.nan}, do_compression=True)
    return target


def submit_dnd(
    net: RestorationNet, root: Path, out: Path, *, fingerprint: str, task: int | None = None, tile: Tile = "none"
) -> Path:
    """Writes `0001.mat` to `0050.mat`, each with `Idenoised`, a cell of 20 float boxes, as DND's server takes sRGB.

    Raises:
        InputError: a file is not below `root`, or `out` holds another method's boxes.
    """
    for image in range(DND_IMAGES):  # before the long work
        find_file(root, f"{image + 1:04d}.mat")
    _claim(out, fingerprint)
    for image in track(range(DND_IMAGES), description="DND"):
        target = out / f"{image + 1:04d}.mat"
        if target.exists():
            continue
        noisy = dnd_image(root, image)
        cells = np.empty(DND_BOXES, dtype=object)
        for index, (rows, columns) in enumerate(dnd_boxes(root, image)):
            cells[index] = restore_image(net, noisy[:, rows, columns], task=task, tile=tile).permute(1, 2, 0).numpy()
        with atomic_write(target) as file:
            savemat(file, {"Idenoised": cells, "israw": False, "eval_version": "1.0"}, do_compression=True)
    return out


def _claim(out: Path, fingerprint: str) -> None:
    """What lies in a folder was restored by one method."""
    note = out / _METHOD
    if note.exists() and note.read_text() != fingerprint:
        raise InputError(f"{out}: holds what another checkpoint or setting restored; give another -o")
    write_text(note, fingerprint)


def _to_8_bit(image: Tensor) -> np.ndarray:
    return (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
