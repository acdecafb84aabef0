"""Measures a checkpoint: `python -m aio.evaluate --checkpoint C --benchmark aio5 --data_file_dir ROOT`.

Or on any two folders: `--degraded_dir D --clean_dir G`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aio.benchmarks import BENCHMARKS, Benchmark, find_benchmark
from aio.commands import add_net_options, run
from aio.errors import InputError
from aio.files import write_text
from aio.vocabulary import DEGRADATIONS, TASK_ID, one_degradation

if TYPE_CHECKING:
    from aio.data.datamodule import WholeImages
    from aio.inference.measure import Test
    from aio.metrics import ScoreTable


def main(argv: Sequence[str]) -> None:
    """Measures as `argv` says; see `aio evaluate --help`."""
    options = _parser().parse_args(argv)
    if (options.benchmark is None) == (options.degraded_dir is None):
        raise InputError("say what to measure on: --benchmark NAME, or --degraded_dir D with --clean_dir G")
    if (options.degraded_dir is None) != (options.clean_dir is None):
        raise InputError("--degraded_dir and --clean_dir go together")
    benchmark = find_benchmark(options.benchmark) if options.benchmark else None

    from aio.metrics import find_protocol

    protocol = find_protocol(options.protocol or (benchmark.protocol if benchmark else "aio"))
    count, tests = _benchmark_tests(benchmark, options) if benchmark else _folder_tests(options)

    from aio.inference.measure import measure
    from aio.weights import open_net, place, require_rgb

    net = place(open_net(options.checkpoint, options.model), options.device)
    require_rgb(net)
    scores = measure(net, tests, count=count, protocol=protocol, tile=options.tile, save_dir=options.save_dir)
    _report(scores, options.checkpoint, benchmark, options.save_dir)


def _benchmark_tests(benchmark: Benchmark, options: argparse.Namespace) -> tuple[int, Iterator[Test]]:
    from aio.data.datamodule import RestorationData, WholeImages
    from aio.inference.measure import Test

    if benchmark.trainset != "demo" and options.data_file_dir is None:
        raise InputError(
            f"--benchmark {benchmark.name} measures on {benchmark.sets}: give their root by --data_file_dir"
        )
    tasks: Sequence[str] = [options.de_type] if options.de_type else benchmark.tasks
    data = RestorationData(de_type=tasks, data_file_dir=options.data_file_dir, trainset=benchmark.trainset)
    samples = WholeImages(data.sources("val"), seed=data.seed)
    keys = _preferred(samples, benchmark)

    def tests() -> Iterator[Test]:
        for sample in (samples[key] for key in keys):
            told = sample["task"] if options.tell_task else None
            yield Test(DEGRADATIONS[sample["task"]], told, sample["name"], sample["degraded"], sample["clean"])

    return len(keys), tests()


def _preferred(samples: WholeImages, benchmark: Benchmark) -> list[int]:
    """Keys of the images that belong to the benchmark's own sets, where their paths say so."""
    keys: list[int] = []
    for number, source in enumerate(samples.sources):
        own = [key for key, (owner, _) in enumerate(samples.index) if owner == number]
        pattern = benchmark.preferred.get(source.task, "")
        files = source.files()
        named = [key for key in own if re.search(pattern, str(files[samples.index[key][1]][0]).lower())]
        keys += named or own
    return keys


def _folder_tests(options: argparse.Namespace) -> tuple[int, Iterator[Test]]:
    from aio.data.pairs import to_tensor, unique_names
    from aio.data.scan import check_files
    from aio.data.sources import pair_up
    from aio.images import read_rgb
    from aio.inference.measure import Test

    degraded, clean = Path(options.degraded_dir), Path(options.clean_dir)
    for folder in (degraded, clean):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
    pairs = pair_up([degraded], clean)
    check_files(pairs)
    task = None if options.de_type is None else one_degradation(options.de_type)
    told = TASK_ID[task] if task is not None and options.tell_task else None

    def tests() -> Iterator[Test]:
        for name, paths in zip(unique_names([path for path, _ in pairs]), pairs, strict=True):
            yield Test(task or degraded.resolve().name, told, name, *(to_tensor(read_rgb(path)) for path in paths))

    return len(pairs), tests()


def _report(scores: ScoreTable, checkpoint: Path, benchmark: Benchmark | None, save_dir: Path | None) -> None:
    from rich.console import Console

    from aio.tables import comparison_table, score_table

    console = Console()
    console.print(score_table(scores, title=str(checkpoint)))
    means = scores.means()
    if benchmark is not None and benchmark.published and set(benchmark.tasks) == set(means):
        ours = {str(checkpoint): [means[task].psnr for task in benchmark.tasks]}
        console.print(comparison_table(benchmark.tasks, {**benchmark.published, **ours}, "PSNR beside published rows"))
    if save_dir is not None:
        write_text(save_dir / "scores.md", scores.to_markdown())
        write_text(save_dir / "scores.csv", scores.to_csv())
        console.print(f"restored images and tables: {save_dir}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aio evaluate", description="Measure a checkpoint: PSNR and SSIM before and after."
    )
    add_net_options(parser)
    parser.add_argument("--benchmark", metavar="NAME", help=f"what to measure on: {', '.join(BENCHMARKS)}")
    parser.add_argument("--data_file_dir", metavar="ROOT", help="data tree of the benchmark")
    parser.add_argument("--degraded_dir", metavar="D", help="or any folder of degraded images")
    parser.add_argument("--clean_dir", metavar="G", help="and the folder of their clean partners")
    parser.add_argument(
        "--tell_task", action="store_true", help="tell the network each image's degradation (not blind)"
    )
    parser.add_argument("--protocol", metavar="P", help="how to measure; by default the benchmark's own, else aio")
    parser.add_argument("--save_dir", metavar="S", type=Path, help="keep restored images and tables in this folder")
    return parser


if __name__ == "__main__":
    run(main)
