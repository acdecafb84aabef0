"""Samples as the loaders give them: augmented crops for training, whole images for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NotRequired, TypedDict, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from aio.data.degradations import Degrade
from aio.data.mixture import Mixture
from aio.data.on_device import Undegraded
from aio.data.pairs import TaskSource, to_unit
from aio.data.seeding import name_seed, seeded
from aio.errors import InputError
from aio.vocabulary import TASK_ID

_TOO_MANY: Final = 20  # damaged files met for one sample: the source is not worth going on with


class Sample(TypedDict):
    """What a batch is made of; in a batch every tensor has a leading axis, `name` and `bad` are lists.

    `bad`, of training alone: the files that could not be read on the way to this sample, joined by NUL; mostly none.
    """

    degraded: Tensor
    clean: Tensor
    task: int
    name: str
    second_view: NotRequired[Tensor]
    bad: NotRequired[str]


class TrainingSet(Dataset[Sample | Undegraded]):
    """Augmented crops; the key `epoch * length + index` decides all of a sample.

    With `undegraded`, what is to be degraded elsewhere; second views are always degraded here, together with the first.
    An image that cannot be read is replaced by another of its source, drawn from (seed, epoch, index) and named in
    `bad`: what a sample is depends, besides the key, on which files are damaged alone.

    Args:
        patch_size: side of the clean crops in pixels; of all sources, or of each.
    """

    def __init__(
        self,
        sources: Sequence[TaskSource],
        mixture: Mixture,
        patch_size: int | Sequence[int],
        seed: int,
        *,
        second_view: bool = False,
        undegraded: bool = False,
    ) -> None:
        self.sources, self.mixture, self.seed = sources, mixture, seed
        self.patch_sizes = [patch_size] * len(sources) if isinstance(patch_size, int) else list(patch_size)
        self.second_view, self.undegraded = second_view, undegraded

    def __getitem__(self, key: int) -> Sample | Undegraded:
        epoch, index = divmod(key, self.mixture.length)
        source_index, image = self.mixture.locate(epoch, index)
        generator = seeded(self.seed, epoch, index)
        bad: list[str] = []
        while True:
            try:
                sample = self._sample(source_index, image, generator)
                break
            except InputError:
                unreadable = _unreadable(self.sources[source_index], image)
                if not unreadable or len(bad) >= _TOO_MANY:
                    raise
            bad += unreadable
            generator = seeded(self.seed, epoch, index, len(bad))
            image = int(torch.randint(len(self.sources[source_index]), (), generator=generator))
        sample["bad"] = "\0".join(dict.fromkeys(bad))
        return sample

    def _sample(self, source_index: int, image: int, generator: torch.Generator) -> Sample | Undegraded:
        source, patch_size = self.sources[source_index], self.patch_sizes[source_index]
        task, name = TASK_ID[source.task], source.name(image)
        if self.second_view:
            degraded, clean, second = source.two_views(image, generator, patch_size)
            return {"degraded": degraded, "clean": clean, "task": task, "name": name, "second_view": second}
        stored, clean = source.stored(image, generator, patch_size)
        own_seed = int(torch.randint(2**63 - 1, (), generator=generator))
        if self.undegraded:
            return {
                "degraded": stored,
                "clean": clean,
                "task": task,
                "name": name,
                "source": source_index,
                "seed": own_seed,
            }
        clean = to_unit(clean)
        if stored is None:
            degraded = cast(Degrade, source.degrade)(clean, generator.manual_seed(own_seed))
        else:
            degraded = to_unit(stored)
        return {"degraded": degraded, "clean": clean, "task": task, "name": name}


def _unreadable(source: TaskSource, image: int) -> list[str]:
    """Which files behind `image` cannot be decoded."""
    bad = []
    for path in source.files()[image]:
        try:
            source.cache[path]
        except InputError:
            bad.append(str(path))
    return bad


class WholeImages(Dataset[Sample]):
    """Validation images as they are, task by task; synthesised degradations are seeded by the image's name."""

    def __init__(
        self, sources: Sequence[TaskSource], *, seed: int, limit: int | None = None, centre: int | None = None
    ) -> None:
        self.sources, self.seed, self.centre = sources, seed, centre
        self.index = [(s, i) for s, source in enumerate(sources) for i in range(len(source))[:limit]]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int) -> Sample:
        source_index, image = self.index[key]
        source = self.sources[source_index]
        name = source.name(image)
        degraded, clean = source.sample(image, seeded(self.seed, name_seed(name)), None)
        if self.centre is not None:
            degraded, clean = _centre_crops(degraded, clean, self.centre)
        return {"degraded": degraded, "clean": clean, "task": TASK_ID[source.task], "name": name}


def _centre_crops(degraded: Tensor, clean: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The centre of both, `size` the side of the clean one, rounded down to a multiple of their scale."""
    scale = clean.shape[-1] // degraded.shape[-1]
    side = max(1, size // scale)
    top, left = (max(0, (length - side) // 2) for length in degraded.shape[-2:])
    large_top, large_left, large = top * scale, left * scale, side * scale
    return (
        degraded[:, top : top + side, left : left + side],
        clean[:, large_top : large_top + large, large_left : large_left + large],
    )
