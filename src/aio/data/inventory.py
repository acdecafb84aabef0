"""What a tree holds, however broken it is: data sets, the clean images of each split, the files that are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aio.data.discovery import Found, discover, identify, photographs, sets_by_task
from aio.data.lists import read_lists
from aio.data.paired_sets import CLEAN_NAMES, PairedSet, find_sets
from aio.data.pairing import Pair, pair_folders, partners_of
from aio.data.report import Finding, Part
from aio.data.sources import DATA_SETS, DataSet, Split
from aio.data.splits import by_split, split_of
from aio.data.tree import Folder, read_tree
from aio.errors import InputError
from aio.images import SUFFIXES
from aio.vocabulary import SCALES, Degradation


@dataclass(eq=False)
class Holding:
    """Pairs or photographs that belong together: a data set's, or else a folder's."""

    name: str
    row: DataSet | None
    folder: Path
    tasks: tuple[Degradation, ...]
    paired: bool
    pairs: list[Pair] = field(default_factory=list)
    photos: list[Path] = field(default_factory=list)

    @property
    def clean(self) -> list[Path]:
        """The clean images, each once."""
        return sorted({*self.photos, *(clean for _, clean in self.pairs)})

    @property
    def scale(self) -> int:
        """How much larger the clean side of a pair is."""
        return SCALES.get(self.tasks[0], 1) if self.tasks else 1


@dataclass(eq=False)
class Inventory:
    """All that a tree holds.

    Attributes:
        images: all image files.
        sets: every paired set.
        named: those of the tasks asked for.
        holdings: one for each data set, and each folder of none.
        splits: the clean images of each split, where training finds them; photographs that no task uses too.
        used: the files that training reads.
        findings: what keeps sets from being whole.
    """

    tree: Folder
    images: list[Path]
    sets: list[PairedSet]
    named: dict[Degradation, list[PairedSet]]
    holdings: list[Holding]
    splits: dict[Split, list[Path]]
    used: set[Path]
    findings: list[Finding]

    def below_root(self, path: Path) -> str:
        """The path as reports show it."""
        return path.relative_to(self.tree.path).as_posix()

    def parts(self) -> list[Part]:
        """The holdings as reports show them."""
        return [self._part(holding) for holding in self.holdings]

    def _part(self, holding: Holding) -> Part:
        row = holding.row
        shown = holding.tasks if holding.paired else row.tasks if row else ()
        split = row.split if row else split_of(Path(self.below_root(holding.folder).lower()).parts) or ""
        return Part(
            name=holding.name,
            folder=self.below_root(holding.folder),
            split=split,
            tasks=shown,
            found=len(holding.pairs) if holding.paired else len(holding.photos),
            expected=row.count if row else None,
            pairing=row.pairing if row and holding.paired else "",
            paper=row.paper if row else "",
        )


def take_inventory(root: Path, tasks: Sequence[Degradation]) -> Inventory:
    """Looks at names alone, and goes on past whatever is broken."""
    tree = read_tree(root)
    sets = find_sets(tree)
    findings: list[Finding] = []
    named = sets_by_task(tree, sets, tasks)
    holdings = [*_paired(root, named, findings), *_unpaired(root, tree, sets)]
    found = _found(root, tasks, holdings, findings)
    images = [path for path in tree.paths() if path.suffix.lower() in SUFFIXES]
    used = {path for content in found.values() for path in _files(content)}
    used |= {file_list.path for file_list in read_lists(tree, tasks)}
    splits = _clean_sides(root, found, images, sets)
    return Inventory(tree, images, sets, named, _merged(holdings), splits, used, findings)


def absent_sets(tasks: Iterable[Degradation], holdings: Iterable[Holding]) -> list[str]:
    """The rows of the table that serve one of `tasks` and are not among the holdings."""
    here = {holding.name for holding in holdings}
    wanted = set(tasks)
    return [row.name for row in DATA_SETS if row.name not in here and wanted.intersection(row.tasks)]


def without_pairs(tasks: Iterable[Degradation], holdings: Iterable[Holding]) -> Iterator[Finding]:
    """The tasks of which there are no pairs; of those for which the field needs none, nothing is said."""
    here = {task for holding in holdings if holding.paired for task in holding.tasks}
    for task in tasks:
        if task not in here and task not in (*SCALES, "clean", "jpeg") and not re.match(r"denoise_(\d|blind)", task):
            yield Finding("no pairs", f"{task}: none are here; training can only synthesise it", level="note")


def _paired(root: Path, named: dict[Degradation, list[PairedSet]], findings: list[Finding]) -> Iterator[Holding]:
    for task, sets in named.items():
        for found in sets:
            row = identify(root, found.degraded[0].path)
            pairs, finding = _pairs(found)
            if finding is not None:
                findings.append(_relative(finding, root))
            yield Holding(row.name if row else "", row, found.folder.path, (task,), True, pairs)


def _pairs(found: PairedSet) -> tuple[list[Pair], Finding | None]:
    """The pairs of a set as far as they go, and what keeps it from being whole."""
    if found.clean is None:
        files = tuple(str(folder.path) for folder in found.degraded)
        beside = " or ".join(CLEAN_NAMES)
        return [], Finding("no partners", f"degraded images without a folder of clean ones beside it: {beside}", files)
    if found.pairing is pair_folders:
        partners = partners_of(found.degraded, found.clean)
        missing = tuple(str(path) for path, partner in partners if partner is None)
        pairs = [(path, partner) for path, partner in partners if partner is not None]
        text = f"{len(missing)} of {len(partners)} degraded images have no partner in {found.clean.path.name}"
        return pairs, Finding("no partner", text, missing) if missing else None
    try:
        return found.pairs(), None
    except InputError as error:
        return [], Finding("no partner", str(error))


def _relative(finding: Finding, root: Path) -> Finding:
    files = tuple(Path(file).relative_to(root).as_posix() for file in finding.files)
    return Finding(finding.kind, finding.text.replace(f"{root}/", ""), files, finding.level)


def _unpaired(root: Path, tree: Folder, sets: Sequence[PairedSet]) -> Iterator[Holding]:
    for folder, photos in photographs(tree, sets):
        row = identify(root, folder.path)
        clean = row if row and row.kind == "clean" else None
        yield Holding(clean.name if clean else "", clean, folder.path, (), False, [], [photo for (photo,) in photos])


def _merged(holdings: Iterable[Holding]) -> list[Holding]:
    """One holding for all folders of a data set, as GoPro's scenes are; in super-resolution one for each scale."""
    merged: dict[tuple[object, ...], Holding] = {}
    for holding in holdings:
        scale = holding.tasks if holding.scale > 1 else ()
        key = (holding.name or holding.folder, holding.paired, scale)
        if key not in merged:
            merged[key] = holding
            continue
        one = merged[key]
        one.pairs, one.photos = one.pairs + holding.pairs, one.photos + holding.photos
        one.tasks = tuple(dict.fromkeys((*one.tasks, *holding.tasks)))
        above = (one.folder, *one.folder.parents)
        one.folder = next(folder for folder in above if holding.folder.is_relative_to(folder))
    return list(merged.values())


def _found(
    root: Path, tasks: Sequence[Degradation], holdings: Sequence[Holding], findings: list[Finding]
) -> dict[Split, Found]:
    """As training finds it, or the whole part of it where training would stop."""
    try:
        return discover(root, tasks)
    except InputError as error:
        findings.append(Finding("stops training", str(error).partition("; expected a data tree")[0]))
    found: dict[Split, Found] = {"train": Found(), "val": Found()}
    for holding in holdings:
        folder = Folder(holding.folder, tuple(part.lower() for part in holding.folder.relative_to(root).parts))
        for split, pairs in by_split([(folder, holding.pairs)], {}).items():
            for task in holding.tasks:
                found[split].pairs.setdefault(task, []).extend(pairs)
        for split, photos in by_split([(folder, [(photo,) for photo in holding.photos])], {}).items():
            found[split].clean += [photo for (photo,) in photos]
    return found


def _files(content: Found) -> Iterator[Path]:
    yield from content.clean
    for pairs in content.pairs.values():
        yield from (path for pair in pairs for path in pair)
    for views in content.views.values():
        yield from (path for view in views for path in view)


def _clean_sides(
    root: Path, found: dict[Split, Found], images: Iterable[Path], sets: Iterable[PairedSet]
) -> dict[Split, list[Path]]:
    taken = {folder.path for s in sets for folder in (*s.takes, *s.degraded)}
    sides: dict[Split, set[Path]] = {}
    for split, content in found.items():
        sides[split] = {*content.clean, *(clean for pairs in content.pairs.values() for _, clean in pairs)}
    known = sides["train"] | sides["val"]
    for path in images:
        if path not in known and not taken.intersection(path.parents):
            named = split_of([part.lower() for part in path.relative_to(root).parts[:-1]])
            if named is not None:
                sides[named].add(path)
    return {split: sorted(paths) for split, paths in sides.items()}
