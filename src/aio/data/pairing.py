"""Finds the clean partner of each degraded image, by the rules by which the field names its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from aio.data.tree import Folder, read_tree
from aio.errors import InputError

Pair = tuple[Path, Path]  # degraded and clean
Views = tuple[Path, Path, Path]  # what the left and the right half of the pixels saw, and the clean image

_SHOWN = 10


def pair_up(degraded: Iterable[Path], clean: Path) -> list[Pair]:
    """Each image below the `degraded` folders with its partner below `clean`, by the field's naming rules.

    In turn: the same name; `rain-1` with `norain-1`; `babyx4` with `baby`, `img_SRF_4_LR` with `img_SRF_4_HR`
    (super-resolution); `blur_1` with `gt_1` (RealBlur); the text before the first underscore (RESIDE). A folder in
    which no name fits but the counts agree is paired in sorted order (MoCE-IR's RainTrainL).

    Raises:
        InputError: there is no degraded image, or some have no partner (the first ten are named).
    """
    return pair_folders([read_tree(folder) for folder in degraded], read_tree(clean))


def pair_folders(degraded: Iterable[Folder], clean: Folder) -> list[Pair]:
    """As `pair_up`, of folders that were read."""
    degraded = list(degraded)
    named = partners_of(degraded, clean)
    if not named:
        raise InputError(f"{degraded[0].path}: holds no image; expected the degraded partners of those in {clean.path}")
    if missing := [path for path, partner in named if partner is None]:
        listed = "\n  ".join(str(path) for path in missing[:_SHOWN])
        raise InputError(f"{len(missing)} degraded images have no partner in {clean.path}, the first:\n  {listed}")
    return [(path, partner) for path, partner in named if partner is not None]


def partners_of(degraded: Iterable[Folder], clean: Folder) -> list[tuple[Path, Path | None]]:
    """Each image below the `degraded` folders with its partner by the rules of `pair_up`, or None where it has none."""
    partners = {_stem(name): clean.path / name for name in clean.images()}
    images = [(folder.path / name, _stem(name)) for folder in degraded for name in folder.images()]
    named = [(path, next((partners[s] for s in _partner_stems(stem) if s in partners), None)) for path, stem in images]
    if len(named) == len(partners) and not any(partner for _, partner in named):
        return [(path, partner) for (path, _), partner in zip(named, partners.values(), strict=True)]
    return named


def rule_of(degraded: Path, clean: Path) -> str:
    """By which rule of `pair_up` the two files became a pair, in words."""
    ours, theirs = degraded.stem, clean.stem
    if ours == theirs:
        return "the same name"
    if theirs == f"no{ours}":
        return "rain-1 with norain-1"
    if ours.startswith("blur") and theirs == f"gt{ours[4:]}":
        return "blur_1 with gt_1"
    if theirs in _partner_stems(ours):
        return "the text before the first underscore" if theirs == ours.partition("_")[0] else "the low-resolution mark"
    return "in sorted order, since no name fits"


def pair_in_order(degraded: Folder, clean: Folder) -> list[Pair]:
    """The n-th image of one folder with the n-th of the other, whatever their names.

    Raises:
        InputError: their numbers differ, or there is none.
    """
    ours, theirs = (folder.images() for folder in (degraded, clean))
    if not ours or len(ours) != len(theirs):
        raise InputError(
            f"{degraded.path} holds {len(ours)} images, {clean.path} {len(theirs)}: expected as many, paired in order"
        )
    return [(degraded.path / a, clean.path / b) for a, b in zip(ours, theirs, strict=True)]


def pair_within(folder: Folder, degraded: str, clean: str) -> list[Pair]:
    """Images of one folder, whose names hold `degraded` where their partners' hold `clean`, in capitals or not.

    Raises:
        InputError: some have no partner (the first ten are named).
    """
    by_name = {name.lower(): name for name in folder.files}
    ours = [name for name in by_name if degraded in name]
    partners = {name: by_name.get(name.replace(degraded, clean)) for name in ours}
    if missing := [by_name[name] for name, partner in partners.items() if partner is None]:
        listed = "\n  ".join(missing[:_SHOWN])
        raise InputError(f"{folder.path}: {len(missing)} images lack their partner `*{clean}*`, the first:\n  {listed}")
    return [(folder.path / by_name[name], folder.path / partner) for name, partner in partners.items() if partner]


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _partner_stems(stem: str) -> Iterator[str]:
    yield stem
    name = stem.rpartition("/")[2]
    yield name
    if name.startswith("rain"):
        yield f"no{name}"
    if name.endswith(("x2", "x3", "x4")):
        yield name[:-2].removesuffix("_")
    if name.endswith("_LR"):
        yield f"{name[:-2]}HR"
    if name.startswith("blur"):
        yield f"gt{name[4:]}"
    yield name.partition("_")[0]
