"""What ways to choose actions reach on patches never trained on: PSNR and cost of fixed, random and learned choices.

Fixed choices may be mixed at random, so what they reach together is the upper hull of their points; a policy earns its
place above that hull. A harder test shuffles its own choices among the patches: the same cost, without the looking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aio.rl.actions import ACTIONS, STOP, sequences
from aio.rl.rollouts import Array, Rollouts, psnr_of, transitions

_DRAWS: Final = 200  # of a random choice, whose mean is told


@dataclass(frozen=True)
class Outcome:
    """A point of the curve.

    Attributes:
        name: of the way to choose.
        cost: mean over the patches, in passes of the dearest action, or in GMACs for those who read it.
        psnr: mean over the patches in dB, each at most 50.
    """

    name: str
    cost: float
    psnr: float


def fixed_outcomes(rollouts: Rollouts) -> list[Outcome]:
    """Every sequence of actions that is the same for all patches; the first is to stop at once."""
    psnr, costs = rollouts.psnr.mean(axis=0), rollouts.costs
    return [
        Outcome(name_of(path), float(sum(costs[action] for action in path)), float(psnr[node]))
        for node, path in enumerate(sequences(rollouts.steps))
    ]


def random_outcome(rollouts: Rollouts, *, seed: int = 0) -> Outcome:
    """Each action, the stop among them, with the same probability."""
    generator, count, table = np.random.default_rng(seed), len(rollouts), transitions(rollouts.steps)
    psnr, spent = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for draw in range(_DRAWS):
        node, asking = np.zeros(count, np.int64), np.arange(count)
        for _ in range(rollouts.steps):
            wanted = generator.integers(len(ACTIONS), size=len(asking))
            asking, wanted = asking[wanted != STOP], wanted[wanted != STOP]
            node[asking] = table[node[asking], wanted]
            spent[draw] += rollouts.costs[wanted].sum() / count
        psnr[draw] = rollouts.psnr[np.arange(count), node].mean()
    return Outcome("random", float(spent.mean()), float(psnr.mean()))


def oracle_outcome(rollouts: Rollouts, price: float) -> Outcome:
    """The best sequence for each patch at `price`, by its clean image: no policy can do better."""
    costs = np.array([sum(rollouts.costs[action] for action in path) for path in sequences(rollouts.steps)])
    best = (rollouts.psnr - price * costs).argmax(axis=1)
    psnr = rollouts.psnr[np.arange(len(rollouts)), best]
    return Outcome("oracle", float(costs[best].mean()), float(psnr.mean()))


def outcome_of(name: str, errors: Array, spent: Array) -> Outcome:
    """Of patches that ended with these mean squared errors and costs, each `(N,)`."""
    return Outcome(name, float(spent.mean()), float(psnr_of(errors).mean()))


def shuffled_outcome(rollouts: Rollouts, taken: Sequence[tuple[int, ...]], *, seed: int = 0) -> Outcome:
    """The choices `taken` for the patches, each given to another patch at random."""
    generator, table = np.random.default_rng(seed), transitions(rollouts.steps)
    nodes = np.array([_end(table, path) for path in taken])
    costs = np.array([sum(rollouts.costs[action] for action in path) for path in taken])
    patches = np.arange(len(rollouts))
    psnr = [rollouts.psnr[patches, generator.permutation(nodes)].mean() for _ in range(_DRAWS)]
    return Outcome("shuffled", float(costs.mean()), float(np.mean(psnr)))


def frontier(points: Iterable[Outcome]) -> list[Outcome]:
    """The upper hull of `points`, by rising cost: what they reach when they are mixed at random."""
    hull: list[Outcome] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.psnr)):
        if hull and point.psnr <= hull[-1].psnr:
            continue
        while len(hull) > 1 and _slope(hull[-2], point) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def reached_at(hull: Sequence[Outcome], cost: float) -> float:
    """PSNR of the frontier at `cost`; beyond its ends that of the end."""
    return float(np.interp(cost, [point.cost for point in hull], [point.psnr for point in hull]))


def name_of(path: Sequence[int]) -> str:
    """A sequence of actions in words: `1 offset + refine`; `stop` for none."""
    return " + ".join(ACTIONS[action].name for action in path) or ACTIONS[STOP].name


def _end(table: NDArray[np.int64], path: Sequence[int]) -> int:
    node = 0
    for action in path:
        node = int(table[node, action])
    return node


def _slope(first: Outcome, second: Outcome) -> float:
    return (second.psnr - first.psnr) / max(second.cost - first.cost, 1e-9)
