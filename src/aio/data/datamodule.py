"""RestorationData: one loader of mixed degradations for training, one whole-image loader per split for validation."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from aio.colour import luma
from aio.data.cache import DecodedCache
from aio.data.degradations import Synthesis
from aio.data.demo import demo_photos
from aio.data.mixture import EpochSampler, Mixture, ShardSampler
from aio.data.pairs import FolderPairs, SynthesisedPairs, TaskSource
from aio.data.samples import Sample, TrainingSet, WholeImages
from aio.data.scan import check_files
from aio.data.sources import EXPECTED_TREE, Found, Split, discover
from aio.errors import InputError
from aio.vocabulary import SCALES, Degradation, expand

_WORKERS: Final = min(4, os.cpu_count() or 1)
_SYNTHESIS: Final = Synthesis()
Trainset = Literal["demo", "synthetic", "paired", "mixed", "pooled"]


class _Training(NamedTuple):
    """What the training loader gives at present."""

    tasks: Sequence[Degradation]
    batch_size: int
    patch_size: int


class RestorationData(L.LightningDataModule):
    """Training and validation data of several degradations at once.

    Args:
        de_type: degradations by the field's names; `denoise` means sigma 15, 25 and 50.
        data_file_dir: root of the data tree; the demo photographs when it is missing.
        trainset: `demo`; `synthetic` (all is synthesised from the clean images below the root); `paired` (a paired
            folder for every task but noise); `mixed` (pairs where there are some, else synthesised; the default with a
            root); `pooled` (pairs and synthesised samples by halves, for training; validation as `mixed`).
        batch_size: samples per step and device.
        patch_size: side of the training crops in pixels; of the clean ones in super-resolution.
        samples_per_epoch: length of an epoch over all devices.
        weights: share of a degradation in an epoch, 1 where none is given.
        synthesis: what is left to choose of the synthesised degradations.
        num_workers: loader processes per device; by default four, or as many as there are cores.
        val_images: at most so many validation images per degradation; all by default.
        val_size: validation images are cropped to this side at their centre; whole by default.
        seed: of order, crops, flips and degradations.

    Attributes:
        scale: how much larger the clean images are than the degraded ones.
        second_view: set it to give training batches a further entry of that name, another crop of the same degraded
            images.
        gray: set it to give the luma of all images, save those of super-resolution's validation, which is in colour.
    """

    def __init__(
        self,
        *,
        de_type: Sequence[str] = ("denoise", "derain", "dehaze", "deblur", "lowlight"),
        data_file_dir: str | None = None,
        trainset: Trainset | None = None,
        batch_size: int = 8,
        patch_size: int = 128,
        samples_per_epoch: int = 10_000,
        weights: dict[str, float] | None = None,
        synthesis: Synthesis = _SYNTHESIS,
        num_workers: int = _WORKERS,
        val_images: int | None = None,
        val_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        try:
            self.tasks = expand(de_type)
            self.weights = _weight_per_task(self.tasks, weights or {})
        except ValueError as error:
            raise InputError(str(error)) from error
        self.root = Path(data_file_dir) if data_file_dir is not None else None
        self.trainset: Trainset = trainset or ("mixed" if self.root else "demo")
        if trainset not in (None, *get_args(Trainset)):
            raise InputError(f"--trainset {trainset}: choose from {', '.join(get_args(Trainset))}")
        if (self.trainset == "demo") == (self.root is not None):
            raise InputError(
                f"--trainset {self.trainset} with --data_file_dir {data_file_dir}: "
                "demo takes no folder, all others need one"
            )
        self.scale = _one_scale(self.tasks)
        if patch_size % self.scale:
            raise InputError(f"--patch_size {patch_size}: expected a multiple of the scale {self.scale}")
        _at_least(1, batch_size=batch_size, patch_size=patch_size, samples_per_epoch=samples_per_epoch)
        _at_least(1, val_images=val_images, val_size=val_size)
        _at_least(0, num_workers=num_workers, seed=seed)
        self.batch_size, self.patch_size, self.samples_per_epoch = batch_size, patch_size, samples_per_epoch
        self.synthesis, self.num_workers, self.seed = synthesis, num_workers, seed
        self.val_images, self.val_size = val_images, val_size
        self.second_view, self.gray = False, False
        self._training = _Training(self.tasks, batch_size, patch_size)
        self._cache = DecodedCache()
        self._found: dict[Split, Found] | None = None
        self._sources: dict[Split, list[TaskSource]] = {}

    def sources(self, split: Split) -> list[TaskSource]:
        """The sources of all degradations, in the order of `de_type`; found and checked on the first call.

        Raises:
            InputError: a folder, partner or image is missing, unreadable or too small.
        """
        if split not in self._sources:
            found = self._find()[split]
            sources = [source for task in self.tasks for source in self._sources_of(task, split, found)]
            files = [files for source in sources for files in source.files()]
            check_files(files, smallest_side=self.patch_size if split == "train" else 1, hint="--patch_size")
            self._sources[split] = sources
        return self._sources[split]

    def setup(self, stage: str | None = None) -> None:
        """Finds and checks every file, so that a fault shows before training."""
        self.sources("train")
        self.sources("val")

    def train_on(self, *, tasks: Sequence[Degradation] | None, batch_size: int | None, patch_size: int | None) -> None:
        """What the next training loader gives; None is what the constructor said."""
        self._training = _Training(tasks or self.tasks, batch_size or self.batch_size, patch_size or self.patch_size)

    def batches_per_epoch(self, batch_size: int | None = None) -> int:
        """Training batches of each device; of `batch_size` samples, or as many as the constructor said."""
        return self.samples_per_epoch // self._rank_and_world()[1] // (batch_size or self.batch_size)

    def check_batches(self, batch_size: int | None = None) -> None:
        """Raises InputError if an epoch does not fill one batch on each device."""
        if not self.batches_per_epoch(batch_size):
            raise InputError(
                f"{self.samples_per_epoch} samples_per_epoch on {self._rank_and_world()[1]} device(s) "
                f"do not fill a batch of {batch_size or self.batch_size}"
            )

    def train_dataloader(self) -> DataLoader:
        chosen = self._training
        self.check_batches(chosen.batch_size)
        sources = [source for source in self.sources("train") if source.task in chosen.tasks]
        of_task = Counter(source.task for source in sources)
        weights = [self.weights[source.task] / of_task[source.task] for source in sources]
        mixture = Mixture(
            sizes=[len(source) for source in sources], weights=weights, length=self.samples_per_epoch, seed=self.seed
        )
        rank, world_size = self._rank_and_world()
        sampler = EpochSampler(length=mixture.length, rank=rank, world_size=world_size)
        dataset = TrainingSet(sources, mixture, chosen.patch_size, self.seed, second_view=self.second_view)
        return self._loader(dataset, sampler, batch_size=chosen.batch_size, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        dataset = WholeImages(self.sources("val"), seed=self.seed, limit=self.val_images, centre=self.val_size)
        rank, world_size = self._rank_and_world()
        if len(dataset) < world_size:  # a rank without a batch skips the epoch's end, for which the others wait
            raise InputError(f"{len(dataset)} validation image(s) for {world_size} devices: expected one for each")
        sampler = ShardSampler(length=len(dataset), rank=rank, world_size=world_size)
        return self._loader(dataset, sampler, batch_size=1)

    def test_dataloader(self) -> DataLoader:
        return self.val_dataloader()

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Takes the luma of what the net is to see gray."""
        in_training = self.trainer is not None and self.trainer.training
        if not self.gray or (self.scale > 1 and not in_training):
            return batch
        return {**batch, "degraded": luma(batch["degraded"]), "clean": luma(batch["clean"])}

    def _loader(
        self, dataset: Dataset[Sample], sampler: Sampler[int], *, batch_size: int, drop_last: bool = False
    ) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _rank_and_world(self) -> tuple[int, int]:
        trainer = self.trainer
        if trainer is None:
            return 0, 1
        if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
            raise InputError("RestorationData shards by itself: build the Trainer with use_distributed_sampler=False")
        return trainer.global_rank, trainer.world_size

    def _find(self) -> dict[Split, Found]:
        if self.root is None:
            return {"train": Found(clean=demo_photos("train")), "val": Found(clean=demo_photos("val"))}
        if self._found is None:
            self._found = discover(self.root, self.tasks)
        return self._found

    def _sources_of(self, task: Degradation, split: Split, found: Found) -> list[TaskSource]:
        """The pairs of `task` or what is synthesised for it; both, where they are pooled."""
        pairs = [] if self.trainset in ("demo", "synthetic") else found.pairs.get(task, [])
        sources: list[TaskSource] = [FolderPairs(task=task, pairs=pairs, cache=self._cache)] if pairs else []
        if not pairs or (self.trainset == "pooled" and split == "train" and found.clean):
            sources.append(self._synthesised(task, split, found))
        return sources

    def _synthesised(self, task: Degradation, split: Split, found: Found) -> TaskSource:
        if (self.trainset == "paired" and not _without_pairs(task)) or not found.clean:
            kind = "clean photographs" if _without_pairs(task) else "pairs"
            raise InputError(f"{self.root}: no {split} {kind} for {task}; expected\n{EXPECTED_TREE}")
        degrade = self.synthesis.degrade(task)
        return SynthesisedPairs(task=task, photos=found.clean, degrade=degrade, cache=self._cache)


def _without_pairs(task: Degradation) -> bool:
    """Whether the field trains `task` on photographs degraded on the way."""
    return task in ("clean", *SCALES) or task.startswith("denoise")


def _one_scale(tasks: Sequence[Degradation]) -> int:
    scales = {SCALES.get(task, 1): task for task in tasks}
    if len(scales) > 1:
        raise InputError(f"--de_type {' '.join(scales.values())}: a network has one scale, train them one by one")
    return next(iter(scales))


def _at_least(least: int, **numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < least:
            raise InputError(f"--{name} {value}: expected a whole number of at least {least}")


def _weight_per_task(tasks: Sequence[Degradation], weights: dict[str, float]) -> dict[Degradation, float]:
    """An alias' weight is shared by the degradations it stands for."""
    shares = dict.fromkeys(tasks, 1.0)
    for name, weight in weights.items():
        chosen = expand([name])
        if not 0 <= weight < math.inf or not set(chosen) <= set(tasks):
            raise ValueError(f"weight {weight} for {name!r}: expected a number >= 0 for one of {', '.join(tasks)}")
        shares.update(dict.fromkeys(chosen, weight / len(chosen)))
    if not sum(shares.values()):
        raise ValueError("every weight is 0: at least one degradation must be above")
    return shares
