"""What an agent may do with a patch: stop, or let the net pass over it with few or many window offsets.

The Hybrid Stoformer's README has the idea, Q-learning for its windows; its code has none, so the choices are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor

from aio.errors import InputError
from aio.nets.base import RestorationNet, restore_any_size
from aio.nets.cost import traced_macs
from aio.nets.stoformer import Offset, Stage, StochasticBlock, Windows, offsets_of


@dataclass(frozen=True)
class Action:
    """A choice.

    Attributes:
        name: for tables and pictures.
        windows: offsets over which every block of the pass averages; None for no pass: the episode ends.
        refines: the pass is over the present estimate, and not over the degraded patch.
    """

    name: str
    windows: Windows | None
    refines: bool = False


FOUR: Final[tuple[Offset, ...]] = ((0, 0), (0, 4), (4, 0), (4, 4))
STOP: Final = 0
# A single offset is one in each block: 0 and 4 in turn, so that neighbouring windows meet.
ACTIONS: Final = (
    Action("stop", None),
    Action("1 offset", "fixed"),
    Action("4 offsets", FOUR),
    Action("9 offsets", "fast"),
    Action("64 offsets", "all"),
    Action("refine", "fixed", refines=True),
)
REFINE: Final = len(ACTIONS) - 1
DEAREST: Final = 4  # the action in whose cost the others are told


@contextmanager
def windows_of(net: RestorationNet, windows: Windows) -> Iterator[None]:
    """Lets every block of `net` average over `windows` inside."""
    stages = [stage for stage in net.modules() if isinstance(stage, Stage)]
    if not stages:
        raise InputError(f"{type(net).__name__} has no stochastic windows: a policy is for Stoformer and its hybrid")
    blocks = [(index, cast(StochasticBlock, block)) for stage in stages for index, block in enumerate(stage.blocks)]
    before = [block.eval_offsets for _, block in blocks]
    try:
        for index, block in blocks:
            block.eval_offsets = offsets_of(windows, index)
        yield
    finally:
        for (_, block), offsets in zip(blocks, before, strict=True):
            block.eval_offsets = offsets


@torch.no_grad()
def passed(net: RestorationNet, action: int, degraded: Tensor, estimate: Tensor, task: Tensor | None = None) -> Tensor:
    """The next estimate `(B, C, H, W)` in [0, 1] after `action`, which is not to stop."""
    chosen = ACTIONS[action]
    if chosen.windows is None:
        raise ValueError(f"action {chosen.name!r} is no pass")
    with windows_of(net, chosen.windows):
        return restore_any_size(net, estimate if chosen.refines else degraded, task).clamp(0, 1)


def macs_of_actions(net: RestorationNet, side: int) -> list[int]:
    """Multiply-accumulates of each action for a patch of `side x side`, as fvcore counts them."""
    counts = []
    for action in ACTIONS:
        if action.windows is None:
            counts.append(0)
            continue
        with windows_of(net, action.windows):
            counts.append(traced_macs(net, side))
    return counts


def sequences(steps: int) -> list[Sequence[int]]:
    """All orders of at most `steps` passes that are worth their price: one pass, then refinements."""
    passes = [index for index, action in enumerate(ACTIONS) if action.windows is not None and not action.refines]
    return [(), *((first,) + (REFINE,) * more for first in passes for more in range(steps))]
