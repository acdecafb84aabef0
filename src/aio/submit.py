"""Restores what the servers of SIDD and DND score: `aio submit sidd ROOT -o OUT --checkpoint C`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aio.commands import CHECKPOINT, add_net_options, run
from aio.shipped import locate
from aio.vocabulary import TASK_ID


def main(argv: Sequence[str]) -> None:
    """Writes the files to upload; see `aio submit --help`."""
    options = _parser().parse_args(argv)

    from aio.evaluation.methods import methods_of
    from aio.evaluation.submission import submit_dnd, submit_sidd
    from aio.weights import require_images

    (method,) = methods_of([options.checkpoint], [], model=options.model, adapters=options.adapter)
    net = method.open(options.device, scale=1)
    require_images(net, 1)
    submit = submit_sidd if options.set == "sidd" else submit_dnd
    fingerprint = f"{options.set} {method.fingerprint} {options.tile} {options.de_type}"
    task = TASK_ID["denoise_real"] if options.tell_task else None
    written = submit(net, options.root, options.out, fingerprint=fingerprint, task=task, tile=options.tile)
    sys.stdout.write(f"to upload: {written}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("aio submit", description="Restore what the servers of SIDD and DND score.")
    parser.add_argument(
        "set", choices=("sidd", "dnd"), help="BenchmarkNoisyBlocksSrgb.mat, or info.mat and images_srgb"
    )
    parser.add_argument(
        "root",
        type=Path,
        metavar="ROOT",
        help="the folder with BenchmarkNoisyBlocksSrgb.mat, or with info.mat and images_srgb",
    )
    parser.add_argument("-o", "--out", type=Path, metavar="OUT", required=True, help="folder of the files to upload")
    parser.add_argument("--checkpoint", metavar="C", type=locate, required=True, help=CHECKPOINT)
    parser.add_argument("--tell_task", action="store_true", help="tell the network that it is camera noise (not blind)")
    add_net_options(parser, tile="none")  # papers restore images whole
    return parser


if __name__ == "__main__":
    run(main)
