"""The scores of a benchmark: one row per image, gathered from all processes, and their means per degradation.

Every number is a Python float, rows are sorted and sums are exact (`math.fsum`), so that the means do not depend on
how many processes measured the images, nor in which order.
"""

from __future__ import annotations

import csv
import io
import math
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import torch.distributed as dist

from aio.errors import InputError
from aio.metrics.protocols import Score


class Row(NamedTuple):
    """One image: what it scored before (`input_`) and after restoration."""

    task: str
    name: str
    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float


class Means(NamedTuple):
    """Mean scores of so many images."""

    images: int
    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float

    @property
    def psnr_gain(self) -> float:
        return _gain(self.input_psnr, self.psnr)

    @property
    def ssim_gain(self) -> float:
        return _gain(self.input_ssim, self.ssim)


class ScoreTable:
    """Collects the rows of one evaluation; `protocol` is the name under which its scores are printed.

    `before` says what the net's output stands beside: its input, or in super-resolution that enlarged by bicubic.
    """

    def __init__(self, protocol: str, *, before: str = "input") -> None:
        self.protocol, self.before = protocol, before
        self._rows: dict[tuple[str, str], Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[Row]:
        """All rows, sorted by task and name."""
        return sorted(self._rows.values())

    def add(self, task: str, name: str, before: Score, after: Score) -> None:
        """Adds the image `name` of `task`.

        Raises:
            InputError: it is there already.
        """
        if (task, name) in self._rows:
            raise InputError(f"two images of {task} are named {name!r}: a name must stand for one image")
        self._rows[task, name] = Row(task, name, *before, *after)

    def gather(self) -> ScoreTable:
        """The table of all processes, the same in each; without `torch.distributed`, that of this one.

        Samplers repeat images until all processes have equally many: of those the row of the lowest rank is kept.

        Raises:
            InputError: two processes measured different images under one name.
        """
        every: list[list[Row]] = [self.rows]
        if dist.is_available() and dist.is_initialized():
            every = [[] for _ in range(dist.get_world_size())]
            dist.all_gather_object(every, self.rows)
        joined = ScoreTable(self.protocol, before=self.before)
        for row in (row for rows in every for row in rows):
            _check_same_image(joined._rows.setdefault((row.task, row.name), row), row)
        return joined

    def means(self) -> dict[str, Means]:
        """Mean scores over the images of each task, by task in sorted order."""
        return {task: _means(list(rows)) for task, rows in groupby(self.rows, key=attrgetter("task"))}

    def mean(self) -> Means:
        """The mean over tasks of their means, in which each task counts alike; `images` is their total.

        Raises:
            InputError: the table is empty.
        """
        tasks = list(self.means().values())
        if not tasks:
            raise InputError("no image was measured, so there is no mean")
        return _means(tasks)._replace(images=len(self))

    def to_markdown(self) -> str:
        """A Markdown table: scores before and after and the gain per degradation, and their mean."""
        lines = [
            f"| {self.protocol} | images | {self.before} PSNR / SSIM | restored PSNR / SSIM | gain |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        for task, m in self._summary():
            before, after = (f"{psnr:.2f} / {ssim:.4f}" for psnr, ssim in (m[1:3], m[3:5]))
            lines.append(f"| {task} | {m.images} | {before} | {after} | {m.psnr_gain:+.2f} / {m.ssim_gain:+.4f} |")
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """The same as CSV, with all digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["protocol", "degradation", *Means._fields, "psnr_gain", "ssim_gain"])
        writer.writerows([self.protocol, task, *m, m.psnr_gain, m.ssim_gain] for task, m in self._summary())
        return text.getvalue()

    def _summary(self) -> list[tuple[str, Means]]:
        return [*self.means().items(), ("mean", self.mean())]


def _means(scored: list[Row] | list[Means]) -> Means:
    columns = zip(*((s.input_psnr, s.input_ssim, s.psnr, s.ssim) for s in scored), strict=True)
    return Means(len(scored), *(math.fsum(column) / len(scored) for column in columns))


def _gain(before: float, after: float) -> float:
    return 0.0 if before == after else after - before  # also where both are infinite


def _check_same_image(kept: Row, other: Row) -> None:
    # The input's scores do not depend on the net: where they differ, so do the images.
    if any(abs(a - b) > 1e-3 for a, b in zip(kept[2:4], other[2:4], strict=True)):
        raise InputError(f"two images of {kept.task} are named {kept.name!r}: a name must stand for one image")
