"""What is measured: one item per image, in the columns of a benchmark or of any folders; nothing is decoded yet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from aio.benchmarks import Benchmark, Column
from aio.data.cache import DecodedCache
from aio.data.degradations import Degrade, Synthesis, restormer_noise
from aio.data.demo import demo_photos
from aio.data.discovery import EXPECTED_TREE, Found, Pair, Views, discover, pair_up
from aio.data.dual_pixel import DualPixelPairs
from aio.data.pairing import rule_of
from aio.data.pairs import FolderPairs, SynthesisedPairs, TaskSource
from aio.data.scan import check_files
from aio.data.seeding import name_seed, seeded
from aio.errors import InputError
from aio.evaluation.blocks import SiddBlocks
from aio.images import list_images
from aio.vocabulary import SCALES, SIGMA, TASK_ID, Degradation

Group = TypeVar("Group", Pair, Views)
_NO_CACHE = 0  # each image is read once


class Source(Protocol):
    """What gives whole images: every `TaskSource` does."""

    task: Degradation

    def __len__(self) -> int: ...

    def name(self, index: int) -> str: ...

    def files(self) -> list[tuple[Path, ...]]: ...

    def sample(self, index: int, generator: torch.Generator, patch_size: int | None) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Item:
    """One image: `index` of `source`, in column `column` of the table, measured by `protocol`."""

    column: str
    name: str
    protocol: str
    source: Source
    index: int

    @property
    def task_id(self) -> int:
        """Of its degradation, for nets that are told."""
        return TASK_ID[self.source.task]

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from."""
        return self.source.files()[self.index]

    def load(self) -> tuple[Tensor, Tensor]:
        """Degraded `(C, H, W)` and clean `(C, sH, sW)` in [0, 1]; what is synthesised is seeded by the name."""
        return self.source.sample(self.index, seeded(0, name_seed(self.name)), None)


@dataclass(frozen=True)
class Plan:
    """All that is to be measured.

    Attributes:
        items: in the order of the columns.
        scale: how much larger the clean images are than the degraded ones.
        notes: what the user should know before it starts: how files were paired, which sets are missing.
    """

    items: list[Item]
    scale: int = 1
    notes: list[str] = field(default_factory=list)

    @property
    def views(self) -> bool:
        """Whether the degraded images are both views of a dual-pixel camera."""
        return any(isinstance(item.source, DualPixelPairs) for item in self.items)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(item.column for item in self.items))


def of_benchmark(
    benchmark: Benchmark,
    root: str | None,
    *,
    only: Sequence[Degradation] = (),
    protocol: str | None = None,
    gray: bool = False,
) -> Plan:
    """The images of `benchmark` below `root`; of its degradations `only` those named, where some are.

    They are measured by the benchmark's own protocols, or all by `protocol`. With `gray` noise falls on the luma.

    Raises:
        InputError: the root is missing or holds no image of it, or some files cannot be measured.
    """
    chosen = (column for column in benchmark.columns if not only or column.task in only)
    columns = [replace(column, gray=column.gray or gray) for column in chosen]
    if not columns:
        known = ", ".join(dict.fromkeys(column.task for column in benchmark.columns))
        raise InputError(f"--benchmark {benchmark.name} has no {', '.join(only)}: choose from {known}")
    if root is None and benchmark.trainset != "demo":
        raise InputError(
            f"--benchmark {benchmark.name} measures on {benchmark.sets}: give their root by --data_file_dir"
        )
    found = _found(benchmark, root, columns)
    items: list[Item] = []
    notes: list[str] = []
    for column in columns:
        own = _of_column(column, benchmark, columns, found, root)
        if column.images and len(own) != column.images:
            notes.append(f"{column.name}: {len(own)} of {column.images} images; do not compare with published rows")
        items += [replace(item, protocol=protocol or item.protocol) for item in own]
    if not items:
        raise InputError(
            f"{root}: holds no image of --benchmark {benchmark.name}; expected {benchmark.sets} in\n{EXPECTED_TREE}"
        )
    return _checked(items, SCALES.get(columns[0].task, 1), notes)


def of_folders(degraded: Path, clean: Path, *, task: Degradation | None, scale: int, protocol: str) -> Plan:
    """The pairs of two folders; several degraded images may share a clean one."""
    for folder in (degraded, clean):
        images_of(folder)
    pairs = pair_up([degraded], clean)
    of_scale: list[Degradation] = [name for name, factor in SCALES.items() if factor == scale]
    source = FolderPairs(task=task or (of_scale or ["clean"])[0], pairs=pairs, cache=DecodedCache(_NO_CACHE))
    return _checked(_items(source, task or degraded.resolve().name, protocol), scale, [_how_paired(pairs)])


def of_clean_folders(
    folders: Sequence[Path], *, task: Degradation, lr_kernel: str, protocol: str, gray: bool = False
) -> Plan:
    """The images of each folder, degraded on the way: a column for each folder. With `gray` noise falls on the luma."""
    synthesis = Synthesis(lr_kernels=(lr_kernel,))  # type: ignore[arg-type]  # it refuses other names
    degrade = synthesis.degrade(task, gray=gray)
    items = []
    for folder in folders:
        source = _synthesised(task, images_of(folder), degrade)
        items += _items(source, folder.resolve().name, protocol)
    return _checked(items, SCALES.get(task, 1), [])


def images_of(folder: Path) -> list[Path]:
    """All images in `folder`.

    Raises:
        InputError: it is missing, or there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    if not (images := list_images(folder)):
        raise InputError(f"{folder}: holds no image")
    return images


def _found(benchmark: Benchmark, root: str | None, columns: Sequence[Column]) -> Found:
    if all(column.blocks for column in columns):
        return Found()
    if root is None:
        return Found(clean=demo_photos("val"))
    return discover(Path(root), dict.fromkeys(column.task for column in columns))["val"]


def _of_column(
    column: Column, benchmark: Benchmark, columns: Sequence[Column], found: Found, root: str | None
) -> list[Item]:
    blocks: Source | None = SiddBlocks(root=Path(root or "")) if column.blocks else None
    source = blocks or _source(column, benchmark, columns, found)
    if source is None:
        return []
    items = _items(source, column.name, column.protocol or benchmark.protocol)
    return items if column.positions is None else _at_positions(items, column.positions)


def _at_positions(items: list[Item], name: str) -> list[Item]:
    """Those whose positions in the sorted set, counted from 1, stand in the file `name` beside the set's folders."""
    path = items[0].files[0].parent.parent / name
    return [items[position - 1] for position in np.load(path).ravel().astype(int)] if path.exists() else []


def _source(column: Column, benchmark: Benchmark, columns: Sequence[Column], found: Found) -> TaskSource | None:
    """Pairs where the column has some, else clean photographs to degrade where the benchmark has it so."""
    alone = sum(other.task == column.task for other in columns) == 1
    if column.views:
        views = _of_set(found.views.get(column.task, []), column.where, alone=alone)
        return DualPixelPairs(task=column.task, views=views, cache=DecodedCache(_NO_CACHE)) if views else None
    pairs = _of_set(found.pairs.get(column.task, []), column.where, alone=alone)
    if pairs:
        return FolderPairs(task=column.task, pairs=pairs, cache=DecodedCache(_NO_CACHE))
    if benchmark.trainset == "paired" and not column.synthesised:
        return None
    photos = [clean for _, clean in _of_set([(photo, photo) for photo in found.clean], column.where, alone=alone)]
    if not photos:
        return None
    return _synthesised(column.task, photos, _degrade(column))


def _of_set(groups: Sequence[Group], where: str, *, alone: bool) -> list[Group]:
    """Those whose path says `where`; all, if none does and no other column asks for the same."""
    named = [group for group in groups if re.search(where, group[0].as_posix().lower())]
    return named or (list(groups) if alone else [])


def _degrade(column: Column) -> Degrade:
    if column.restormer_noise:
        return partial(restormer_noise, sigma=SIGMA[column.task], gray=column.gray)
    return Synthesis().degrade(column.task, gray=column.gray)


def _synthesised(task: Degradation, photos: Sequence[Path], degrade: Degrade) -> SynthesisedPairs:
    return SynthesisedPairs(task=task, photos=photos, degrade=degrade, cache=DecodedCache(_NO_CACHE))


def _items(source: Source, column: str, protocol: str) -> list[Item]:
    return [Item(column, source.name(index), protocol, source, index) for index in range(len(source))]


def _checked(items: list[Item], scale: int, notes: list[str]) -> Plan:
    sources = {id(item.source): item.source for item in items}
    files = (files for source in sources.values() for files in source.files() if not isinstance(source, SiddBlocks))
    check_files(files, scale=scale)
    return Plan(items, scale, notes)


def _how_paired(pairs: Sequence[Pair]) -> str:
    (degraded, clean), shared = pairs[0], len({clean for _, clean in pairs})
    of = f"{len(pairs)} pairs" if shared == len(pairs) else f"{len(pairs)} degraded images of {shared} clean ones"
    return f"{of}, by {rule_of(degraded, clean)}: {degraded.name} <-> {clean.name}, ..."
