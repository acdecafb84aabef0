"""Measures a checkpoint: `python -m aio.evaluate --checkpoint C --benchmark aio5 --data_file_dir ROOT`.

Or on any two folders: `--degraded_dir D --clean_dir G`; or on clean images alone, degraded on the way:
`--clean_dir Set5 Set14 --de_type sr_x4`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aio.benchmarks import BENCHMARKS, Benchmark, find_benchmark
from aio.commands import add_net_options, run
from aio.errors import InputError
from aio.files import write_text
from aio.vocabulary import SCALES, TASK_ID, expand, one_degradation

if TYPE_CHECKING:
    from aio.data.pairs import SynthesisedPairs
    from aio.data.samples import WholeImages
    from aio.inference.measure import Test
    from aio.metrics import ScoreTable
    from aio.nets.base import RestorationNet


class Tests(NamedTuple):
    """`number` images to measure; `scale`: how much larger the clean ones are."""

    number: int
    scale: int
    images: Iterator[Test]


def main(argv: Sequence[str]) -> None:
    """Measures as `argv` says; see `aio evaluate --help`."""
    options = _parser().parse_args(argv)
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
    options.tell_task |= bool(options.adapter)
    benchmark = find_benchmark(options.benchmark) if options.benchmark else None

    from aio.metrics import find_protocol
    from aio.weights import open_net, place, require_images

    net = place(open_net(options.checkpoint, options.model, options.adapter), options.device)
    tests = _tests(benchmark, options, net.scale)
    _require_adapter(net, options)
    require_images(net, tests.scale)
    chosen = options.protocol or ("sr_y" if net.scale > 1 else benchmark.protocol if benchmark else "aio")
    protocol = find_protocol(chosen, scale=net.scale)

    from aio.inference.measure import measure

    scores = measure(
        net, tests.images, count=tests.number, protocol=protocol, tile=options.tile, save_dir=options.save_dir
    )
    _report(scores, options.checkpoint, benchmark, options.save_dir)


def _require_adapter(net: RestorationNet, options: argparse.Namespace) -> None:
    """One of those that `--adapter` brought is for one of the degradations that `--de_type` names."""
    if options.adapter and options.de_type:
        from aio.adapters import require_adapter

        require_adapter(net, *expand([options.de_type]))


def _tests(benchmark: Benchmark | None, options: argparse.Namespace, scale: int) -> Tests:
    if benchmark is not None:
        return _benchmark_tests(benchmark, options)
    return _folder_tests(options, scale) if options.degraded_dir else _synthesised_tests(options)


def _benchmark_tests(benchmark: Benchmark, options: argparse.Namespace) -> Tests:
    from aio.data.datamodule import RestorationData
    from aio.data.samples import WholeImages

    if benchmark.trainset != "demo" and options.data_file_dir is None:
        raise InputError(
            f"--benchmark {benchmark.name} measures on {benchmark.sets}: give their root by --data_file_dir"
        )
    tasks: Sequence[str] = [options.de_type] if options.de_type else benchmark.tasks
    data = RestorationData(de_type=tasks, data_file_dir=options.data_file_dir, trainset=benchmark.trainset)
    samples = WholeImages(data.sources("val"), seed=data.seed)
    keys = _preferred(samples, benchmark)
    rows = [str(source.task) for source in samples.sources]
    return Tests(len(keys), data.scale, _sampled(samples, keys, rows, tell_task=options.tell_task))


def _sampled(samples: WholeImages, keys: Sequence[int], rows: Sequence[str], *, tell_task: bool) -> Iterator[Test]:
    """The images `keys`, each in the row of its source."""
    from aio.inference.measure import Test

    for key in keys:
        sample = samples[key]
        told = sample["task"] if tell_task else None
        yield Test(rows[samples.index[key][0]], told, sample["name"], sample["degraded"], sample["clean"])


def _synthesised_tests(options: argparse.Namespace) -> Tests:
    """A row for each folder of clean images."""
    from aio.data.samples import WholeImages
    from aio.data.scan import check_files

    sources = [_synthesised(folder, options) for folder in options.clean_dir]
    check_files(files for source in sources for files in source.files())
    samples = WholeImages(sources, seed=0)
    rows = [folder.resolve().name for folder in options.clean_dir]
    scale = SCALES.get(sources[0].task, 1)
    keys = range(len(samples))
    return Tests(len(keys), scale, _sampled(samples, keys, rows, tell_task=options.tell_task))


def _synthesised(folder: Path, options: argparse.Namespace) -> SynthesisedPairs:
    from aio.data.cache import DecodedCache
    from aio.data.degradations import Synthesis
    from aio.data.pairs import SynthesisedPairs

    task = one_degradation(options.de_type)
    degrade = Synthesis(lr_kernels=(options.lr_kernel,)).degrade(task)
    photos = _images_of(folder)
    return SynthesisedPairs(task=task, photos=photos, degrade=degrade, cache=DecodedCache())


def _images_of(folder: Path) -> list[Path]:
    from aio.images import list_images

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    if not (images := list_images(folder)):
        raise InputError(f"{folder}: holds no image")
    return images


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


def _folder_tests(options: argparse.Namespace, scale: int) -> Tests:
    """Pairs of files, the clean ones `scale` times as large, but for rows and columns too few for one more pixel."""
    from aio.data.pairs import to_tensor, unique_names
    from aio.data.scan import check_files
    from aio.data.sources import pair_up
    from aio.images import read_rgb
    from aio.inference.measure import Test

    degraded, (clean,) = options.degraded_dir, options.clean_dir
    for folder in (degraded, clean):
        _images_of(folder)
    pairs = pair_up([degraded], clean)
    check_files(pairs, scale=scale)
    task = None if options.de_type is None else one_degradation(options.de_type)
    told = TASK_ID[task] if task is not None and options.tell_task else None

    def tests() -> Iterator[Test]:
        for name, paths in zip(unique_names([path for path, _ in pairs]), pairs, strict=True):
            small, large = (to_tensor(read_rgb(path)) for path in paths)
            height, width = (scale * side for side in small.shape[-2:])
            yield Test(task or degraded.resolve().name, told, name, small, large[:, :height, :width])

    return Tests(len(pairs), scale, tests())


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
    parser.add_argument("--save_dir", metavar="S", type=Path, help="keep restored images and tables in this folder")
    return parser


if __name__ == "__main__":
    run(main)
