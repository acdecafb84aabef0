"""Tells what a data tree holds and what is wrong with it: `aio data check ROOT --report check.md`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aio.errors import InputError

if TYPE_CHECKING:
    from aio.data.report import Report
    from aio.vocabulary import Degradation


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `aio data check`."""
    parser.description = "Says which data sets are below ROOT and what is wrong with them. Exits with 1 if anything is."
    parser.add_argument("root", metavar="ROOT", type=Path, help="the data tree")
    parser.add_argument(
        "--de_type", metavar="T", nargs="+", help="the degradations that matter; all by default, and none is missed"
    )
    parser.add_argument("--quick", action="store_true", help="read headers alone: no pixels, nothing found twice")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything to this file")
    parser.add_argument("--report", metavar="FILE.md", type=Path, help="write everything to this file as Markdown")


def main(options: argparse.Namespace) -> int:
    """Prints the report, writes what was asked for; 1 if there are findings.

    Raises:
        InputError: there is no such folder, or a degradation is unknown.
    """
    from rich.console import Console

    from aio.files import write_text

    report = check(options.root, options.de_type, quick=options.quick)
    report.show(Console())
    if options.json is not None:
        write_text(options.json, report.as_json())
    if options.report is not None:
        write_text(options.report, report.as_markdown())
    return 1 if report.faults else 0


def check(root: Path, de_type: Sequence[str] | None = None, *, quick: bool = False) -> Report:
    """Looks at every file below `root`; faults are findings, no exceptions.

    Args:
        root: the data tree.
        de_type: the degradations that matter, by the field's names; None means all, and no data set is then missed.
        quick: read headers alone. What needs pixels is left out: cut-off files of some formats, equal images, leaks.

    Raises:
        InputError: there is no such folder or no image in it, or a degradation is unknown.
    """
    from aio.data import findings
    from aio.data.inventory import absent_sets, take_inventory, without_pairs
    from aio.data.report import Report
    from aio.data.survey import look_at_all
    from aio.data.unused import unused
    from aio.vocabulary import DEGRADATIONS

    if not root.is_dir():
        raise InputError(f"{root}: expected a folder with a data tree, but there is none")
    tasks = DEGRADATIONS if de_type is None else _tasks(de_type)
    inventory = take_inventory(root, tasks)
    if not inventory.images:
        raise InputError(f"{root}: holds no image file")
    clean = {path for side in inventory.splits.values() for path in side}
    looks = look_at_all(inventory.images, quick=quick, fingerprinted=clean)
    looked = [findings.broken, findings.sizes, findings.oddities]
    if not quick:
        looked += [findings.equal_images, findings.leaks, findings.shared]
    found = [finding for ask in looked for finding in ask(inventory, looks)]
    if de_type is not None:
        found += without_pairs(tasks, inventory.holdings)
    return Report(
        root=str(root),
        tasks=tuple(tasks),
        quick=quick,
        images=len(inventory.images),
        parts=inventory.parts(),
        findings=[*inventory.findings, *findings.counts(inventory), *found, *unused(inventory)],
        absent=absent_sets(tasks, inventory.holdings) if de_type is not None else [],
    )


def _tasks(de_type: Sequence[str]) -> list[Degradation]:
    from aio.vocabulary import expand

    try:
        return expand(de_type)
    except ValueError as error:
        raise InputError(f"--de_type {' '.join(de_type)}: {error}") from error
