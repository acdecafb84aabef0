"""How far an exported net is from the one in PyTorch, on drawn images of sizes that it was not traced with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import torch
from torch import Tensor

from aio.errors import InputError
from aio.nets.base import RestorationNet, restore_any_size

TOLERANCE: Final = 1e-4


class Agreement(NamedTuple):
    """The largest difference at one size, over the largest value where that is above 1."""

    batch: int
    height: int
    width: int
    difference: float


def sizes_of(step: int) -> list[tuple[int, int, int]]:
    """Batch, height and width: large enough that AdaIR splits its bands; beyond the net's `step`; below it."""
    return [(1, 261, 275), (2, step + 1, 9), (1, 5, 1)]


def compare(
    net: RestorationNet, task: int | None, exported: Callable[[Tensor], Tensor], path: str
) -> Iterator[Agreement]:
    """Runs both at each size.

    Raises:
        InputError: naming `path`, where they differ by more than `TOLERANCE` or in shape.
    """
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in sizes_of(net.multiple_of):
        image = torch.rand(batch, net.in_channels, height, width, generator=generator)
        told = None if task is None else torch.full((batch,), task)
        with torch.inference_mode():
            expected = restore_any_size(net, image, told)
            found = exported(image)
        where = f"at {batch} x {net.in_channels} x {height} x {width}"
        if found.shape != expected.shape:
            raise InputError(f"{path}: not kept, {where} it gives {tuple(found.shape)}, not {tuple(expected.shape)}")
        difference = float((found - expected).abs().max() / max(1.0, float(expected.abs().max())))
        if not difference <= TOLERANCE:
            raise InputError(
                f"{path}: not kept, {where} it differs from PyTorch by {difference:.1e}; allowed are {TOLERANCE:.0e}"
            )
        yield Agreement(batch, height, width, difference)
