"""Samples as the loaders give them: augmented crops for training, whole images for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from torch import Tensor
from torch.utils.data import Dataset

from aio.data.mixture import Mixture
from aio.data.pairs import TaskSource
from aio.data.seeding import name_seed, seeded
from aio.vocabulary import TASK_ID


class Sample(TypedDict):
    """What a batch is made of; in a batch every tensor has a leading axis and `name` is a list."""

    degraded: Tensor
    clean: Tensor
    task: int
    name: str
    second_view: NotRequired[Tensor]


class TrainingSet(Dataset[Sample]):
    """Augmented crops; the key `epoch * length + index` decides all of a sample."""

    def __init__(
        self, sources: Sequence[TaskSource], mixture: Mixture, patch_size: int, seed: int, *, second_view: bool = False
    ) -> None:
        self.sources, self.mixture, self.patch_size, self.seed = sources, mixture, patch_size, seed
        self.second_view = second_view

    def __getitem__(self, key: int) -> Sample:
        epoch, index = divmod(key, self.mixture.length)
        source_index, image = self.mixture.locate(epoch, index)
        source = self.sources[source_index]
        generator = seeded(self.seed, epoch, index)
        task, name = TASK_ID[source.task], source.name(image)
        if self.second_view:
            degraded, clean, second = source.two_views(image, generator, self.patch_size)
            return {"degraded": degraded, "clean": clean, "task": task, "name": name, "second_view": second}
        degraded, clean = source.sample(image, generator, self.patch_size)
        return {"degraded": degraded, "clean": clean, "task": task, "name": name}


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
