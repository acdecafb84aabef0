"""The settings of a run inside its checkpoints, and in what those of a resumed run differ: what is said now wins."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table

from aio.errors import InputError
from aio.files import write_text

CHANGES: Final = "changes.csv"
_KEY: Final = "settings"
_OF_THE_CALL: Final = ("config", "base", "run_dir", "resume_from")  # and not of the experiment
_FIXED_IN_EPOCH: Final = (
    *("data.de_type", "data.trainset", "data.weights", "data.counts", "data.temperature", "data.patch_sizes"),
    *("data.seed", "progressive.stages", "trainer.accumulate_grad_batches"),
)
_DEEP: Final = 2  # levels that are options; below are values, in which a name may come and go


class Change(NamedTuple):
    """A setting that the checkpoint holds, and what it is now."""

    name: str
    stored: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name} {self.now} instead of {self.stored}"


class Settings(L.Callback):
    """Writes `settings`, plain data, into every checkpoint."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[_KEY] = self.settings


def of_experiment(config: dict[str, Any]) -> dict[str, Any]:
    """`config` without what says where the run lies and how it starts."""
    return {name: value for name, value in config.items() if name not in _OF_THE_CALL}


def settings_in(checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings of the run that wrote `checkpoint`; of an older one the few that it holds.

    Raises:
        InputError: it holds no training.
    """
    kept = checkpoint.get("hyper_parameters")
    if not isinstance(kept, dict) or "lr" not in kept or "optimizer_states" not in checkpoint:
        raise InputError(f"{path}: holds no training to go on with; start from its weights by --fine_tune_from")
    if isinstance(stored := checkpoint.get(_KEY), dict):
        return of_experiment(stored)
    return {"model": {name: kept[name] for name in ("lr", "protocol") if name in kept}}


def changes(stored: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """The settings in which the two differ; options that only one of them knows are none."""
    return _changes("", stored, now, depth=0)


def _changes(prefix: str, stored: dict[str, Any], now: dict[str, Any], depth: int) -> list[Change]:
    found: list[Change] = []
    for name in stored if depth < _DEEP else dict.fromkeys([*stored, *now]):
        if depth < _DEEP and name not in now:
            continue
        was, value = stored.get(name), now.get(name)
        if isinstance(was, dict) and isinstance(value, dict):
            found += _changes(f"{prefix}{name}.", was, value, depth + 1)
        elif was != value:
            found.append(Change(f"{prefix}{name}", was, value))
    return found


def refuse_in_epoch(found: Sequence[Change], path: Path) -> None:
    """Raises InputError if any of `found` would make other batches of the epoch that was broken off."""
    if fixed := [change for change in found if change.name.startswith(_FIXED_IN_EPOCH)]:
        raise InputError(
            f"{path}: is of the middle of an epoch, and cannot go on with {', '.join(map(str, fixed))}: leave that as "
            "it was, or go on from a checkpoint of an epoch's end"
        )


@rank_zero_only
def note_changes(found: Sequence[Change], folder: Path, step: int) -> None:
    """Prints `found` as a table, and adds them to `changes.csv` in `folder`; nothing where there are none."""
    if not found:
        return
    table = Table("setting", "in the checkpoint", "now", title=f"Going on after step {step} with other settings")
    for change in found:
        table.add_row(change.name, str(change.stored), str(change.now))
    Console().print(table)
    file = folder / CHANGES
    text = io.StringIO(file.read_text() if file.is_file() else "step,setting,stored,now\r\n")
    text.seek(0, io.SEEK_END)
    csv.writer(text).writerows([step, *change] for change in found)
    write_text(file, text.getvalue())
