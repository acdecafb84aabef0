"""All that can become of a set of patches: each pass that an agent could ask for is computed once.

An estimate is decided by the last pass with windows of its own and the number of refinements since, so few passes tell
the outcome of every sequence of actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aio.nets.base import RestorationNet
from aio.rl.actions import ACTIONS, REFINE, STOP, passed, sequences
from aio.rl.observation import changes, looks

LEAST_ERROR: Final = 1e-5  # mean squared error of 50 dB: beyond it nobody sees a difference
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Rollouts:
    """What passes give for N patches, and what agents see of it; node 0 is the degraded patch itself.

    Attributes:
        steps: passes that an episode may have at most.
        costs: `(actions,)` of each action, in passes of the dearest.
        errors: `(N, nodes)` mean squared errors of the estimates, clamped to [0, 1], to the clean patch.
        looks: `(N, nodes, LOOKS)` of the estimates.
        changes: `(N, nodes, 2)` from the degraded patch.
        tasks: `(N,)` ids of their degradations.
    """

    steps: int
    costs: Array
    errors: Array
    looks: Array
    changes: Array
    tasks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def psnr(self) -> Array:
        """`(N, nodes)` in dB, at most 50."""
        return psnr_of(self.errors)


def psnr_of(errors: Array) -> Array:
    """In dB, at most 50, of mean squared errors."""
    return (-10 * np.log10(np.maximum(errors, LEAST_ERROR))).astype(np.float32)


def transitions(steps: int) -> NDArray[np.int64]:
    """`(nodes, actions)`: the node to which an action leads; -1 where an episode has ended before."""
    nodes = [tuple(path) for path in sequences(steps)]
    table = np.full((len(nodes), len(ACTIONS)), -1, dtype=np.int64)
    for number, path in enumerate(nodes):
        table[number, STOP] = number
        for action in range(1, len(ACTIONS)):
            if action != REFINE:
                table[number, action] = nodes.index((action,))
            elif len(path) < steps:
                table[number, action] = nodes.index((*path, REFINE) if path else (1,))  # of the patch: one pass over it
    return table


def roll_out(
    net: RestorationNet,
    degraded: Tensor,
    clean: Tensor,
    *,
    costs: Sequence[float],
    tasks: Sequence[int],
    steps: int = 3,
    batch: int = 8,
    progress: Callable[[int], None] = lambda done: None,
) -> Rollouts:
    """Every pass over patches `(N, 3, h, w)` in [0, 1] by `net`, which is in eval mode on its device.

    Args:
        costs: of each action, in passes of the dearest.
        tasks: ids of the degradation of each patch.
        steps: passes of an episode at most.
        batch: patches that go through the net together.
        progress: called with the number of patches done.
    """
    device = next(net.parameters()).device
    parts: list[tuple[Array, Array, Array]] = []
    for start in range(0, len(degraded), batch):
        patches = degraded[start : start + batch].to(device)
        parts.append(_outcomes(net, patches, clean[start : start + batch].to(device), steps))
        progress(min(start + batch, len(degraded)))
    errors, seen, changed = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Rollouts(steps, np.asarray(costs, np.float32), errors, seen, changed, np.asarray(tasks))


def _outcomes(net: RestorationNet, degraded: Tensor, clean: Tensor, steps: int) -> tuple[Array, Array, Array]:
    estimates: dict[tuple[int, ...], Tensor] = {(): degraded}
    for path in map(tuple, sequences(steps)):
        if path:
            estimates[path] = passed(net, path[-1], degraded, estimates[path[:-1]])
    errors = [(estimate - clean).square().mean(dim=(1, 2, 3)) for estimate in estimates.values()]
    seen = [looks(estimate) for estimate in estimates.values()]
    changed = [changes(degraded, estimate) for estimate in estimates.values()]
    return tuple(torch.stack(part, dim=1).float().cpu().numpy() for part in (errors, seen, changed))  # type: ignore[return-value]
