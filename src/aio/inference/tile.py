"""One tile through a net: channels, strength, turned and mirrored forms, and what to do when memory runs out."""

from __future__ import annotations

import copy
import logging
from typing import Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from aio.colour import luma, with_luma
from aio.errors import InputError
from aio.inference.grid import grid, restored_rows
from aio.inference.memory import is_out_of_memory
from aio.inference.rows import ImageRows
from aio.inference.settings import Settings
from aio.inference.sizes import affordable_pixels, overlap_of, smaller_sides
from aio.nets.base import RestorationNet, restore_any_size
from aio.resize import bicubic

_LOG: Final = logging.getLogger(__name__)
_LIMITS: WeakKeyDictionary[RestorationNet, int] = WeakKeyDictionary()  # the sides that memory has allowed so far


class TileRestorer:
    """Takes tiles `(C, h, w)` float32 on the host to `(C', s h, s w)`, clamped to [0, 1], one after the other.

    A gray tile goes through a colour net as three equal channels, and their mean comes back. Of a colour tile a net of
    one channel restores the luma. Where there is alpha, it is the last channel, and is only enlarged.

    A tile that does not fit into memory is taken in tiles of half its side, and so on down to `SMALLEST_TILE`; a net
    on a GPU then goes on with a copy of itself on the CPU. What has been found to fit is remembered with the net.
    """

    def __init__(self, net: RestorationNet, settings: Settings, *, alpha: bool = False) -> None:
        self._net, self._settings, self._alpha = net, settings, alpha
        self._side = None if settings.tile == "none" else _LIMITS.get(net)

    def __call__(self, tile: Tensor) -> Tensor:
        """Raises InputError: not even the smallest tile fits, or the whole where only the whole was wanted."""
        while self._side is None or max(tile.shape[1:]) <= self._side:
            try:
                return self._restored(tile)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._yield_memory(tile)  # outside of the handler, which holds what the failed pass had made
        return self._in_smaller(tile, self._side)

    def _restored(self, tile: Tensor) -> Tensor:
        if not self._alpha:
            return self._colours(tile)
        return torch.cat([self._colours(tile[:-1]), _enlarged(tile[-1:], self._net.scale).clamp_(0, 1)])

    def _colours(self, image: Tensor) -> Tensor:
        restored = _through(self._net, image, self._settings)
        if self._settings.strength < 1:
            restored = torch.lerp(_enlarged(image, self._net.scale), restored, self._settings.strength)
        return restored.clamp_(0, 1)

    def _in_smaller(self, tile: Tensor, side: int) -> Tensor:
        height, width = tile.shape[1:]
        tiles = grid((height, width), (side, side), overlap_of(self._net, side), self._net.multiple_of)
        parts = restored_rows(ImageRows(tile), lambda part, *_: self(part), tiles, scale=self._net.scale)
        return torch.cat([part.clone() for part in parts], dim=1)

    def _yield_memory(self, tile: Tensor) -> None:
        height, width = tile.shape[1:]
        device = next(self._net.parameters()).device
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if self._settings.tile == "none":
            raise InputError(f"tile none: {width} x {height} pixels do not fit into memory; try auto or a number")
        smaller = [side for side in smaller_sides(max(height, width)) if self._takes(side, max(height, width))]
        if smaller:
            self._side = _LIMITS[self._net] = smaller[0]
            _LOG.warning("tiles of %d pixels do not fit into memory: going on with %d", max(height, width), self._side)
        elif device.type != "cpu":
            self._net = _on_host(self._net)
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


def _through(net: RestorationNet, image: Tensor, settings: Settings) -> Tensor:
    if (net.in_channels, len(image)) == (1, 3):
        return with_luma(image, _passed(net, luma(image), settings).clamp_(0, 1))
    if (net.in_channels, len(image)) == (3, 1):
        return _passed(net, image.expand(3, -1, -1), settings).mean(dim=0, keepdim=True)
    return _passed(net, image, settings)


def _passed(net: RestorationNet, image: Tensor, settings: Settings) -> Tensor:
    """`image` through the net, or the mean of its eight turned and mirrored forms (self-ensemble, Lim et al., 2017)."""
    if not settings.tta:
        return _run(net, image, settings.task)
    total = torch.zeros(())
    for turns in range(4):
        turned = image.rot90(turns, (1, 2))
        total = total + _run(net, turned, settings.task).rot90(-turns, (1, 2))
        total = total + _run(net, turned.flip(2), settings.task).flip(2).rot90(-turns, (1, 2))
    return total / 8


def _run(net: RestorationNet, image: Tensor, task: int | None) -> Tensor:
    device = next(net.parameters()).device
    ids = None if task is None else torch.tensor([task], device=device)
    own = image[None].clone(memory_format=torch.contiguous_format)  # a net may give back, or change, what it gets
    return restore_any_size(net, own.to(device), ids)[0].float().cpu()


def _enlarged(image: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return image.clone()
    return bicubic(image, (image.shape[1] * scale, image.shape[2] * scale))


def _on_host(net: RestorationNet) -> RestorationNet:
    """A copy on the CPU; the net, and what others do with it, stays."""
    there = {id(tensor): tensor.detach().to("cpu", copy=True) for tensor in net.buffers()}
    weights = {id(weight): nn.Parameter(weight.detach().to("cpu", copy=True), False) for weight in net.parameters()}
    return copy.deepcopy(net, there | weights)
