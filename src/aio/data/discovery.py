"""Finds what there is to train and test on below a folder: pairs by task, and clean photographs.

All trees of the field are met by one rule: folders of degraded and of clean images side by side, of known names, are a
paired set; the words of their path say its task and its split. What the rule cannot say, the table of data sets does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aio.data.lists import FileList, listed, read_lists
from aio.data.paired_sets import CDD11, PairedSet, find_sets, is_low_resolution
from aio.data.pairing import Pair, Views, pair_up
from aio.data.sources import DATA_SETS, DataSet, Split
from aio.data.splits import Files, by_split, match, split_of
from aio.data.tree import Folder, read_tree, walk
from aio.errors import InputError
from aio.vocabulary import SCALES, Degradation

__all__ = ["EXPECTED_TREE", "Found", "Pair", "Split", "Views", "discover", "identify", "pair_up", "walk"]

# Met by any folder of the path, before all else: words of other tasks stand beside them.
_RARE_TASK_WORDS: Final[dict[Degradation, str]] = {
    "defocus": r"defocus|dpdd|dual.?pixel",
    "denoise_real": r"sidd|real.?(de)?nois|polyu|renoir",
}
_TASK_WORDS: Final[dict[Degradation, str]] = {
    "derain": r"rain",
    "dehaze": r"haz|sots|reside|^ots|^its",
    "deblur": r"blur|gopro|gopr\d|hide",
    "lowlight": r"lol|low|llie|enhance|dark",
}
_PAIRED: Final = frozenset((*_TASK_WORDS, *_RARE_TASK_WORDS, *CDD11.values(), *SCALES))
_DIVIDED: Final = {row.where for row in DATA_SETS if row.split == "val" and row.lists}  # by a list for each part
_PHOTO_WORDS: Final = (
    r"nois|bsd|wed|waterloo|div2k|flickr|df2k|dfwb|kodak|mcmaster|urban100|manga109|\bset(5|12|14)(?!\d)|\bb100"
)

EXPECTED_TREE: Final = """\
ROOT/
  train/denoise/*.png                      clean photographs (BSD400, WED, ...)
  train/derain/{input,target}/*.png        or {rainy,gt}; rain-001 <-> norain-001
  train/dehaze/{input,target}/*.png        or {hazy,clear}, {synthetic,original}; 0025_0.8_0.1 <-> 0025
  train/deblur/{input,target}/*.png        or {blur,sharp}, in any depth of scene folders
  train/lowlight/{input,target}/*.png      or {low,high}
  train/defocus/{inputC,target}/*.png      with {inputL,inputR} the views of dual pixels
  train/SIDD/{input,target}/*.png          real camera noise
  DIV2K_train_{HR,LR_bicubic/X4}/*.png     super-resolution
  val/...                                  the same (also test/, eval15/)"""


@dataclass
class Found:
    """Everything found for one split below a root.

    Attributes:
        pairs: degraded and clean files.
        clean: photographs to degrade.
        views: of those pairs that a dual-pixel camera shot: left view, right view, clean file.
    """

    pairs: dict[Degradation, list[Pair]] = field(default_factory=dict)
    clean: list[Path] = field(default_factory=list)
    views: dict[Degradation, list[Views]] = field(default_factory=dict)


def discover(root: Path, tasks: Iterable[Degradation]) -> dict[Split, Found]:
    """Paired and clean images below `root`, by split.

    Where the official list of a training set lies in the tree, its task trains on what is on it alone.

    Raises:
        InputError: `root` is missing or holds no image, or degraded images lack their clean partner or its folder, or
            files that a list names are absent.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a data tree like\n{EXPECTED_TREE}")
    tasks = list(tasks)
    tree = read_tree(root)
    sets = find_sets(tree)
    lists = read_lists(tree, tasks)
    found: dict[Split, Found] = {"train": Found(), "val": Found()}
    for task, parts in sets_by_task(tree, sets, tasks).items():
        pairs = _split([(s.folder, s.pairs()) for s in parts], task, lists)
        views = _split([(s.folder, s.left_and_right()) for s in parts if s.views], task, lists)
        for split, content in found.items():
            content.pairs[task] = pairs[split]
            if views[split]:
                content.views[task] = views[split]
    noise = next((task for task in tasks if task.startswith("denoise") and task not in _PAIRED), None)
    for split, photos in _split(_suited(photographs(tree, sets), tasks), noise, lists).items():
        found[split].clean = [photo for (photo,) in photos]
    for content in found.values():
        content.clean = content.clean or sorted({clean for pairs in content.pairs.values() for _, clean in pairs})
    if not any(content.clean for content in found.values()):
        raise InputError(f"{root}: holds no image for {', '.join(tasks)}; expected a data tree like\n{EXPECTED_TREE}")
    return found


def identify(root: Path, folder: Path) -> DataSet | None:
    """The row of the table to which the images in `folder` below `root` belong; None where its path names no set.

    `folder` holds one side of the set: `Train/Derain/rainy` is Rain100L by PromptIR's names of both sides.
    """
    words = tuple(part.lower() for part in folder.relative_to(root).parts)
    return _row(words) or _row((root.resolve().name.lower(), *words))


def _row(words: Sequence[str]) -> DataSet | None:
    path, split = "/".join(words), split_of(words) or "train"
    return next((row for row in DATA_SETS if row.split == split and re.search(row.where, path)), None)


def sets_by_task(
    root: Folder, sets: Sequence[PairedSet], tasks: Collection[Degradation]
) -> dict[Degradation, list[PairedSet]]:
    """The sets of each of `tasks` that have any; the nameless sets below a root can only be of the one task asked."""
    wanted = [task for task in tasks if task in _PAIRED]
    named = [s.task or _task(root, s.folder) for s in sets]
    if not any(named) and len(wanted) == 1:
        named = [wanted[0]] * len(sets)
    chosen = {task: [s for s, name in zip(sets, named, strict=True) if name == task] for task in wanted}
    return {task: parts for task, parts in chosen.items() if parts}


def _task(root: Folder, folder: Folder) -> Degradation | None:
    """By the table, else by the words of the path, of which the name of the root says least."""
    row = _row(folder.words)
    if row is not None and row.kind in ("pairs", "dual-pixel"):
        return row.tasks[0]
    words = [*folder.words, root.path.name.lower()]
    return match(words, _RARE_TASK_WORDS) or match(words, _TASK_WORDS)


def photographs(root: Folder, sets: Iterable[PairedSet]) -> list[tuple[Folder, list[tuple[Path]]]]:
    """Images outside paired sets: those whose path names a set of photographs, if there are any, else all."""
    taken = {folder.path for s in sets for folder in s.takes}
    outside = [(folder, photos) for folder in _untaken(root, taken) if (photos := _images_in(folder))]
    above = root.path.name.lower()
    named = [part for part in outside if re.search(_PHOTO_WORDS, " ".join([*part[0].words, above]))]
    return named or outside


def _suited(
    parts: Sequence[tuple[Folder, list[tuple[Path]]]], tasks: Collection[Degradation]
) -> list[tuple[Folder, list[tuple[Path]]]]:
    """Without those test sets on which the field tests other tasks, where there is one for `tasks`.

    Kodak24 is for noise, Set5 for super-resolution.
    """
    rows = {folder.path: _row(folder.words) for folder, _ in parts if split_of(folder.words) == "val"}
    suited = {path for path, row in rows.items() if row is None or {*row.tasks}.intersection(tasks)}
    return [part for part in parts if not suited or part[0].path in suited or part[0].path not in rows]


def _untaken(folder: Folder, taken: Collection[Path]) -> Iterator[Folder]:
    if folder.path not in taken and folder.words[-1:] != ("depth",):  # which `aio.data.depth` reads
        yield folder
        for child in folder.folders.values():
            yield from _untaken(child, taken)


def _images_in(folder: Folder) -> list[tuple[Path]]:
    return [(folder.path / name,) for name in folder.own_images() if not is_low_resolution(name)]


def _split(
    parts: Sequence[tuple[Folder, Sequence[Files]]], task: Degradation | None, lists: Sequence[FileList]
) -> dict[Split, list[Files]]:
    """By the words of the paths, and by the official lists of `task`.

    A list that has a fellow for testing (RealBlur's) divides its own set; any other says all that trains.
    """
    own = [file_list for file_list in lists if task in file_list.of.tasks]
    dividing = [file_list for file_list in own if file_list.of.where in _DIVIDED]
    training = [file_list for file_list in own if file_list.of.where not in _DIVIDED]
    named: dict[Path, Split] = {}
    for file_list in dividing:
        pattern, split = file_list.of.where, file_list.of.split
        samples = [s for folder, group in parts if re.search(pattern, "/".join(folder.words)) for s in group]
        named |= {sample[0]: split for sample in (listed(samples, [file_list]) if samples else [])}
    samples = [sample for folder, group in parts if split_of(folder.words) != "val" for sample in group]
    if not training or not samples:
        return by_split(parts, named)
    chosen = {sample[0] for sample in listed(samples, training)}
    splits = by_split(parts, named | dict.fromkeys(chosen, "train"))
    return {**splits, "train": [sample for sample in splits["train"] if sample[0] in chosen]}
