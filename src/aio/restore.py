"""Restores photographs: `python -m aio.restore PHOTOS... -o OUT --checkpoint C`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aio.commands import CHECKPOINT, add_net_options, run
from aio.errors import InputError
from aio.images import list_images
from aio.vocabulary import TASK_ID, one_degradation


def main(argv: Sequence[str]) -> int:
    """Restores as `argv` says; 0 when every photograph was restored, 1 when some were not."""
    options = _parser().parse_args(argv)
    jobs = plan(options.photos, options.output)

    name = None if options.de_type is None else one_degradation(options.de_type)
    if options.adapter and name is None:
        raise InputError("--adapter: is chosen by the degradation; say by --de_type what the photographs suffer from")

    from aio.adapters import AdaptedNet, require_adapter
    from aio.inference.photos import restore_files
    from aio.weights import open_net, place

    net = place(open_net(options.checkpoint, options.model, options.adapter), options.device)
    if options.adapter and name is not None:
        require_adapter(net, name)
    if isinstance(net, AdaptedNet) and name in net.plan:
        net.merge(name)  # once, and not for every tile
    failures = restore_files(net, jobs, task=None if name is None else TASK_ID[name], tile=options.tile)
    for message in failures:
        sys.stderr.write(f"not restored: {message}\n")
    sys.stdout.write(f"{len(jobs) - len(failures)} of {len(jobs)} photographs restored into {options.output}\n")
    return 1 if failures else 0


def plan(photos: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """(photograph, its place below `output`) for every file, and every image below every folder, of `photos`.

    Raises:
        InputError: nothing there, two of one name, or an output that would replace a photograph.
    """
    targets: dict[Path, Path] = {}
    for photo in photos:
        if not photo.exists():
            raise InputError(f"{photo}: no such file or folder")
        files = list_images(photo) if photo.is_dir() else [photo]
        if not files:
            raise InputError(f"{photo}: holds no image")
        for file in files:
            target = output / (file.relative_to(photo) if photo.is_dir() else file.name)
            if target in targets and targets[target] != file:
                raise InputError(f"{targets[target]} and {file} would both be written to {target}")
            if target.exists() and target.samefile(file):
                raise InputError(f"{file}: would be replaced by its restoration; choose another folder with -o")
            targets[target] = file
    return [(file, target) for target, file in targets.items()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("aio restore", description="Restore photographs of any size and format.")
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="files and folders")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder of the results")
    parser.add_argument("--checkpoint", metavar="C", required=True, help=CHECKPOINT)
    add_net_options(parser)
    return parser


if __name__ == "__main__":
    run(main)
