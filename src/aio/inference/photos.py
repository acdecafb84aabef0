"""Photographs through a net, in memory or strip by strip from file to file: depth, gray, alpha and metadata kept."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from aio.errors import InputError
from aio.images import LARGEST, Photo, StripReader, create_strips, open_strips
from aio.inference.grid import Progress
from aio.inference.settings import Settings
from aio.inference.tiles import Restoration, restore_image
from aio.nets.base import RestorationNet

STREAMED_FROM: Final = 2**24  # pixels; a photograph of so many goes from file to file
_WRITTEN: Final = 16  # rows handed on at once


def restore_photo(net: RestorationNet, photo: Photo, settings: Settings, *, progress: Progress | None = None) -> Photo:
    """`photo` with its pixels restored; all else is kept.

    A gray photograph goes through a colour net as three equal channels, and their mean comes back. A gray net
    restores a colour photograph's luma. Where the net enlarges, alpha is enlarged too.

    Raises:
        InputError: the net takes neither colour nor gray images, or the photograph does not fit into memory.
    """
    _check_channels(net)
    restored = restore_image(
        net,
        _planes(photo.pixels, photo.alpha),
        task=settings.task,
        tile=settings.tile,
        strength=settings.strength,
        tta=settings.tta,
        batch=settings.batch,
        alpha=photo.alpha is not None,
        progress=progress,
    )
    pixels, alpha = _pixels(restored, photo.alpha is not None)
    return replace(photo, pixels=pixels, alpha=alpha)


def restore_large(
    net: RestorationNet,
    source: Path,
    target: Path,
    settings: Settings,
    *,
    max_pixels: int = LARGEST,
    progress: Progress | None = None,
) -> None:
    """Restores the photograph `source` into the file `target`: what `restore_photo` makes of it, by bands of tiles.

    Memory does not grow with the photograph's height, where its format can be read and written by strips. `target`
    appears when all of it is written. `progress` is called with (tiles done, tiles in all).

    Raises:
        InputError: as `restore_photo`; the source cannot be read, or the target's format cannot hold the result.
        OSError: the target cannot be written.
    """
    _check_channels(net)
    with ExitStack() as files:
        first = files.enter_context(ExitStack())
        strips = first.enter_context(open_strips(source, max_pixels=max_pixels))
        restoration = Restoration(net, (strips.height, strips.width), settings, alpha=strips.has_alpha)
        sink = files.enter_context(
            create_strips(
                target,
                strips.head,
                height=strips.height * net.scale,
                width=strips.width * net.scale,
                channels=strips.channels,
                has_alpha=strips.has_alpha,
            )
        )
        if restoration.guided:
            restoration.look(_StripRows(strips))
            first.close()  # some formats are held whole
            strips = files.enter_context(open_strips(source, max_pixels=max_pixels))
        for part in restoration.rows(_StripRows(strips), progress):
            for piece in part.split(_WRITTEN, dim=1):
                sink.write(*_pixels(piece, strips.has_alpha))


class _StripRows:
    """The rows of a file, alpha as their last channel."""

    def __init__(self, strips: StripReader) -> None:
        self.channels, self.height, self.width = strips.channels + strips.has_alpha, strips.height, strips.width
        self._strips = strips

    def read(self, rows: int) -> Tensor:
        return _planes(*self._strips.read(rows))


def _check_channels(net: RestorationNet) -> None:
    if net.in_channels not in (1, 3):
        raise InputError(f"{type(net).__name__} takes {net.in_channels} channels: a photograph has 1 or 3")


def _planes(pixels: np.ndarray, alpha: np.ndarray | None) -> Tensor:
    """`(C, H, W)` of `(H, W, C)`, with alpha behind the colours."""
    planes = [torch.from_numpy(np.require(plane, requirements="W")) for plane in (pixels, alpha) if plane is not None]
    colours = planes[0].permute(2, 0, 1)
    return colours if alpha is None else torch.cat([colours, planes[1][None]])


def _pixels(planes: Tensor, has_alpha: bool) -> tuple[np.ndarray, np.ndarray | None]:
    colours = planes[:-1] if has_alpha else planes
    alpha = planes[-1].contiguous().numpy() if has_alpha else None
    return colours.permute(1, 2, 0).contiguous().numpy(), alpha
