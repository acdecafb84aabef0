"""Which folders of a tree hold degraded images and their clean partners, by the names that the field gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aio.data.pairing import Pair, Views, pair_folders, pair_in_order, pair_within
from aio.data.tree import Folder
from aio.errors import InputError
from aio.vocabulary import SCALES, Degradation

DEGRADED_NAMES: Final = (
    "input",
    "input_crops",
    "inputc",
    "inputc_crops",
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
CLEAN_NAMES: Final = ("target", "target_crops", "gt", "norain", "clear", "original", "sharp", "high", "hq", "clean")
CDD11: Final[dict[str, Degradation]] = {
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
_LARGE: Final = r"(?:(.+)_)?(?:hr|gtmod\d+)"  # DIV2K_train_HR, Set5/HR, BasicSR's Set5/GTmod12
_SMALL: Final = r"(?:(.+)_)?lr(?:_?bic(?:ubic)?)?(?:_?x(\d))?"  # DIV2K_train_LR_bicubic/X2, BasicSR's Set5/LRbicx4
_SR: Final[dict[str, Degradation]] = {str(scale): task for task, scale in SCALES.items()}
_IN_ONE_FOLDER: Final[tuple[tuple[str, str, Degradation], ...]] = (
    ("_noisy_srgb_", "_gt_srgb_", "denoise_real"),  # SIDD as its authors pack it
    *((f"_srf_{scale}_lr.", f"_srf_{scale}_hr.", task) for scale, task in _SR.items()),  # Huang et al., CVPR 2015
)


@dataclass(eq=False)
class PairedSet:
    """Folders of degraded images, and that of their clean partners if there is one.

    Attributes:
        folder: its path says the split, and the task where `task` does not.
        takes: the folders in which no other images are looked for.
        views: folders of what the left and the right half of a dual-pixel camera's pixels saw.
        pairing: how files find their partners.
    """

    folder: Folder
    degraded: list[Folder]
    clean: Folder | None
    takes: list[Folder]
    task: Degradation | None = None
    views: tuple[Folder, Folder] | None = None
    pairing: Callable[[list[Folder], Folder], list[Pair]] = pair_folders

    def pairs(self) -> list[Pair]:
        """Degraded and clean files.

        Raises:
            InputError: there is no folder of partners, or some image has none.
        """
        if self.clean is None:
            first = self.degraded[0].path
            raise InputError(f"{first}: expected its clean partners beside it in {' or '.join(CLEAN_NAMES)}")
        return self.pairing(self.degraded, self.clean)

    def left_and_right(self) -> list[Views]:
        """Left view, right view and clean image of each pair, in the order of `pairs`; none where there are no views.

        Raises:
            InputError: a view is missing.
        """
        if self.views is None or self.clean is None:
            return []
        left, right = (self.pairing([view], self.clean) for view in self.views)
        if [clean for _, clean in left] != [clean for _, clean in right]:
            raise InputError(f"{self.views[0].path} and {self.views[1].path}: expected the same images in both")
        return [(a, b, clean) for (a, clean), (b, _) in zip(left, right, strict=True)]


def find_sets(root: Folder) -> list[PairedSet]:
    """All sets below `root`, from the top down. What lies inside one is no set of its own.

    A folder `rain`, say, without a clean one beside it only names the task of the sets below it, if there are any.
    """
    sets = list(_sets_below(root))
    paired = [s.folder.path for s in sets if s.clean]
    above = {folder for path in paired for folder in (path, *path.parents)}
    return [s for s in sets if s.clean or not any(folder.path in above for folder in s.degraded)]


def _sets_below(folder: Folder) -> Iterator[PairedSet]:
    children = {name.lower(): child for name, child in folder.folders.items()}
    found = _composites(folder, children) or _dual_pixel(children) or _sides(folder, children)
    found += [*_low_resolution(children), *_in_one_folder(folder)]
    yield from found
    inside = {part.path for s in found if s.clean for part in (*s.degraded, s.clean, *(s.views or ()))}
    for child in folder.folders.values():
        if child.path not in inside:
            yield from _sets_below(child)


def _sides(folder: Folder, children: dict[str, Folder]) -> list[PairedSet]:
    """A degraded and a clean side of known names; RESIDE's hazy side may be parts. Restormer's DPDD has views too."""
    parts = [child for name, child in children.items() if re.fullmatch(r"part\d+", name)]
    name = next((name for name in DEGRADED_NAMES if name in children), "")
    degraded = [children[name]] if name else parts
    clean = next((children[name] for name in CLEAN_NAMES if name in children), None)
    if not degraded:
        return []
    left, right = (children.get(name.replace("inputc", view)) for view in ("inputl", "inputr"))
    views = (left, right) if name.startswith("inputc") and left and right else None
    task: Degradation | None = "defocus" if views else None
    return [PairedSet(folder, degraded, clean, _takes(folder, degraded, clean), task, views)]


def _composites(folder: Folder, children: dict[str, Folder]) -> list[PairedSet]:
    """The sets of CDD-11, of which several share one clean side."""
    named = [(children[name], task) for name, task in CDD11.items() if name in children]
    clear = children.get("clear")
    if clear is None or len(named) < 2:
        return []
    takes = _takes(folder, [side for side, _ in named], clear)
    return [PairedSet(folder, [degraded], clear, takes, task) for degraded, task in named]


def _dual_pixel(children: dict[str, Folder]) -> list[PairedSet]:
    """DPDD as its authors pack it: `train_l/source`, `train_r/source`, `train_c/source` and `train_c/target`."""
    sets = []
    for part in ("train", "val", "test"):
        left, right, both = (children.get(f"{part}_{view}", Folder(Path())).folders for view in "lrc")
        if {"source", "target"} <= both.keys() and "source" in left and "source" in right:
            takes = [children[f"{part}_{view}"] for view in "lrc"]
            views = left["source"], right["source"]
            # source and target were shot one after the other and are numbered so
            sets.append(PairedSet(takes[2], [both["source"]], both["target"], takes, "defocus", views, _first_in_order))
    return sets


def _low_resolution(children: dict[str, Folder]) -> Iterator[PairedSet]:
    """Small images beside their large ones, scale by scale; the large ones remain photographs for all else."""
    large = {match[1]: child for name, child in children.items() if (match := re.fullmatch(_LARGE, name))}
    for name, child in children.items():
        match = re.fullmatch(_SMALL, name)
        if match is None or match[1] not in large:
            continue
        clean = large[match[1]]
        by_scale = {match[2]: child} if match[2] else {name[1:]: inner for name, inner in child.folders.items()}
        for scale, small in by_scale.items():
            if scale in _SR:
                yield PairedSet(clean, [small], clean, [child], _SR[scale])


def _in_one_folder(folder: Folder) -> Iterator[PairedSet]:
    """Degraded and clean files side by side, told apart by a word in their names."""
    for degraded, clean, task in _IN_ONE_FOLDER:
        if any(degraded in name.lower() for name in folder.files):
            takes = [] if task in SCALES else [folder]
            pairing = partial(_within, marks=(degraded, clean))
            yield PairedSet(folder, [folder], folder, takes, task, pairing=pairing)


def is_low_resolution(name: str) -> bool:
    """Whether a file beside its large partner is the small one."""
    return re.search(r"_srf_\d_lr\.", name.lower()) is not None


def _takes(folder: Folder, degraded: list[Folder], clean: Folder | None) -> list[Folder]:
    """Beside GoPro's `blur` and `sharp` lies `blur_gamma`, which is no photograph either; the root may hold others."""
    if clean is None:
        return []
    return [folder] if folder.words else [*degraded, clean]


def _first_in_order(degraded: list[Folder], clean: Folder) -> list[Pair]:
    return pair_in_order(degraded[0], clean)


def _within(degraded: list[Folder], clean: Folder, *, marks: tuple[str, str]) -> list[Pair]:
    return pair_within(clean, *marks)
