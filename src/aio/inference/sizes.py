"""How large tiles are, and how many go together: by the memory at hand, what is quick, and what the net must see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from aio.inference.memory import bytes_per_pixel, is_out_of_memory, memory_at_hand
from aio.inference.replicas import Replicated
from aio.inference.settings import Batch, Tile
from aio.nets.base import RestorationNet

OVERLAP: Final = 32
SMALLEST_TILE: Final = 64
_SIDES: Final = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, SMALLEST_TILE)
_WIDE_OVERLAP: Final = 64
_LIGHT: Final = 2**16  # pixels of an image for which no question of memory is asked
_WHOLE: Final = 2**20  # pixels of an image that is taken whole where it fits, so that scores are those of papers
# Sides beyond which a local net gains nothing: on a CPU, maps above 32 MiB are mapped anew for every operation.
_QUICK: Final = {"cpu": 384, "cuda": 1024}
_MOST_ON_HOST: Final = 2**32  # bytes, so that the choice is the same whatever else runs
_BAND: Final = 2**21  # pixels of a band of tiles; wider images have lower and longer tiles


def overlap_of(net: RestorationNet, side: int) -> int:
    """Pixels that neighbouring tiles of `side` share: more where each tile's own statistics set them apart."""
    if not net.global_statistics:
        return min(OVERLAP, side // 4)
    return max(min(_WIDE_OVERLAP, side // 4), side // 8)


def tile_sides(
    net: RestorationNet, tile: Tile, size: tuple[int, int], device: torch.device, *, batch: Batch = "auto"
) -> tuple[int, int]:
    """(height, width) of tiles for an image of `size`, on `device`; the image's own where it is taken whole.

    `auto` takes an image whole where it fits into memory and the net has global statistics or the image is small, else
    a net with global statistics gets the largest tiles of which `batch` fit, and a local one the quickest.
    """
    height, width = size
    if tile == "none" or (tile == "auto" and height * width <= _LIGHT):
        return size
    if tile != "auto":
        return tile, tile
    pixels = affordable_pixels(net, device)
    if height * width <= (pixels if net.global_statistics else min(pixels, _WHOLE)):
        return size
    pixels //= _on_one_device(net, batch)
    most = _SIDES[0] if net.global_statistics else _QUICK.get(device.type, _QUICK["cpu"])
    side = next((side for side in _SIDES if side <= most and side**2 <= pixels), SMALLEST_TILE)
    rows = min(side, max(side // 2, _BAND // width))
    return rows, side**2 // rows


def batch_size(net: RestorationNet, batch: Batch, sides: tuple[int, int], device: torch.device) -> int:
    """How many tiles of `sides` go through `net` together at most.

    `auto` is one for each copy of the net, as more gain nothing on a CPU; a GPU gets as many small ones as fill it.
    """
    if batch != "auto":
        return batch
    copies = len(net.devices) if isinstance(net, Replicated) else 1
    if device.type != "cuda":
        return copies
    pixels = min(_QUICK["cuda"] ** 2, affordable_pixels(net, device))
    return copies * max(1, pixels // (sides[0] * sides[1]))


def _on_one_device(net: RestorationNet, batch: Batch) -> int:
    """How many tiles of a batch share a device's memory; copies on the CPU share its own."""
    devices = net.devices if isinstance(net, Replicated) else (None,)
    together = len(devices) if batch == "auto" else batch
    return -(-together // len(set(devices)))


def affordable_pixels(net: RestorationNet, device: torch.device) -> int:
    """How many pixels `net` may see at once: for them it takes half of the host's memory, or most of a GPU's."""
    memory = memory_at_hand(device)
    budget = memory * 4 // 5 if device.type == "cuda" else min(memory // 2, _MOST_ON_HOST)
    try:
        return int(budget / bytes_per_pixel(net))
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return SMALLEST_TILE**2
        raise


def smaller_sides(side: int) -> Iterator[int]:
    """What to try after `side` was too large: half of it, and so on to the smallest."""
    while side > SMALLEST_TILE:
        side = max(side // 2, SMALLEST_TILE)
        yield side
