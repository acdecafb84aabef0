"""Photographs of any size: memory and time by megapixels, and what tiles change. `python bench/restore.py`

The first table restores TIFF files of growing size, strip by strip, each in a process of its own, by a net of four 3x3
convolutions, 16 wide. With `--checkpoint C --photo P` a second table compares tiles with the whole, at that photo.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin would measure what else runs

import numpy as np
import tifffile
import torch
from torch import Tensor, nn

from aio.evaluation.memory import peak_memory
from aio.images import Photo, read_photo, write_photo
from aio.inference.photos import restore_large
from aio.inference.settings import Settings, Tile
from aio.inference.sizes import overlap_of
from aio.inference.tiles import restore_image
from aio.nets.base import RestorationNet
from aio.weights import open_net

MEGAPIXELS = (1, 16, 64, 256)
TILES = (128, 192, 256, 384, 512)
_GAIN = 32  # of the difference that is looked at


class FourConvolutions(RestorationNet):
    """Reaches four pixels far."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [part for width in (3, 16, 16) for part in (nn.Conv2d(width, 16, 3, padding=1), nn.ReLU())]
        self.body = nn.Sequential(*layers, nn.Conv2d(16, 3, 3, padding=1))

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        return image + 0.1 * self.body(image)


def write_picture(path: Path, side: int) -> None:
    """A TIFF of `side` x `side` in strips of 64 rows, none of which need the others in memory."""

    def strips() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        waves = np.sin(np.arange(side) / 37)[:, None] * (60, 50, 40) + 128
        for top in range(0, side, 64):
            rows = np.arange(top, min(top + 64, side))
            light = 1 + 0.3 * np.cos(rows / 53)
            yield (waves * light[:, None, None] + rng.normal(0, 10, (len(rows), side, 3))).clip(0, 255).astype(np.uint8)

    with tifffile.TiffWriter(path) as tiff:
        tiff.write(strips(), shape=(side, side, 3), dtype=np.uint8, photometric="rgb", rowsperstrip=64)


def restore_one(source: Path, tile: Tile) -> None:
    """In this process: prints wall seconds, CPU seconds, and the peak of its memory in bytes."""
    net = FourConvolutions().eval()
    wall, cpu = time.perf_counter(), time.process_time()
    restore_large(net, source, source.with_suffix(".out.tif"), Settings(tile=tile))
    print(time.perf_counter() - wall, time.process_time() - cpu, peak_memory())


def sizes(megapixels: list[int], tile: Tile) -> None:
    print("| megapixels | seconds a megapixel | CPU seconds a megapixel | peak memory, MiB |")
    print("| ---: | ---: | ---: | ---: |")
    for count in megapixels:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "picture.tif"
            write_picture(source, round(count**0.5 * 1024))
            command = [sys.executable, __file__, "--one", str(source), "--tile", str(tile)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
        wall, cpu, peak = map(float, ran.stdout.split())
        print(f"| {count} | {wall / count:.3f} | {cpu / count:.3f} | {peak / 2**20:.0f} |", flush=True)


def tiles(checkpoint: Path, source: Path, difference: Path | None, task: int | None) -> None:
    """PSNR of the tiled image against the whole; the last differences, enlarged, side by side in a picture."""
    net = open_net(checkpoint)
    image = torch.from_numpy(read_photo(source).pixels.transpose(2, 0, 1).copy())
    whole = restore_image(net, image, tile="none", task=task)
    size = f"{image.shape[2]} x {image.shape[1]}"
    print(
        f"| {type(net).__name__}, {source.name}, {size}: tile | overlap | PSNR to the whole, dB | largest difference |"
    )
    print("| ---: | ---: | ---: | ---: |")
    shown = []
    for tile in TILES:
        apart = restore_image(net, image, tile=tile, task=task) - whole
        psnr = -10 * apart.square().mean().log10().item()
        print(f"| {tile} | {overlap_of(net, tile)} | {psnr:.1f} | {apart.abs().max():.4f} |", flush=True)
        shown.append((0.5 + _GAIN * apart).clamp(0, 1))
    if difference is not None:
        write_photo(Photo(torch.cat(shown, dim=2).permute(1, 2, 0).contiguous().numpy()), difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=int, nargs="*", default=list(MEGAPIXELS))
    parser.add_argument("--tile", type=lambda word: int(word) if word.isdecimal() else word, default="auto")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--task", type=int, help="id of the degradation that the net is told")
    parser.add_argument("--difference", type=Path, help=f"where the differences, {_GAIN} times as large, are drawn")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        restore_one(options.one, options.tile)
        return
    if options.megapixels:
        sizes(options.megapixels, options.tile)
        print()
    if options.checkpoint and options.photo:
        tiles(options.checkpoint, options.photo, options.difference, options.task)


if __name__ == "__main__":
    main()
