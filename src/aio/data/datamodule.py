"""RestorationData: one loader of mixed degradations for training, one whole-image loader per split for validation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from aio.colour import luma
from aio.data.degradations import Degrade, Synthesis
from aio.data.discovery import Split
from aio.data.loader import TrainingLoader, outlast_signals
from aio.data.mixture import EpochSampler, Mixture, ShardSampler, largest_remainder
from aio.data.on_device import degrade_batch
from aio.data.pairs import TaskSource
from aio.data.samples import TrainingSet, WholeImages
from aio.data.scan import check_files
from aio.data.shares import Shares, patch_size_per_task
from aio.data.streaming import StreamCache
from aio.data.supply import Supply, Trainset
from aio.errors import InputError
from aio.vocabulary import SCALES, Degradation, expand

_WORKERS: Final = min(4, os.cpu_count() or 1)
_SYNTHESIS: Final = Synthesis()
_STREAM_CACHE: Final = StreamCache()
DegradeOn = Literal["loader", "device", "auto"]


class _Training(NamedTuple):
    """What the training loader gives at present."""

    tasks: Sequence[Degradation]
    batch_size: int
    patch_size: int


class RestorationData(L.LightningDataModule):
    """Training and validation data of several degradations at once.

    Args:
        de_type: degradations by the field's names; `denoise` means sigma 15, 25 and 50.
        data_file_dir: root of the data tree, or folder or URL of a stream (`aio.data.streaming`); the demo photographs
            when it is missing.
        cache_dir: where `aio data prepare` wrote decoded images and an index; `.aio` below the root, if it is there.
        trainset: `demo`; `synthetic` (all is synthesised from the clean images below the root); `paired` (a paired
            folder for every task but noise); `mixed` (pairs where there are some, else synthesised; the default with a
            root); `pooled` (pairs and synthesised samples by halves, for training; validation as `mixed`; of haze a
            third is laid over the depth of its own pairs, where that is known).
        batch_size: samples per step and device.
        patch_size: side of the training crops in pixels; of the clean ones in super-resolution.
        pad_small: grows training images smaller than `patch_size` by reflection; they are refused otherwise.
        samples_per_epoch: length of an epoch over all devices; 10,000, or what `counts` add up to.
        weights: share of a degradation in an epoch, 1 where none is given.
        counts: samples of each degradation in an epoch, in the place of weights.
        temperature: T of shares that go as the number of images to the power 1/T, in the place of weights; 1 is
            proportional, .inf the same for all.
        patch_sizes: side of the training crops of a degradation, where it is not `patch_size`; each batch is of one
            side.
        synthesis: what is left to choose of the synthesised degradations.
        num_workers: loader processes per device; by default four, or as many as there are cores.
        val_images: at most so many validation images per degradation; all by default.
        val_size: validation images are cropped to this side at their centre; whole by default.
        seed: of order, crops, flips and degradations.
        stream_cache: where chunks of a stream wait on this machine.
        degrade_on: where training samples are synthesised: in the `loader`'s processes; on the `device` of the net, to
            which clean crops of 8 bit are shipped; `auto` is the device where it is a GPU. Second views: in the loader.

    Attributes:
        scale: how much larger the clean images are than the degraded ones.
        second_view: set it to give training batches a further entry of that name, another crop of the same degraded
            images.
        gray: set it to give the luma of all images, save those of super-resolution's validation, which is in colour.
        dual_pixel: set it to give both views of a dual-pixel camera in six channels, in the place of a degraded image.
    """

    def __init__(
        self,
        *,
        de_type: Sequence[str] = ("denoise", "derain", "dehaze", "deblur", "lowlight"),
        data_file_dir: str | None = None,
        cache_dir: str | None = None,
        trainset: Trainset | None = None,
        batch_size: int = 8,
        patch_size: int = 128,
        pad_small: bool = False,
        samples_per_epoch: int | None = None,
        weights: dict[str, float] | None = None,
        counts: dict[str, int] | None = None,
        temperature: float | None = None,
        patch_sizes: dict[str, int] | None = None,
        synthesis: Synthesis = _SYNTHESIS,
        num_workers: int = _WORKERS,
        val_images: int | None = None,
        val_size: int | None = None,
        seed: int = 0,
        degrade_on: DegradeOn = "loader",
        stream_cache: StreamCache = _STREAM_CACHE,
    ) -> None:
        super().__init__()
        try:
            self.tasks = expand(de_type)
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
        self._shares = Shares(
            self.tasks,
            samples_per_epoch=samples_per_epoch,
            weights=weights,
            counts=counts,
            temperature=temperature,
        )
        self.batch_size, self.patch_size = batch_size, patch_size
        self.patch_sizes = patch_size_per_task(self.tasks, patch_sizes or {}, scale=self.scale)
        self.pad_small = pad_small
        self.num_workers, self.seed = num_workers, seed
        self.val_images, self.val_size = val_images, val_size
        self.second_view, self.gray, self.dual_pixel = False, False, False
        self._training = _Training(self.tasks, batch_size, patch_size)
        if degrade_on not in get_args(DegradeOn):
            raise InputError(f"--data.degrade_on {degrade_on}: choose from {', '.join(get_args(DegradeOn))}")
        self.degrade_on: DegradeOn = degrade_on
        self._degrades: list[Degrade | None] = []
        self._supply = Supply(
            tasks=self.tasks,
            data_file_dir=data_file_dir,
            cache_dir=cache_dir,
            trainset=self.trainset,
            synthesis=synthesis,
            stream_cache=stream_cache,
            sharers=num_workers,
        )
        self._sources: dict[Split, list[TaskSource]] = {}

    def sources(self, split: Split) -> list[TaskSource]:
        """The sources of all degradations, in the order of `de_type`; found and checked on the first call.

        Raises:
            InputError: a folder, partner or image is missing, unreadable or too small.
        """
        if split not in self._sources:
            sources = self._supply.sources(split, gray=self.gray, dual_pixel=self.dual_pixel)
            sides = {source: self._smallest_side(source, split) for source in sources}
            for side, hint in sorted(set(sides.values())):
                files = [files for source in sources if sides[source] == (side, hint) for files in source.files()]
                check_files(files, smallest_side=side, hint=hint, scale=self.scale, size_of=self._supply.size_of)
            self._sources[split] = sources
        return self._sources[split]

    def setup(self, stage: str | None = None) -> None:
        """Finds and checks every file, so that a fault shows before training."""
        files = [path for split in get_args(Split) for source in self.sources(split) for path in chain(*source.files())]
        if self._supply.local:
            self._supply.local.settle(files)

    def train_on(self, *, tasks: Sequence[Degradation] | None, batch_size: int | None, patch_size: int | None) -> None:
        """What the next training loader gives; None is what the constructor said."""
        self._training = _Training(tasks or self.tasks, batch_size or self.batch_size, patch_size or self.patch_size)

    def batches_per_epoch(self, *, batch_size: int | None = None, tasks: Sequence[Degradation] | None = None) -> int:
        """Training batches of each device; of `batch_size` samples and of `tasks`, or as the constructor said."""
        of_side: Counter[int] = Counter()
        for task, quota in self._quotas(tasks or self.tasks).items():
            of_side[self.patch_sizes.get(task, self.patch_size)] += quota
        devices = self._rank_and_world()[1]
        return sum(quota // devices // (batch_size or self.batch_size) for quota in of_side.values())

    def check_batches(self, *, batch_size: int | None = None, tasks: Sequence[Degradation] | None = None) -> None:
        """Raises InputError if an epoch does not fill one batch on each device."""
        if not self.batches_per_epoch(batch_size=batch_size, tasks=tasks):
            samples = sum(self._quotas(tasks or self.tasks).values())
            raise InputError(
                f"{samples} samples_per_epoch on {self._rank_and_world()[1]} device(s) "
                f"do not fill a batch of {batch_size or self.batch_size}"
            )

    def train_dataloader(self) -> DataLoader:
        """From the batch on at which a resumed training stopped."""
        chosen = self._training
        self.check_batches(batch_size=chosen.batch_size, tasks=chosen.tasks)
        sources = [source for source in self.sources("train") if source.task in chosen.tasks]
        mixture = self._mixture(sources)
        patch_sizes = [self.patch_sizes.get(source.task, chosen.patch_size) for source in sources]
        rank, world_size = self._rank_and_world()
        sampler = EpochSampler(
            mixture, batch_size=chosen.batch_size, patch_sizes=patch_sizes, rank=rank, world_size=world_size
        )
        dataset = TrainingSet(
            sources,
            mixture,
            patch_sizes,
            self.seed,
            second_view=self.second_view,
            undegraded=self._degrades_on_device(),
        )
        self._degrades = [source.degrade for source in sources]
        return TrainingLoader(dataset, sampler, num_workers=self.num_workers, batches_done=self._batches_done)

    def state_dict(self) -> dict[str, int]:
        """For a checkpoint: batches of the epoch that are done, 0 at its end, and what decides which they were."""
        return {"batches_done": self._batches_done(), **self._layout()}

    def check_resume(self, state: Mapping[str, int]) -> None:
        """Raises InputError if `state` is of the middle of an epoch whose batches would be others now."""
        layout = self._layout()
        changed = [f"{name} {layout[name]} instead of {state[name]}" for name in layout if layout[name] != state[name]]
        if state["batches_done"] and changed:
            raise InputError(
                f"the checkpoint is of the middle of an epoch, after {state['batches_done']} batches, and cannot go on "
                f"with {', '.join(changed)}: leave that as it was, or go on from a checkpoint of an epoch's end"
            )

    def val_dataloader(self) -> DataLoader:
        dataset = WholeImages(self.sources("val"), seed=self.seed, limit=self.val_images, centre=self.val_size)
        rank, world_size = self._rank_and_world()
        if len(dataset) < world_size:  # a rank without a batch skips the epoch's end, for which the others wait
            raise InputError(f"{len(dataset)} validation image(s) for {world_size} devices: expected one for each")
        return DataLoader(
            dataset,
            sampler=ShardSampler(length=len(dataset), rank=rank, world_size=world_size),
            num_workers=self.num_workers,
            worker_init_fn=outlast_signals,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each validation would draw from the one that nets draw from
        )

    def test_dataloader(self) -> DataLoader:
        return self.val_dataloader()

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Degrades what the loader left to do, and takes the luma of what the net is to see gray."""
        if "seed" in batch:
            batch = degrade_batch(batch, self._degrades)
        in_training = self.trainer is not None and self.trainer.training
        if not self.gray or (self.scale > 1 and not in_training):
            return batch
        return {**batch, "degraded": luma(batch["degraded"]), "clean": luma(batch["clean"])}

    def _smallest_side(self, source: TaskSource, split: Split) -> tuple[int, str]:
        """Of the images of `source`, where it has pairs of the degraded ones, in pixels; and what asks for it."""
        if split == "val" or self.pad_small:
            return 1, ""
        side = self.patch_sizes.get(source.task, self.patch_size)
        if source.degrade or self.scale == 1:
            return side, "--patch_size"
        return side // self.scale, f"--patch_size {side} / {self.scale} ="

    def _quotas(self, tasks: Sequence[Degradation]) -> dict[Degradation, int]:
        def images(task: Degradation) -> int:
            return sum(len(source) for source in self.sources("train") if source.task == task)

        return self._shares.quotas(tasks, images)

    def _mixture(self, sources: Sequence[TaskSource]) -> Mixture:
        """The sources of one degradation share its quota by equal parts."""
        of_task = Counter(source.task for source in sources)
        parts = {
            task: iter(largest_remainder(np.ones(of_task[task]), quota).tolist())
            for task, quota in self._quotas(list(of_task)).items()
        }
        quotas = [next(parts[source.task]) for source in sources]
        stream = self._supply.stream
        return Mixture(
            sizes=[len(source) for source in sources],
            weights=quotas,
            length=sum(quotas),
            seed=self.seed,
            places=[stream.places(source.files()) for source in sources] if stream else None,
        )

    def _batches_done(self) -> int:
        """Of the epoch that is being trained on; 0 at its end."""
        if self.trainer is None:
            return 0
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        return 0 if progress.is_last_batch else progress.current.ready

    def _layout(self) -> dict[str, int]:
        chosen = self._training
        samples = sum(self._quotas(chosen.tasks).values())
        devices = self._rank_and_world()[1]
        return {"samples_per_epoch": samples, "devices": devices, "batch_size": chosen.batch_size}

    def _degrades_on_device(self) -> bool:
        """Whether `on_after_batch_transfer` is to degrade; without a trainer nobody calls it."""
        if self.trainer is None or self.second_view or self.degrade_on == "loader":
            return False
        return self.degrade_on == "device" or self.trainer.strategy.root_device.type == "cuda"

    def _rank_and_world(self) -> tuple[int, int]:
        trainer = self.trainer
        if trainer is None:
            return 0, 1
        if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
            raise InputError("RestorationData shards by itself: build the Trainer with use_distributed_sampler=False")
        return trainer.global_rank, trainer.world_size


def _one_scale(tasks: Sequence[Degradation]) -> int:
    scales = {SCALES.get(task, 1): task for task in tasks}
    if len(scales) > 1:
        raise InputError(f"--de_type {' '.join(scales.values())}: a network has one scale, train them one by one")
    return next(iter(scales))


def _at_least(least: int, **numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < least:
            raise InputError(f"--{name} {value}: expected a whole number of at least {least}")
