"""The files of a tree that training does not read, and why: what was misplaced or misnamed shows here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aio.data.discovery import sets_by_task
from aio.data.inventory import Inventory
from aio.data.report import Finding
from aio.images import SUFFIXES
from aio.vocabulary import DEGRADATIONS

_ARCHIVES: Final = frozenset({".zip", ".tar", ".gz", ".tgz", ".rar", ".7z", ".xz", ".bz2"})


def unused(inventory: Inventory) -> Iterator[Finding]:
    """Files that training does not read, by reason and folder."""
    reason_of = _reasons(inventory)
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in inventory.tree.paths():
        if path not in inventory.used:
            reason = _reason(path, reason_of)
            groups[reason, inventory.below_root(path.parent)].append(inventory.below_root(path))
    for (reason, folder), files in groups.items():
        yield Finding("unused", f"{len(files):,} in {folder}: {reason}", tuple(files), "note")


def _reasons(inventory: Inventory) -> dict[Path, str]:
    """Why images in the folders of paired sets are not read."""
    everything = sets_by_task(inventory.tree, inventory.sets, DEGRADATIONS)
    asked = {id(found) for group in inventory.named.values() for found in group}
    task_of = {id(found): task for task, group in everything.items() for found in group}
    reason_of: dict[Path, str] = {}
    for found in inventory.sets:
        within = "beside a paired set, in neither of its sides"
        task = task_of.get(id(found))
        side = f"of pairs for {task}, which was not asked for" if task else "of pairs whose path names no degradation"
        if found.clean is None:
            side = "degraded, without a folder of clean partners"
        elif id(found) in asked:
            side = "without a partner, or left out by an official list"
        reason_of |= {folder.path: within for folder in found.takes if folder.path not in reason_of}
        reason_of |= {folder.path: side for folder in (*found.degraded, *([found.clean] if found.clean else []))}
    return reason_of


def _reason(path: Path, reason_of: dict[Path, str]) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return "packed: unpack it" if suffix in _ARCHIVES else f"no image by its suffix {suffix!r}"
    inside = next((reason_of[folder] for folder in path.parents if folder in reason_of), "")
    return inside or "not named as a set of photographs, as others are; or left out by an official list"
