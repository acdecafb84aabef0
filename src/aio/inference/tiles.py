"""A net on an image of any size: whole where it fits, else in overlapping tiles blended by ramps.

Only one tile is on the net's device at a time; input and result stay on the host. When a tile does not fit into
memory its side is halved, down to a floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import torch
from torch import Tensor

from aio.colour import luma, with_luma
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

    Of a colour image, a net of one channel restores the luma; the colours are kept, and enlarged by bicubic.

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
    if (net.in_channels, len(image)) == (1, 3):
        restored = restore_image(net, luma(image), task=task, tile=tile, overlap=overlap, progress=progress)
        return with_luma(image, restored).clamp_(0, 1)
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
    scale = net.scale
    total = torch.zeros(net.out_channels, height * scale, width * scale)
    weights = torch.zeros(height * scale, width * scale)
    for done, (top, left, rows, columns) in enumerate(boxes, start=1):
        restored = _run(net, image[:, top : top + rows, left : left + columns], task)
        vertical = _weights(rows, overlap, inner=(top > 0, top + rows < height))
        horizontal = _weights(columns, overlap, inner=(left > 0, left + columns < width))
        weight = torch.outer(vertical, horizontal)
        weight = weight.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)
        window = (slice(top * scale, (top + rows) * scale), slice(left * scale, (left + columns) * scale))
        total[(slice(None), *window)] += restored * weight
        weights[window] += weight
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


def _weights(length: int, overlap: int, inner: tuple[bool, bool]) -> Tensor:
    """Weights along one side of a tile: 1, but towards an `inner` end, which has a neighbour, a ramp down to 0.

    The outermost quarter of the overlap weighs nothing, since there the tile's own padding shows.
    """
    margin = overlap // 4
    rising = (torch.arange(1, length + 1) - margin).clamp(min=0) / (overlap - 2 * margin + 1)
    start = rising.clamp(max=1) if inner[0] else torch.ones(length)
    end = rising.flip(0).clamp(max=1) if inner[1] else torch.ones(length)
    return torch.minimum(start, end)


def _run(net: RestorationNet, image: Tensor, task: int | None) -> Tensor:
    device = next(net.parameters()).device
    ids = None if task is None else torch.tensor([task], device=device)
    return restore_any_size(net, image[None].to(device), ids)[0].float().cpu()
