"""What the files of an inventory show once they were looked at: broken, unequal, small, odd, or there twice."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from aio.data.duplicates import Match, same_photographs
from aio.data.inventory import Holding, Inventory
from aio.data.report import Finding, Level
from aio.data.sources import Split
from aio.data.survey import Look

SMALLEST: Final = 128  # the side of training crops by default

Looks = Mapping[Path, Look]


def counts(inventory: Inventory) -> Iterator[Finding]:
    """Data sets of another size than the table says; a note where the folder may well hold something else."""
    for part in inventory.parts():
        if part.expected is not None and part.found != part.expected:
            named = re.split(r"[^a-z0-9]", part.name.lower())[0] in part.folder.lower()
            text = f"{part.name}: {part.found:,} in {part.folder}, expected {part.expected:,} ({part.paper})"
            if named:
                yield Finding("count", text)
            else:
                yield Finding("count", f"{text}; its place in the tree says so, not its name", level="note")


def broken(inventory: Inventory, looks: Looks) -> Iterator[Finding]:
    """Files that cannot be read."""
    faults = {path: look.fault for path, look in looks.items() if look.fault}
    if faults:
        lines = (text.replace(f"{inventory.tree.path}/", "") for text in faults.values())
        yield Finding("unreadable", f"{len(faults):,} of {len(looks):,} images cannot be read", tuple(lines))


def sizes(inventory: Inventory, looks: Looks) -> Iterator[Finding]:
    """Pairs of unequal size, pairs without any degradation, and images smaller than a training crop."""
    for holding in inventory.holdings:
        sound = [(a, b) for a, b in holding.pairs if not looks[a].fault and not looks[b].fault]
        unequal = [(a, b) for a, b in sound if not _fit(looks[a].size, looks[b].size, holding.scale)]
        name = _name(inventory, holding)
        if unequal:
            expected = "equal" if holding.scale == 1 else f"one {holding.scale} times the other"
            shown = tuple(
                f"{inventory.below_root(a)} {_size(looks[a])} = {inventory.below_root(b)} {_size(looks[b])}"
                for a, b in unequal
            )
            yield Finding("size", f"{name}: {len(unequal):,} pairs of unequal size, expected {expected}", shown)
        equal = [(a, b) for a, b in sound if looks[a].digest and looks[a].digest == looks[b].digest]
        if equal:
            shown = tuple(f"{inventory.below_root(a)} = {inventory.below_root(b)}" for a, b in equal)
            yield Finding("no degradation", f"{name}: {len(equal):,} pairs of two equal images", shown)
    yield from _small(inventory, looks, "train", "fault")
    yield from _small(inventory, looks, "val", "note")


def oddities(inventory: Inventory, looks: Looks) -> Iterator[Finding]:
    """Gray, palette, 16-bit and transparent files among those that are used, by folder."""
    groups: dict[tuple[Path, str], list[str]] = defaultdict(list)
    total: dict[Path, int] = defaultdict(int)
    for path, look in looks.items():
        total[path.parent] += 1
        for oddity in look.oddities if path in inventory.used else ():
            groups[path.parent, oddity].append(inventory.below_root(path))
    for (folder, oddity), files in sorted(groups.items()):
        text = f"{len(files):,} of {total[folder]:,} images in {inventory.below_root(folder)}: {oddity}"
        yield Finding("odd", text, tuple(files), "note")


def equal_images(inventory: Inventory, looks: Looks) -> Iterator[Finding]:
    """The same pixels twice among the clean images that train; a note where two data sets share them."""
    home = _homes(inventory)
    groups: dict[bytes, list[Path]] = defaultdict(list)
    for path in inventory.splits["train"]:
        if looks[path].digest:
            groups[looks[path].digest].append(path)
    within: list[str] = []
    across: list[str] = []
    for files in groups.values():
        if len(files) > 1:
            shown = " = ".join(map(inventory.below_root, files))
            (across if len({home.get(path) for path in files}) == len(files) else within).append(shown)
    if within:
        yield Finding("twice", f"{len(within):,} images stand twice in one data set for training", tuple(within))
    if across:
        text = f"{len(across):,} images stand in two data sets for training, pixel by pixel"
        yield Finding("shared", text, tuple(across), "note")


def leaks(inventory: Inventory, looks: Looks) -> Iterator[Finding]:
    """Photographs for testing that stand among those for training, by pair of data sets."""
    queries, gallery = (_fingerprinted(inventory.splits[split], looks) for split in ("val", "train"))
    yield from _shared(inventory, looks, queries, gallery, "leak")


def shared(inventory: Inventory, looks: Looks) -> Iterator[Finding]:
    """Photographs that stand in two data sets for training, saved anew; equal pixels are `equal_images`' affair."""
    train = set(inventory.splits["train"])
    groups = [_fingerprinted([path for path in h.clean if path in train], looks) for h in inventory.holdings]
    for one, other in combinations([group for group in groups if group], 2):
        yield from _shared(inventory, looks, min(one, other, key=len), max(one, other, key=len), "shared")


def _small(inventory: Inventory, looks: Looks, split: Split, level: Level) -> Iterator[Finding]:
    clean = [path for path in inventory.splits[split] if path in inventory.used and not looks[path].fault]
    if small := [path for path in clean if min(looks[path].size) < SMALLEST]:
        text = f"{len(small):,} clean images for {split} are smaller than {SMALLEST}, the default training crop"
        yield Finding("small", text, tuple(f"{inventory.below_root(p)} {_size(looks[p])}" for p in small), level)


def _shared(
    inventory: Inventory, looks: Looks, queries: Sequence[Path], gallery: Sequence[Path], kind: str
) -> Iterator[Finding]:
    if not queries or not gallery:
        return
    home = _homes(inventory)
    groups: dict[tuple[str, str], list[tuple[Path, Path, Match]]] = defaultdict(list)
    for match in same_photographs(_stack(queries, looks), _stack(gallery, looks)):
        one, other = queries[match.query], gallery[match.other]
        if one != other and not (kind == "shared" and looks[one].digest == looks[other].digest):
            here, there = (home.get(path, inventory.below_root(path.parent)) for path in (one, other))
            groups[here, there].append((one, other, match))
    for (here, there), found in groups.items():
        count = len({one for one, _, _ in found})
        text = f"{count:,} images of {here} stand in {there} too"
        if kind == "leak":
            text += ": what is to test was trained on"
        shown = tuple(
            f"{inventory.below_root(one)} = {inventory.below_root(other)} ({match.similarity:.2f})"
            for one, other, match in found
        )
        yield Finding(kind, text, shown, "fault" if kind == "leak" else "note")


def _homes(inventory: Inventory) -> dict[Path, str]:
    """The name of the data set, or of the folder, that each clean image belongs to."""
    return {path: _name(inventory, holding) for holding in inventory.holdings for path in holding.clean}


def _name(inventory: Inventory, holding: Holding) -> str:
    return holding.name or inventory.below_root(holding.folder)


def _fingerprinted(paths: Sequence[Path], looks: Looks) -> list[Path]:
    return [path for path in paths if looks[path].fingerprint is not None]


def _stack(paths: Sequence[Path], looks: Looks) -> np.ndarray:
    fingerprints = [looks[path].fingerprint for path in paths]
    return np.stack([f for f in fingerprints if f is not None])


def _fit(degraded: tuple[int, int], clean: tuple[int, int], scale: int) -> bool:
    return (clean[0] // scale, clean[1] // scale) == degraded


def _size(look: Look) -> str:
    return f"{look.size[0]} x {look.size[1]}"
