"""Tiles through a net: channels, strength, turned and mirrored forms, and what to do when memory runs out."""

from __future__ import annotations

import logging
from typing import Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from aio.colour import luma, with_luma
from aio.errors import InputError
from aio.inference.grid import grid, restored_rows
from aio.inference.memory import is_out_of_memory
from aio.inference.replicas import copy_on
from aio.inference.rows import ImageRows
from aio.inference.settings import Settings
from aio.inference.sizes import affordable_pixels, overlap_of, smaller_sides
from aio.nets.base import RestorationNet, restore_any_size
from aio.resize import bicubic

_LOG: Final = logging.getLogger(__name__)
# What memory has allowed so far: the side of a tile, and the pixels of a batch of tiles.
_LIMITS: WeakKeyDictionary[RestorationNet, int] = WeakKeyDictionary()
_PIXELS: WeakKeyDictionary[RestorationNet, int] = WeakKeyDictionary()


class TileRestorer:
    """Takes tiles `(B, C, h, w)` float32 on the host to `(B, C', s h, s w)`, clamped to [0, 1].

    A gray tile goes through a colour net as three equal channels, and their mean comes back. Of a colour tile a net of
    one channel restores the luma. Where there is alpha, it is the last channel, and is only enlarged.

    A batch that does not fit into memory is taken by halves. A tile that does not fit is taken in tiles of half its
    side, and so on down to `SMALLEST_TILE`; a net on a GPU then goes on with a copy of itself on the CPU. What has been
    found to fit is remembered with the net.
    """

    def __init__(self, net: RestorationNet, settings: Settings, *, alpha: bool = False) -> None:
        self._net, self._settings, self._alpha = net, settings, alpha
        self._side = None if settings.tile == "none" else _LIMITS.get(net)

    def __call__(self, tiles: Tensor) -> Tensor:
        """Raises InputError: not even the smallest tile fits, or the whole where only the whole was wanted."""
        height, width = tiles.shape[2:]
        while self._side is None or max(height, width) <= self._side:
            if (most := self._together(height * width)) < len(tiles):
                return torch.cat([self(part) for part in tiles.split(most)])
            try:
                return self._restored(tiles)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._yield_memory(*tiles.shape)  # outside of the handler, which holds what the failed pass had made
        return torch.stack([self._in_smaller(tile, self._side) for tile in tiles])

    def _together(self, pixels: int) -> int:
        """How many tiles of so many pixels memory has allowed at once; as many as there are where it never ran out."""
        return max(1, _PIXELS.get(self._net, 1 << 62) // pixels)

    def _restored(self, tiles: Tensor) -> Tensor:
        if not self._alpha:
            return self._colours(tiles)
        alpha = _enlarged(tiles[:, -1:], self._net.scale).clamp_(0, 1)
        return torch.cat([self._colours(tiles[:, :-1]), alpha], dim=1)

    def _colours(self, images: Tensor) -> Tensor:
        restored = _through(self._net, images, self._settings)
        if self._settings.strength < 1:
            restored = torch.lerp(_enlarged(images, self._net.scale), restored, self._settings.strength)
        return restored.clamp_(0, 1)

    def _in_smaller(self, tile: Tensor, side: int) -> Tensor:
        height, width = tile.shape[1:]
        tiles = grid((height, width), (side, side), overlap_of(self._net, side), self._net.multiple_of)
        parts = restored_rows(ImageRows(tile), lambda part, *_: self(part), tiles, scale=self._net.scale)
        return torch.cat([part.clone() for part in parts], dim=1)

    def _yield_memory(self, count: int, channels: int, height: int, width: int) -> None:
        device = next(self._net.parameters()).device
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if count > 1:
            _PIXELS[self._net] = count // 2 * height * width
            _LOG.warning("%d tiles at once do not fit into memory: going on with %d", count, count // 2)
            return
        if self._settings.tile == "none":
            raise InputError(f"tile none: {width} x {height} pixels do not fit into memory; try auto or a number")
        smaller = [side for side in smaller_sides(max(height, width)) if self._takes(side, max(height, width))]
        if smaller:
            self._side = _LIMITS[self._net] = smaller[0]
            _LOG.warning("tiles of %d pixels do not fit into memory: going on with %d", max(height, width), self._side)
        elif device.type != "cpu":
            self._net = copy_on(self._net, torch.device("cpu"))
            self._side = max(height, width, int(affordable_pixels(self._net, torch.device("cpu")) ** 0.5))
            _LOG.warning(
                "%d x %d pixels do not fit into the memory of %s: going on with the CPU", width, height, device
            )
        else:
            raise InputError(f"not even {width} x {height} pixels fit into memory; free some, or take a smaller net")

    def _takes(self, side: int, failed: int) -> bool:
        """Whether tiles of `side` can be laid with their overlap so that all are smaller than `failed`."""
        step, overlap = self._net.multiple_of, overlap_of(self._net, side)
        return max(length for _, length in grid((failed, failed), (side, side), overlap, step).rows) <= side


def _through(net: RestorationNet, images: Tensor, settings: Settings) -> Tensor:
    if (net.in_channels, images.shape[1]) == (1, 3):
        return with_luma(images, _passed(net, luma(images), settings).clamp_(0, 1))
    if (net.in_channels, images.shape[1]) == (3, 1):
        return _passed(net, images.expand(-1, 3, -1, -1), settings).mean(dim=1, keepdim=True)
    return _passed(net, images, settings)


def _passed(net: RestorationNet, images: Tensor, settings: Settings) -> Tensor:
    """`images` through the net, or the mean of their eight turned and mirrored forms (self-ensemble, EDSR 2017)."""
    if not settings.tta:
        return _run(net, images, settings.task)
    total = torch.zeros(())
    for turns in range(4):
        turned = images.rot90(turns, (2, 3))
        total = total + _run(net, turned, settings.task).rot90(-turns, (2, 3))
        total = total + _run(net, turned.flip(3), settings.task).flip(3).rot90(-turns, (2, 3))
    return total / 8


def _run(net: RestorationNet, images: Tensor, task: int | None) -> Tensor:
    device = next(net.parameters()).device
    ids = None if task is None else torch.full((len(images),), task, device=device)
    own = images.clone(memory_format=torch.contiguous_format)  # a net may give back, or change, what it gets
    return restore_any_size(net, own.to(device), ids).float().cpu()


def _enlarged(images: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return images.clone()
    return bicubic(images, (images.shape[2] * scale, images.shape[3] * scale))
