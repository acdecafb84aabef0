"""How tasks share an epoch: exact quotas, every image of a task once before any comes again.

Where a sample comes from is a pure function of (seed, epoch, index): any worker, rank or resumed run computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler

from aio.data.locality import chunk_by_chunk


class Mixture:
    """Chooses `(source, image)` for every index of every epoch.

    Args:
        sizes: number of images of each source.
        weights: share of each source in an epoch, in any unit.
        length: samples in an epoch.
        seed: another seed gives another order.
        places: per source the chunk in which each image lies, if the order is to go chunk by chunk.
    """

    def __init__(
        self,
        *,
        sizes: Sequence[int],
        weights: Sequence[float],
        length: int,
        seed: int,
        places: Sequence[np.ndarray] | None = None,
    ) -> None:
        if len(sizes) != len(weights) or min(sizes) < 1 or min(weights) < 0 or sum(weights) <= 0 or length < 1:
            raise ValueError(f"cannot mix sizes {list(sizes)} with weights {list(weights)} into {length} samples")
        self.sizes, self.length, self.seed, self.places = tuple(sizes), length, seed, places
        self.quotas = largest_remainder(np.asarray(weights, dtype=np.float64), length)
        self._epoch_order = lru_cache(maxsize=2)(self._shuffle_epoch)
        self._pass_order = lru_cache(maxsize=4 * len(sizes))(self._shuffle_pass)

    def sources(self, epoch: int) -> np.ndarray:
        """The source of every sample of `epoch`, in their order; `(length,)`, for reading only."""
        return self._epoch_order(epoch)[0]

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
        if self.places is not None:
            return chunk_by_chunk(self.places[source], seed=self.seed, source=source, completed=completed)
        return np.random.default_rng([self.seed, source, completed]).permutation(self.sizes[source])

    def __getstate__(self) -> dict[str, object]:
        kept = {"sizes", "length", "seed", "quotas", "places"}
        return {key: value for key, value in self.__dict__.items() if key in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._epoch_order = lru_cache(maxsize=2)(self._shuffle_epoch)
        self._pass_order = lru_cache(maxsize=4 * len(self.sizes))(self._shuffle_pass)


def largest_remainder(weights: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in proportion to `weights`, each less than 1 off, that add up to `total` (Hamilton's method)."""
    exact = weights / weights.sum() * total
    quotas = np.floor(exact).astype(np.int64)
    most_short = np.argsort(-(exact - quotas), kind="stable")[: total - quotas.sum()]
    quotas[most_short] += 1
    return quotas


class EpochSampler(Sampler[int]):
    """Keys `epoch * length + index` of one rank, of which every `batch_size` make one batch, all of one patch size.

    The samples of a patch size keep their order and fill batches for all ranks at once, of which each rank takes every
    `world_size`-th sample; batches come in the order in which they are full. So each rank has as many batches, those
    of one step are of one patch size on all ranks, and of an epoch no more is left out than an incomplete batch of
    each size. A batch holds as many samples of a large patch as of a small one: the share of a degradation is then its
    share of the samples, of the steps and of the gradient, and the learning rate means the same at each step. Memory
    is that of the largest patch.

    Lightning calls `set_epoch`; the key carries the epoch to workers that outlive it.

    Args:
        mixture: which source each sample is of.
        batch_size: samples per batch and rank.
        patch_sizes: of each source; by default of equal size.
        rank: of this process.
        world_size: how many there are.

    Attributes:
        start: batches at the beginning of an epoch to leave out, which a resumed training has had.
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        batch_size: int,
        patch_sizes: Sequence[int] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.mixture, self.batch_size, self.rank, self.world_size = mixture, batch_size, rank, world_size
        self.patch_sizes = np.asarray(patch_sizes or [0] * len(mixture.sizes))
        self.epoch, self.start = 0, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        of_size = (self.mixture.quotas[self.patch_sizes == size].sum() for size in np.unique(self.patch_sizes))
        return sum(int(count) // self.world_size // self.batch_size for count in of_size) * self.batch_size

    def __iter__(self) -> Iterator[int]:
        mine = self._steps()[self.start :, self.rank :: self.world_size]
        return iter((mine.ravel() + self.epoch * self.mixture.length).tolist())

    def _steps(self) -> np.ndarray:
        """Indices `(steps, batch_size * world_size)` of an epoch."""
        size_of_sample = self.patch_sizes[self.mixture.sources(self.epoch)]
        width = self.batch_size * self.world_size
        parts = [np.flatnonzero(size_of_sample == size) for size in np.unique(self.patch_sizes)]
        steps = np.concatenate([part[: len(part) // width * width].reshape(-1, width) for part in parts])
        return steps[np.argsort(steps[:, -1])]


class ShardSampler(Sampler[int]):
    """Every `world_size`-th index of a validation set; ranks may differ by one, none is repeated."""

    def __init__(self, *, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
