"""The table of an ablation: a row per variant, mean and standard deviation over its seeds."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aio.files import write_text
from aio.sweeps.grid import Run
from aio.sweeps.local import folder_of
from aio.sweeps.plot import write_plot
from aio.sweeps.results import Result, Score, is_finished, read_result


class Spread(NamedTuple):
    """Mean, and standard deviation of a sample (NaN of a single value), over the seeds."""

    mean: float
    std: float


class Row(NamedTuple):
    """One variant: `seeds` of `planned` runs are finished; without any the rest is None."""

    variant: str
    planned: int
    results: list[Result]

    @property
    def seeds(self) -> int:
        return len(self.results)

    @property
    def psnr(self) -> Spread:
        return spread([result.mean.psnr for result in self.results])

    @property
    def ssim(self) -> Spread:
        return spread([result.mean.ssim for result in self.results])

    @property
    def seconds(self) -> float:
        return statistics.fmean(result.seconds for result in self.results)

    def task(self, name: str) -> Score:
        """Mean scores of one degradation."""
        scores = [result.scores[name] for result in self.results]
        return Score(*(statistics.fmean(values) for values in zip(*scores, strict=True)))


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample deviation of `values`."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan)


def collect(runs: Sequence[Run], out: Path) -> list[Row]:
    """A row per variant, in the order of `runs`, of the finished runs in `out`."""
    folders: dict[str, list[Path]] = {}
    for run in runs:
        folders.setdefault(run.variant, []).append(folder_of(run, out))
    return [
        Row(variant, len(group), [read_result(folder) for folder in group if is_finished(folder)])
        for variant, group in folders.items()
    ]


def write_tables(rows: Sequence[Row], out: Path) -> None:
    """`ablation.md`, `ablation.csv` and `ablation.png` in `out`."""
    write_text(out / "ablation.md", to_markdown(rows))
    write_text(out / "ablation.csv", to_csv(rows))
    points: Mapping[str, list[float]] = {row.variant: [result.mean.psnr for result in row.results] for row in rows}
    write_plot(points, out / "ablation.png")


def to_markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, with what its numbers are."""
    tasks = _tasks(rows)
    heads = ["variant", "seeds", "PSNR", "SSIM", *tasks, "parameters", "GMACs", "seconds"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    lines += [f"| {' | '.join(_cells(row, tasks))} |" for row in rows]
    return "\n".join([*lines, "", _LEGEND, ""])


_LEGEND = """\
PSNR (dB) and SSIM: mean over the degradations at the last validation, then mean ± standard deviation (of a sample)
over the seeds. Degradations: PSNR, mean over the seeds. GMACs: multiply-accumulates at 256 x 256, in 10^9.
Seconds: one run on the wall, mean over the seeds, from the start of its process to its end, validations included."""


def _cells(row: Row, tasks: Sequence[str]) -> list[str]:
    seeds = str(row.seeds) if row.seeds == row.planned else f"{row.seeds} of {row.planned}, incomplete"
    if not row.results:
        return [row.variant, seeds, *["–"] * (len(tasks) + 5)]
    first = row.results[0]
    cost = [f"{first.parameters:,}", f"{first.gmacs:.2f}", f"{row.seconds:.0f}"]
    scores = [_shown(row.psnr, 2), _shown(row.ssim, 4), *(f"{row.task(task).psnr:.2f}" for task in tasks)]
    return [row.variant, seeds, *scores, *cost]


def _shown(value: Spread, digits: int) -> str:
    mean = f"{value.mean:.{digits}f}"
    return mean if math.isnan(value.std) else f"{mean} ± {value.std:.{digits}f}"


def to_csv(rows: Sequence[Row]) -> str:
    """The same as CSV with all digits, and SSIM per degradation; what there is none of is empty."""
    tasks = _tasks(rows)
    heads = ["variant", "seeds", "seeds_planned", "psnr_mean", "psnr_std", "ssim_mean", "ssim_std"]
    heads += [f"{score}_{task}" for task in tasks for score in Score._fields]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, "parameters", "gmacs", "seconds"])
    for row in rows:
        counts = [row.variant, row.seeds, row.planned]
        writer.writerow([*counts, *_numbers(row, tasks)] if row.results else [*counts, *[""] * (len(heads))])
    return text.getvalue()


def _numbers(row: Row, tasks: Sequence[str]) -> list[float | str]:
    spreads = ["" if math.isnan(value) else value for value in (*row.psnr, *row.ssim)]
    first = row.results[0]
    return [*spreads, *(v for task in tasks for v in row.task(task)), first.parameters, first.gmacs, row.seconds]


def _tasks(rows: Sequence[Row]) -> list[str]:
    return sorted({task for row in rows for result in row.results for task in result.scores})
