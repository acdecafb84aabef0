"""Finds what there is to train and test on below a folder: pairs by task, and clean photographs.

The trees of PromptIR/AirNet, MoCE-IR and of the data sets as their authors pack them (Rain100L, RESIDE/SOTS, GoPro,
LOL) are all met by one rule: a folder that holds a degraded and a clean subfolder of known names is a paired set;
the words of its path say its task and its split. CDD-11 shares one `clear` among the folders of its degradations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

from aio.errors import InputError
from aio.images import list_images
from aio.vocabulary import Degradation

Split = Literal["train", "val"]
Pair = tuple[Path, Path]
Key = TypeVar("Key", bound=str)

_DEGRADED: Final = (
    "input",
    "input_crops",
    "rainy",
    "hazy",
    "synthetic",
    "blur",
    "low",
    "lq",
    "noisy",
    "degraded",
    "rain",
)
_CLEAN: Final = ("target", "target_crops", "gt", "norain", "clear", "original", "sharp", "high", "hq", "clean")
_TASK_WORDS: Final[dict[Degradation, str]] = {
    "derain": r"rain",
    "dehaze": r"haz|sots|reside|^ots|^its",
    "deblur": r"blur|gopro|gopr\d|hide",
    "lowlight": r"lol|low|llie|enhance|dark",
}
_CDD11: Final[dict[str, Degradation]] = {
    "low": "lowlight",
    "haze": "dehaze",
    "rain": "derain",
    "snow": "desnow",
    "low_haze": "low_haze",
    "low_rain": "low_rain",
    "low_snow": "low_snow",
    "haze_rain": "haze_rain",
    "haze_snow": "haze_snow",
    "low_haze_rain": "low_haze_rain",
    "low_haze_snow": "low_haze_snow",
}
_NOISE_WORDS: Final = r"nois|bsd|wed|waterloo|div2k|flickr|kodak"
_SPLIT_WORDS: Final[dict[Split, str]] = {
    "train": r"train|our485",
    "val": r"^val|^test|_(test|val)(_|$)|^eval|sots|^rain100|bsd68|kodak|urban100",
}
_HELD_OUT: Final = 20  # one clean image in so many validates where no folder's name says what does

EXPECTED_TREE: Final = """\
ROOT/
  train/denoise/*.png                      clean photographs (BSD400, WED, ...)
  train/derain/{input,target}/*.png        or {rainy,gt}; rain-001 <-> norain-001
  train/dehaze/{input,target}/*.png        or {hazy,clear}, {synthetic,original}; 0025_0.8_0.1 <-> 0025
  train/deblur/{input,target}/*.png        or {blur,sharp}, in any depth of scene folders
  train/lowlight/{input,target}/*.png      or {low,high}
  val/...                                  the same (also test/, eval15/)"""


@dataclass
class Found:
    """Everything found for one split below a root."""

    pairs: dict[Degradation, list[Pair]] = field(default_factory=dict)
    clean: list[Path] = field(default_factory=list)


class _Set(NamedTuple):
    """Folders of degraded images side by side in `folder`, with that of their clean partners if there is one."""

    folder: Path
    degraded: list[Path]
    clean: Path | None
    task: Degradation | None = None  # where the folder's own name says it, and not its path


def discover(root: Path, tasks: Iterable[Degradation]) -> dict[Split, Found]:
    """Paired and clean images below `root`, by split.

    Raises:
        InputError: `root` is missing or holds no image, or degraded images lack their clean partner or its folder.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a data tree like\n{EXPECTED_TREE}")
    tasks = list(tasks)
    wanted = [task for task in tasks if task in {*_TASK_WORDS, *_CDD11.values()}]
    sets = _degraded_sets(root)
    named = [s.task or _match(_words(root, s.folder), _TASK_WORDS) for s in sets]
    if not any(named) and len(wanted) == 1:  # the one set below ROOT can only be the one task asked for
        named = [wanted[0]] * len(sets)
    paired: dict[Degradation, list[tuple[Path, list[Pair]]]] = {}
    for task, (folder, degraded, clean, _) in zip(named, sets, strict=True):
        if task is not None and task in wanted:
            if clean is None:
                raise InputError(f"{degraded[0]}: expected its clean partners beside it in {' or '.join(_CLEAN)}")
            paired.setdefault(task, []).append((folder, pair_up(degraded, clean)))
    found: dict[Split, Found] = {"train": Found(), "val": Found()}
    for task, parts in paired.items():
        for split, pairs in _by_split(root, parts).items():
            found[split].pairs[task] = pairs
    for split, photos in _clean_photos(root, sets).items():
        found[split].clean = photos
    for content in found.values():
        content.clean = content.clean or sorted({clean for pairs in content.pairs.values() for _, clean in pairs})
    if not any(content.clean for content in found.values()):
        raise InputError(f"{root}: holds no image for {', '.join(tasks)}; expected a data tree like\n{EXPECTED_TREE}")
    return found


def pair_up(degraded: Iterable[Path], clean: Path) -> list[Pair]:
    """Each image below the `degraded` folders with its partner below `clean`, by the field's naming rules.

    In turn: the same name; `rain-1` with `norain-1`; `babyx4` with `baby`, `img_SRF_4_LR` with `img_SRF_4_HR`
    (super-resolution); the text before the first underscore (RESIDE). A folder in which
    no name fits but the counts agree is paired in sorted order (MoCE-IR's RainTrainL).

    Raises:
        InputError: there is no degraded image, or some have no partner (the first ten are named).
    """
    degraded = list(degraded)
    partners = {_stem(path, clean): path for path in list_images(clean)}
    images = [(path, _stem(path, folder)) for folder in degraded for path in list_images(folder)]
    if not images:
        raise InputError(f"{degraded[0]}: holds no image; expected the degraded partners of those in {clean}")
    named = [(path, next((partners[s] for s in _partner_stems(stem) if s in partners), None)) for path, stem in images]
    missing = [path for path, partner in named if partner is None]
    if len(missing) == len(named) == len(partners):
        return list(zip((path for path, _ in named), partners.values(), strict=True))
    if missing:
        listed = "\n  ".join(str(path) for path in missing[:10])
        raise InputError(f"{len(missing)} degraded images have no partner in {clean}, the first:\n  {listed}")
    return [(path, partner) for path, partner in named if partner is not None]


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _partner_stems(stem: str) -> tuple[str, ...]:
    name = stem.rsplit("/", 1)[-1]
    large = re.sub(r"_?x[234]$", "", name), re.sub(r"_LR$", "_HR", name)
    return stem, name, re.sub(r"^rain", "norain", name), *large, name.split("_", 1)[0]


def _degraded_sets(root: Path) -> list[_Set]:
    sets = []
    inside: set[Path] = set()  # RESIDE's `synthetic` holds parts, which are no set of their own
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        if inside.intersection((folder, *folder.parents)):
            continue
        children = {child.name.lower(): child for child in sorted(folder.iterdir()) if child.is_dir()}
        if composites := _composites(folder, children):
            sets += composites
            inside |= {*children.values()}
            continue
        parts = [child for name, child in children.items() if re.fullmatch(r"part\d+", name)]
        degraded = next(([children[name]] for name in _DEGRADED if name in children), parts)
        clean = next((children[name] for name in _CLEAN if name in children), None)
        if degraded:
            sets.append(_Set(folder, degraded, clean))
            inside |= {*degraded, clean} if clean else set()
    paired = [s.folder for s in sets if s.clean]  # below a folder `rain`, say, that only names the task
    return [s for s in sets if s.clean or not any(d in (f, *f.parents) for f in paired for d in s.degraded)]


def _composites(folder: Path, children: dict[str, Path]) -> list[_Set]:
    """The sets of CDD-11, of which several share one clean side."""
    named = [(children[name], task) for name, task in _CDD11.items() if name in children]
    if "clear" not in children or len(named) < 2:
        return []
    return [_Set(folder, [degraded], children["clear"], task) for degraded, task in named]


def _clean_photos(root: Path, sets: list[_Set]) -> dict[Split, list[Path]]:
    """Images outside paired sets: those whose path speaks of denoising if there are any, else all."""
    in_pairs: set[Path | None] = set()
    for folder, degraded, clean, _ in sets:
        if clean:  # beside GoPro's `blur` and `sharp` lies `blur_gamma`: not clean either
            in_pairs |= {folder} if folder != root else {*degraded, clean}
    outside = [path for path in list_images(root) if not in_pairs.intersection(path.parents)]
    chosen = [p for p in outside if re.search(_NOISE_WORDS, " ".join(_words(root, p.parent)))] or outside
    splits = _by_split(root, [(path.parent, [(path, path)]) for path in chosen])
    return {split: [clean for _, clean in pairs] for split, pairs in splits.items()}


def _by_split(root: Path, sets: Iterable[tuple[Path, list[Pair]]]) -> dict[Split, list[Pair]]:
    """The pairs of each folder in the split that its path below `root` names.

    Those of folders that name none train; where no folder validates, every `_HELD_OUT`-th of their clean images does.
    """
    splits: dict[Split, list[Pair]] = {"train": [], "val": []}
    unnamed: list[Pair] = []
    for folder, pairs in sets:
        split = _match(_words(root, folder)[:-1], _SPLIT_WORDS)
        (unnamed if split is None else splits[split]).extend(pairs)
    photos = sorted({clean for _, clean in unnamed})
    held_out = set() if splits["val"] or len(photos) == 1 else set(photos[::_HELD_OUT])
    for pair in unnamed:
        splits["val" if pair[1] in held_out else "train"].append(pair)
    return splits


def _words(root: Path, folder: Path) -> list[str]:
    """The names of the folders from below `root` down to `folder`, then that of `root`, which says least."""
    return [*(part.lower() for part in folder.relative_to(root).parts), root.name.lower()]


def _match(words: list[str], patterns: dict[Key, str]) -> Key | None:
    """The key whose pattern the first word meets; "train" is no word about rain."""
    for word in words:
        for key, pattern in patterns.items():
            text = word if key == "train" else word.replace("train", "")
            if re.search(pattern, text):
                return key
    return None
