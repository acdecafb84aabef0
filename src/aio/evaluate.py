"""Measures methods: `aio evaluate --benchmark aio5 --data_file_dir ROOT --checkpoint A B --baseline identity`.

Or on any two folders: `--degraded_dir D --clean_dir G`; or on clean images alone, degraded on the way:
`--clean_dir Set5 Set14 --de_type sr_x4`. With `--save_dir S` a killed evaluation goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aio.benchmarks import BENCHMARKS, Benchmark, find_benchmark
from aio.commands import CHECKPOINT, add_net_options, add_parallel_options, add_policy_option, run
from aio.errors import InputError
from aio.shipped import locate
from aio.vocabulary import Degradation, expand, one_degradation

if TYPE_CHECKING:
    from aio.evaluation.items import Plan
    from aio.evaluation.methods import Method
    from aio.evaluation.run import Settings


def main(argv: Sequence[str]) -> None:
    """Measures as `argv` says; see `aio evaluate --help`."""
    options = _parser().parse_args(argv)
    _check_words(options)
    benchmark = _benchmark(options.benchmark) if options.benchmark else None

    from aio.evaluation.methods import methods_of
    from aio.evaluation.report import report
    from aio.evaluation.run import check, measure

    methods = methods_of(
        options.checkpoint,
        options.baseline,
        model=options.model,
        adapters=options.adapter,
        policy=options.policy,
    )
    plan = _plan(options, benchmark, methods)
    settings = _settings(options, benchmark)
    needed = _named(options) if options.adapter else []
    costs = {method.name: check(method, plan, settings, adapters_for=needed) for method in methods}
    for note in plan.notes:
        sys.stdout.write(f"{note}\n")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.save_dir or Path(scratch)
        rows = {method.name: measure(method, plan, settings, folder / method.name) for method in methods}
        report(plan, rows, costs, benchmark=benchmark, measures=settings.measures, folder=options.save_dir)


def _benchmark(name: str) -> Benchmark:
    try:
        return find_benchmark(name)
    except InputError as error:
        from aio.data.discovery import EXPECTED_TREE

        raise InputError(f"{error}\nexpected in a tree like\n{EXPECTED_TREE}") from error


def _check_words(options: argparse.Namespace) -> None:
    if (options.benchmark is None) == (options.clean_dir is None):
        raise InputError(
            "say what to measure on: --benchmark NAME, or --clean_dir G with --degraded_dir D or --de_type T"
        )
    if options.clean_dir is not None and options.degraded_dir is None and options.de_type is None:
        raise InputError("--clean_dir goes with --degraded_dir D, or with --de_type T to degrade its images on the way")
    if options.degraded_dir is not None and len(options.clean_dir or []) != 1:
        raise InputError("--degraded_dir goes with one --clean_dir")
    if options.adapter and not (options.de_type or options.tell_task):
        raise InputError("--adapter: chosen by the degradation: name one by --de_type, or tell all by --tell_task")
    if options.processes < 1:
        raise InputError(f"--processes {options.processes}: expected a whole number of at least 1")
    if options.processes > 1 and options.replicas > 1:
        raise InputError(f"--replicas {options.replicas}: expected 1 with --processes {options.processes}")
    if options.policy is not None and options.replicas > 1:
        raise InputError(f"--replicas {options.replicas}: expected 1 with --policy, whose computation is counted")


def _plan(options: argparse.Namespace, benchmark: Benchmark | None, methods: Sequence[Method]) -> Plan:
    from aio.evaluation.items import of_benchmark, of_clean_folders, of_folders
    from aio.evaluation.methods import common_form

    if benchmark is not None:
        _, gray = common_form(methods, None)
        only = _named(options)
        return of_benchmark(benchmark, options.data_file_dir, only=only, protocol=options.protocol, gray=gray)
    task = one_degradation(options.de_type) if options.de_type else None
    scale, gray = common_form(methods, task)
    protocol = options.protocol or ("sr_y" if scale > 1 else "aio")
    if options.degraded_dir is not None:
        return of_folders(options.degraded_dir, options.clean_dir[0], task=task, scale=scale, protocol=protocol)
    task = one_degradation(options.de_type)
    return of_clean_folders(options.clean_dir, task=task, lr_kernel=options.lr_kernel, protocol=protocol, gray=gray)


def _named(options: argparse.Namespace) -> list[Degradation]:
    """The degradations that `--de_type` stands for; none without it."""
    try:
        return expand([options.de_type]) if options.de_type else []
    except ValueError as error:
        raise InputError(f"--de_type {options.de_type}: {error}") from error


def _settings(options: argparse.Namespace, benchmark: Benchmark | None) -> Settings:
    from aio.evaluation.run import Settings
    from aio.metrics.measures import open_measures

    measures = dict.fromkeys([*(benchmark.measures if benchmark else ()), *options.measures])
    open_measures(measures)
    return Settings(
        tile=options.tile,
        tell_task=options.tell_task or bool(options.adapter),
        measures=tuple(measures),
        device=options.device,
        processes=options.processes,
        batch=options.tile_batch,
        replicas=options.replicas,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aio evaluate", description="Measure checkpoints and classical methods: PSNR and SSIM before and after."
    )
    parser.add_argument("--checkpoint", metavar="C", type=locate, nargs="+", default=[], help=CHECKPOINT)
    parser.add_argument(
        "--baseline", metavar="B", nargs="+", default=[], help="methods without weights: identity, nlm, bicubic, ..."
    )
    add_net_options(parser, tile="none")  # papers restore images whole
    add_parallel_options(parser)
    add_policy_option(parser)
    parser.add_argument("--benchmark", metavar="NAME", help=f"what to measure on: {', '.join(BENCHMARKS)}")
    parser.add_argument("--data_file_dir", metavar="ROOT", help="data tree of the benchmark")
    parser.add_argument(
        "--clean_dir", metavar="G", type=Path, nargs="+", help="or folders of clean images, degraded by --de_type T"
    )
    parser.add_argument("--degraded_dir", metavar="D", type=Path, help="or the folder of their degraded partners")
    parser.add_argument(
        "--lr_kernel", metavar="K", default="bicubic", help="of synthesised low resolution: bicubic, bilinear or area"
    )
    parser.add_argument(
        "--tell_task", action="store_true", help="tell the network each image's degradation (not blind)"
    )
    parser.add_argument("--protocol", metavar="P", help="how to measure; by default the benchmark's own, else aio")
    parser.add_argument(
        "--measures", metavar="M", nargs="+", default=[], help="besides PSNR and SSIM: mae, lpips, dists, ..."
    )
    parser.add_argument(
        "--processes", metavar="N", type=int, default=1, help="share the images; with GPUs each process takes one"
    )
    parser.add_argument(
        "--save_dir", metavar="S", type=Path, help="keep tables, sheets, restored images and all scores; go on there"
    )
    return parser


if __name__ == "__main__":
    run(main)
