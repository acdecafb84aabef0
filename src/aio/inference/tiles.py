"""A net on an image of any size: whole where it fits, else in overlapping tiles blended by ramps.

Only one tile is on the net's device at a time, and of what lies on the host only a band of tiles is at work.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from aio.errors import InputError
from aio.inference.grid import Progress, grid, restored_rows
from aio.inference.rows import ImageRows, Rows
from aio.inference.settings import Settings, Tile
from aio.inference.sizes import OVERLAP, SMALLEST_TILE, overlap_of, tile_sides
from aio.inference.tile import TileRestorer
from aio.nets.base import RestorationNet

__all__ = ["OVERLAP", "SMALLEST_TILE", "Progress", "Tile", "restore_image", "restore_rows"]


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
) -> Tensor:
    """`image (C, H, W)` float32 restored by `net`: `(C', sH, sW)` float32 on the host, clamped to [0, 1].

    Of a colour image, a net of one channel restores the luma; the colours are kept, and enlarged by bicubic. A gray
    image goes through a colour net as three equal channels, and their mean comes back.

    Args:
        net: in eval mode, on the device that is to compute.
        image: in [0, 1], on the host.
        task, tile, strength, tta: see `Settings`.
        overlap: pixels that neighbouring tiles share at least; None leaves it to the net.
        progress: called with (tiles done, tiles in all).
        alpha: the last channel is not restored, only enlarged.

    Raises:
        InputError: not even the smallest tile fits into memory, or not the whole where `tile` is `none`.
        ValueError: a tile does not exceed twice the overlap, or the net does not take so many channels.
    """
    settings = Settings(task, tile, strength, tta)
    rows = restore_rows(net, ImageRows(image), settings, overlap=overlap, progress=progress, alpha=alpha)
    first = next(rows)
    height, width = (side * net.scale for side in image.shape[1:])
    if first.shape[1] == height:
        return first
    result = torch.empty(len(first), height, width)
    top = first.shape[1]
    result[:, :top] = first
    for part in rows:
        result[:, top : top + part.shape[1]] = part
        top += part.shape[1]
    return result


def restore_rows(
    net: RestorationNet,
    source: Rows,
    settings: Settings,
    *,
    overlap: int | None = None,
    progress: Progress | None = None,
    alpha: bool = False,
) -> Iterator[Tensor]:
    """As `restore_image`, from rows to rows: `(C', n, sW)` from above, each overwritten by the next.

    What is held does not grow with the image's height, and with its width by one band of tiles.

    Raises:
        InputError: see `restore_image`, and `strength` is below 1 for a net whose input and output differ in channels.
        ValueError: see `restore_image`.
    """
    tile = settings.tile
    if isinstance(tile, int) and tile <= 2 * (OVERLAP if overlap is None else overlap):
        shared = OVERLAP if overlap is None else overlap
        raise ValueError(f"tile {tile}: expected more than twice the overlap of {shared}")
    if settings.strength < 1 and net.in_channels not in (1, net.out_channels):
        raise InputError(
            f"strength {settings.strength}: the net makes {net.out_channels} channels of {net.in_channels}"
        )
    size = (source.height, source.width)
    sides = tile_sides(net, tile, size, next(net.parameters()).device)
    tiles = grid(size, sides, overlap_of(net, min(sides)) if overlap is None else overlap, net.multiple_of)
    restorer = TileRestorer(net, settings, alpha=alpha)
    return restored_rows(source, restorer, tiles, scale=net.scale, progress=progress)
