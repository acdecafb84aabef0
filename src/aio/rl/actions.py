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
from aio.nets.stoformer import ALL_OFFSETS, Offset, Stage, StochasticBlock, Windows, offsets_of


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
DEAREST: Final = 4  # in whose cost all others are told


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
    """Multiply-accumulates of each action for a patch of `side x side`, as fvcore counts them.

    From two offsets on a block costs the same for each more, or nothing more, so two counts tell those of all.
    """
    one, two, three = (_macs(net, side, windows) for windows in ("fixed", ALL_OFFSETS[:2], ALL_OFFSETS[:3]))
    counts = []
    for action in ACTIONS:
        offsets = 0 if action.windows is None else len(offsets_of(action.windows, 0))
        counts.append(0 if not offsets else one if offsets == 1 else two + (offsets - 2) * (three - two))
    return counts


def _macs(net: RestorationNet, side: int, windows: Windows) -> int:
    with windows_of(net, windows):
        return traced_macs(net, side)


def sequences(steps: int) -> list[Sequence[int]]:
    """All orders of at most `steps` passes that are worth their price: one pass, then refinements."""
    passes = [index for index, action in enumerate(ACTIONS) if action.windows is not None and not action.refines]
    return [(), *((first,) + (REFINE,) * more for first in passes for more in range(steps))]
