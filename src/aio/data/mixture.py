"""How tasks share an epoch: exact quotas, every image of a task once before any comes again.

Where a sample comes from is a pure function of (seed, epoch, index): any worker, rank or resumed run computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler


class Mixture:
    """Chooses `(source, image)` for every index of every epoch.

    Args:
        sizes: number of images of each source.
        weights: share of each source in an epoch, in any unit.
        length: samples in an epoch.
        seed: another seed gives another order.
    """

    def __init__(self, *, sizes: Sequence[int], weights: Sequence[float], length: int, seed: int) -> None:
        if len(sizes) != len(weights) or min(sizes) < 1 or min(weights) < 0 or sum(weights) <= 0 or length < 1:
            raise ValueError(f"cannot mix sizes {list(sizes)} with weights {list(weights)} into {length} samples")
        self.sizes, self.length, self.seed = tuple(sizes), length, seed
        self.quotas = _largest_remainder(np.asarray(weights, dtype=np.float64), length)
        self._epoch_order = lru_cache(maxsize=2)(self._shuffle_epoch)
        self._pass_order = lru_cache(maxsize=4 * len(sizes))(self._shuffle_pass)

    def locate(self, epoch: int, index: int) -> tuple[int, int]:
        """Source and image of sample `index` of `epoch`."""
        sources, occurrence = self._epoch_order(epoch)
        source = int(sources[index])
        drawn = epoch * int(self.quotas[source]) + int(occurrence[index])
        completed, position = divmod(drawn, self.sizes[source])
        return source, int(self._pass_order(source, completed)[position])

    def _shuffle_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        sources = np.repeat(np.arange(len(self.quotas)), self.quotas)
        np.random.default_rng([self.seed, epoch]).shuffle(sources)
        occurrence = np.empty(self.length, dtype=np.int64)
        for source, quota in enumerate(self.quotas):
            occurrence[sources == source] = np.arange(quota)
        return sources, occurrence

    def _shuffle_pass(self, source: int, completed: int) -> np.ndarray:
        return np.random.default_rng([self.seed, source, completed]).permutation(self.sizes[source])

    def __getstate__(self) -> dict[str, object]:
        kept = {"sizes", "length", "seed", "quotas"}
        return {key: value for key, value in self.__dict__.items() if key in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._epoch_order = lru_cache(maxsize=2)(self._shuffle_epoch)
        self._pass_order = lru_cache(maxsize=4 * len(self.sizes))(self._shuffle_pass)


def _largest_remainder(weights: np.ndarray, total: int) -> np.ndarray:
    exact = weights / weights.sum() * total
    quotas = np.floor(exact).astype(np.int64)
    most_short = np.argsort(-(exact - quotas), kind="stable")[: total - quotas.sum()]
    quotas[most_short] += 1
    return quotas


class EpochSampler(Sampler[int]):
    """Keys `epoch * length + index` of one rank: every `world_size`-th index, as many on each rank.

    Lightning calls `set_epoch`; the key carries the epoch to workers that outlive it.
    """

    def __init__(self, *, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.length, self.rank, self.world_size = length, rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world_size

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.length
        return iter(range(start + self.rank, start + len(self) * self.world_size, self.world_size))


class ShardSampler(Sampler[int]):
    """Every `world_size`-th index of a validation set; ranks may differ by one, none is repeated."""

    def __init__(self, *, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
