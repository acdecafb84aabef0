"""A net on an image of any size: whole where it fits, else in overlapping tiles blended by ramps.

Only one batch of tiles is on the net's device at a time, one tile unless more are wanted, and of what lies on the host
only a band of tiles is at work. Tiles of nets with global statistics get the tones of the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from aio.errors import InputError
from aio.inference.grid import Progress, grid, restored_rows
from aio.inference.guide import Guide, make_guide
from aio.inference.rows import ImageRows, Rows
from aio.inference.settings import Batch, Settings, Tile
from aio.inference.sizes import OVERLAP, SMALLEST_TILE, batch_size, overlap_of, tile_sides
from aio.inference.tile import TileRestorer
from aio.nets.base import RestorationNet

__all__ = ["OVERLAP", "SMALLEST_TILE", "Progress", "Restoration", "Tile", "restore_image"]


@torch.inference_mode()
def restore_image(
    net: RestorationNet,
    image: Tensor,
    *,
    task: int | None = None,
    tile: Tile = "auto",
    overlap: int | None = None,
    progress: Progress | None = None,
    strength: float = 1.0,
    tta: bool = False,
    alpha: bool = False,
    batch: Batch = "auto",
) -> Tensor:
    """`image (C, H, W)` float32 restored by `net`: `(C', sH, sW)` float32 on the host, clamped to [0, 1].

    Of a colour image, a net of one channel restores the luma; the colours are kept, and enlarged by bicubic. A gray
    image goes through a colour net as three equal channels, and their mean comes back.

    Args:
        net: in eval mode, on the device that is to compute.
        image: in [0, 1], on the host.
        task, tile, strength, tta, batch: see `Settings`.
        overlap: pixels that neighbouring tiles share at least; None leaves it to the net.
        progress: called with (tiles done, tiles in all).
        alpha: the last channel is not restored, only enlarged.

    Raises:
        InputError: not even the smallest tile fits into memory, or not the whole where `tile` is `none`.
        ValueError: a tile does not exceed twice the overlap, or the net does not take so many channels.
    """
    settings = Settings(task, tile, strength, tta, batch)
    height, width = image.shape[1:]
    restoration = Restoration(net, (height, width), settings, overlap=overlap, alpha=alpha)
    if restoration.guided:
        restoration.look(ImageRows(image))
    rows = restoration.rows(ImageRows(image), progress)
    first = next(rows)
    if first.shape[1] == height * net.scale:
        return first
    result = torch.empty(len(first), height * net.scale, width * net.scale)
    top = first.shape[1]
    result[:, :top] = first
    for part in rows:
        result[:, top : top + part.shape[1]] = part
        top += part.shape[1]
    return result


class Restoration:
    """How one image goes through `net`, from rows to rows.

    What is held does not grow with the image's height, and with its width by one band of tiles.

    Args:
        net: in eval mode, on the device that is to compute.
        size: (height, width) of the image.
        settings, overlap, alpha: see `restore_image`.

    Attributes:
        guided: `look` is to see the rows before `rows` gives them restored.

    Raises:
        InputError: `strength` is below 1 for a net whose input and output differ in channels.
        ValueError: a tile does not exceed twice the overlap.
    """

    def __init__(
        self,
        net: RestorationNet,
        size: tuple[int, int],
        settings: Settings,
        *,
        overlap: int | None = None,
        alpha: bool = False,
    ) -> None:
        _check(net, settings, OVERLAP if overlap is None else overlap)
        device = next(net.parameters()).device
        sides = tile_sides(net, settings.tile, size, device, batch=settings.batch)
        shared = overlap_of(net, min(sides)) if overlap is None else overlap
        self._tiles = grid(size, sides, shared, net.multiple_of)
        self._batch = batch_size(net, settings.batch, sides, device) if len(self._tiles) > 1 else 1
        self._scale, self._alpha = net.scale, alpha
        self._restore = TileRestorer(net, settings, alpha=alpha)
        self._reduction = math.ceil(math.sqrt(math.prod(size) / math.prod(sides)))
        self._guide: Guide | None = None
        self.guided = net.global_statistics and len(self._tiles) > 1

    def look(self, source: Rows) -> None:
        """Reads all of the image, for the tones that tiles by themselves would not have."""
        self._guide = make_guide(source, lambda image: self._restore(image[None])[0], self._reduction)

    def rows(self, source: Rows, progress: Progress | None = None) -> Iterator[Tensor]:
        """The restored rows `(C', n, sW)` from above, each part overwritten by the next.

        Raises:
            InputError: see `restore_image`.
        """
        batch, scale = self._batch, self._scale
        return restored_rows(source, self._together, self._tiles, batch=batch, scale=scale, progress=progress)

    def _together(self, tiles: Tensor, top: int, lefts: Sequence[int]) -> Tensor:
        restored = self._restore(tiles)
        if self._guide is not None:
            for tile, left in zip(restored, lefts, strict=True):
                colours = tile[:-1] if self._alpha else tile
                colours.copy_(self._guide.tone(colours, top * self._scale, left * self._scale).clamp_(0, 1))
        return restored


def _check(net: RestorationNet, settings: Settings, overlap: int) -> None:
    if isinstance(settings.tile, int) and settings.tile <= 2 * overlap:
        raise ValueError(f"tile {settings.tile}: expected more than twice the overlap of {overlap}")
    if settings.strength < 1 and net.in_channels not in (1, net.out_channels):
        raise InputError(
            f"strength {settings.strength}: the net makes {net.out_channels} channels of {net.in_channels}"
        )
