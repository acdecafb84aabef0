"""Photographs through a net: every depth, gray and alpha kept; files one by one, a bad one never stops the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track

from aio.errors import InputError
from aio.images import Photo, output_format, read_photo, write_photo
from aio.inference.tiles import Tile, restore_image
from aio.nets.base import RestorationNet


def restore_photo(net: RestorationNet, photo: Photo, *, task: int | None = None, tile: Tile = "auto") -> Photo:
    """`photo` with its pixels restored; all else is kept.

    A gray photograph goes through a colour net as three equal channels, and their mean comes back. A gray net
    restores a colour photograph's luma. Where the net enlarges, alpha is enlarged too.

    Raises:
        InputError: the net takes neither colour nor gray images.
    """
    if net.in_channels not in (1, 3):
        raise InputError(f"{type(net).__name__} takes {net.in_channels} channels: a photograph has 1 or 3")
    channels = photo.pixels.shape[2]
    pixels = np.repeat(photo.pixels, 3, axis=2) if channels < net.in_channels else photo.pixels
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    restored = restore_image(net, image, task=task, tile=tile).permute(1, 2, 0).numpy()
    alpha = None if photo.alpha is None else _resized(photo.alpha, restored.shape[:2])
    if restored.shape[2] > channels:
        restored = restored.mean(axis=2, keepdims=True)
    return replace(photo, pixels=restored, alpha=alpha)


def restore_files(
    net: RestorationNet, jobs: Sequence[tuple[Path, Path]], *, task: int | None = None, tile: Tile = "auto"
) -> list[str]:
    """Restores each (photograph, target); returns what could not be restored, a line each."""
    failures = []
    for source, target in track(jobs, description="restoring"):
        try:
            photo = read_photo(source)
            output_format(photo, target, scale=net.scale)  # says what cannot be written before the long work
            write_photo(restore_photo(net, photo, task=task, tile=tile), target)
        except (InputError, OSError) as error:
            failures.append(str(error))
    return failures


def _resized(alpha: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`alpha (H, W)` at the size that super-resolution gave the pixels, bicubic."""
    if alpha.shape == shape:
        return alpha
    height, width = shape
    enlarged = Image.fromarray(alpha).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(enlarged).clip(0, 1)
