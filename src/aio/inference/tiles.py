"""A net on an image of any size: whole where it fits, else in overlapping tiles blended by ramps.

Only one tile is on the net's device at a time; input and result stay on the host. When a tile does not fit into
memory its side is halved, down to a floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import torch
from torch import Tensor

from aio.nets.base import RestorationNet, restore_any_size

OVERLAP: Final = 32
SMALLEST_TILE: Final = 64
Tile = int | Literal["auto", "none"]
Progress = Callable[[int, int], None]


@torch.inference_mode()
def restore_image(
    net: RestorationNet,
    image: Tensor,
    *,
    task: int | None = None,
    tile: Tile = "auto",
    overlap: int = OVERLAP,
    progress: Progress | None = None,
) -> Tensor:
    """`image (C, H, W)` float32 restored by `net`: `(C', sH, sW)` float32 on the host, clamped to [0, 1].

    Args:
        net: in eval mode, on the device that is to compute.
        image: in [0, 1], on the host.
        task: id of the degradation, for nets that use it.
        tile: side of a tile in pixels; `none` takes the image whole; `auto` takes it whole and halves on out-of-memory.
        overlap: pixels that neighbouring tiles share.
        progress: called with (tiles done, tiles in all).

    Raises:
        ValueError: a tile does not exceed twice the overlap.
        torch.OutOfMemoryError: not even the smallest tile fits.
    """
    if isinstance(tile, int) and tile <= 2 * overlap:
        raise ValueError(f"tile {tile}: expected more than twice the overlap of {overlap}")
    height, width = image.shape[-2:]
    side = tile if isinstance(tile, int) else max(height, width)
    while True:
        try:
            return _in_tiles(net, image, task, side, overlap, progress)
        except torch.OutOfMemoryError:
            if tile == "none" or side // 2 < max(SMALLEST_TILE, 2 * overlap + 1):
                raise
            side //= 2


def _in_tiles(
    net: RestorationNet, image: Tensor, task: int | None, side: int, overlap: int, progress: Progress | None
) -> Tensor:
    height, width = image.shape[-2:]
    boxes = list(tile_boxes(height, width, side, overlap))
    if len(boxes) == 1:
        result = _run(net, image, task).clamp_(0, 1)
        if progress:
            progress(1, 1)
        return result
    total = torch.zeros(net.out_channels, height * net.scale, width * net.scale)
    weights = torch.zeros(1, height * net.scale, width * net.scale)
    for done, (top, left, tile_height, tile_width) in enumerate(boxes, start=1):
        restored = _run(net, image[:, top : top + tile_height, left : left + tile_width], task)
        ramp = _ramp(tile_height * net.scale, overlap * net.scale)[:, None] * _ramp(
            tile_width * net.scale, overlap * net.scale
        )
        window = (
            slice(None),
            slice(top * net.scale, (top + tile_height) * net.scale),
            slice(left * net.scale, (left + tile_width) * net.scale),
        )
        total[window] += restored * ramp
        weights[window] += ramp
        if progress:
            progress(done, len(boxes))
    return total.div_(weights).clamp_(0, 1)


def tile_boxes(height: int, width: int, side: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """(top, left, height, width) of tiles which cover the image; the last of a row or column is flush with its end."""
    for top, tile_height in _intervals(height, side, overlap):
        for left, tile_width in _intervals(width, side, overlap):
            yield top, left, tile_height, tile_width


def _intervals(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    if length <= side:
        return [(0, length)]
    starts = [*range(0, length - side, side - overlap), length - side]
    return [(start, side) for start in starts]


def _ramp(length: int, overlap: int) -> Tensor:
    """Weights of a tile along one side: rising over `overlap` pixels, 1, falling; nowhere 0."""
    distance = torch.minimum(torch.arange(1, length + 1), torch.arange(length, 0, -1)).float()
    return (distance / (overlap + 1)).clamp(max=1)


def _run(net: RestorationNet, image: Tensor, task: int | None) -> Tensor:
    device = next(net.parameters()).device
    ids = None if task is None else torch.tensor([task], device=device)
    return restore_any_size(net, image[None].to(device), ids)[0].float().cpu()
