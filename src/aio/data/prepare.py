"""`python -m aio.data prepare ROOT`: decodes images once for all trainings, or cuts them into the field's crops."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from aio.errors import InputError

UNREADABLE: Final = 1  # exit code


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `prepare`."""
    parser.add_argument("root", metavar="ROOT", type=Path, help="folder of images, at any depth")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write; ROOT/.aio by default")
    parser.add_argument("--processes", metavar="N", type=int, help="as many as there are cores by default")
    parser.add_argument("--verify", action="store_true", help="compare what is stored with its checksums, too")
    parser.add_argument("--crop", metavar="N", type=int, help="write PNG files of N x N pixels instead, into --out")
    parser.add_argument("--overlap", metavar="M", type=int, default=0, help="pixels that neighbouring crops share")
    parser.add_argument(
        "--crop_above", metavar="S", type=int, default=0, help="leave images whole of which a side is at most S"
    )


def main(options: argparse.Namespace) -> int:
    """Prepares the folder; 1 if there are images that cannot be read, which it lists.

    Raises:
        InputError: an option or a folder that cannot be used.
    """
    _check(options)
    from aio.data.crops import Grid
    from aio.data.filling import cut_crops, fill_store

    if options.crop is None:
        prepared = fill_store(options.root, out=options.out, processes=options.processes, verify=options.verify)
    else:
        grid = Grid(options.crop, options.overlap, options.crop_above)
        prepared = cut_crops(options.root, out=options.out, grid=grid, processes=options.processes)
    earlier = prepared.images - prepared.done - len(prepared.faults)
    sys.stdout.write(f"{options.root}: {prepared.done:,} images prepared, {earlier:,} had been before\n")
    if prepared.faults:
        sys.stderr.write("\n".join([*prepared.faults, f"{len(prepared.faults):,} images cannot be read", ""]))
    return UNREADABLE if prepared.faults else 0


def _check(options: argparse.Namespace) -> None:
    if options.processes is not None and options.processes < 1:
        raise InputError(f"--processes {options.processes}: expected at least 1")
    if options.crop is None and (options.overlap or options.crop_above):
        raise InputError("--overlap and --crop_above: expected --crop with them")
    if options.crop is None:
        return
    if options.out is None:
        raise InputError("--crop: expected --out, the folder for the crops")
    if options.verify:
        raise InputError("--verify: concerns the store, not crops; expected one of both")
    if not (options.crop >= 1 and 0 <= options.overlap < options.crop and options.crop_above >= 0):
        raise InputError(
            f"--crop {options.crop} --overlap {options.overlap} --crop_above {options.crop_above}: "
            "expected a side of at least 1, an overlap from 0 to below it, and no negative bound"
        )
