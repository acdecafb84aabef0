"""The table of an evaluation: methods and published rows, a column per test set, as text, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aio.benchmarks import Published
from aio.evaluation.journal import Measured
from aio.metrics.measures import MEASURES

_PIXELS = 256**2
_DIGITS = {"psnr": 2, "ssim": 4, **{name: measure.digits for name, measure in MEASURES.items()}}


@dataclass(frozen=True)
class Cost:
    """Of a method: parameters, multiply-accumulates of 256 x 256 pixels (None where nobody can count them)."""

    parameters: int
    macs: int | None


@dataclass(frozen=True)
class Row:
    """One line: scores per column, by measure; None where there is none."""

    name: str
    scores: tuple[dict[str, float | None], ...]
    cost: Cost | None = None
    seconds: float | None = None
    memory: int | None = None
    source: str = ""

    def mean(self, measure: str) -> float | None:
        """Over the columns, each counting alike; None where one is missing."""
        values = [score.get(measure) for score in self.scores]
        return None if None in values else math.fsum(v for v in values if v is not None) / len(values)


def row_before(name: str, columns: Sequence[str], rows: Sequence[Measured]) -> Row:
    """What the images scored before restoration."""
    return Row(name, tuple(_mean([r.before for r in rows if r.column == column]) for column in columns))


def row_of(name: str, columns: Sequence[str], rows: Sequence[Measured], cost: Cost) -> Row:
    """What a method reached: means over the images of each column; seconds per image; the most memory."""
    scores = tuple(_mean([r.after for r in rows if r.column == column]) for column in columns)
    seconds = math.fsum(r.seconds for r in rows) / len(rows)
    counted = [r.macs_per_pixel for r in rows if r.macs_per_pixel is not None]
    if counted:
        cost = replace(cost, macs=round(math.fsum(counted) / len(counted) * _PIXELS))
    return Row(name, scores, cost, seconds, max(r.memory for r in rows))


def row_published(name: str, published: Published) -> Row:
    """What a paper says."""
    scores = tuple({"psnr": psnr, "ssim": ssim} for psnr, ssim in zip(published.psnr, published.ssim, strict=True))
    return Row(name, scores, source=published.source)


@dataclass(frozen=True)
class Table:
    """Rows below one another.

    Attributes:
        title: what was measured, by which protocol.
        columns: of the scores.
        measures: within each column.
        mean: whether a last column holds the mean of the others.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    measures: tuple[str, ...] = ("psnr", "ssim")
    mean: bool = True

    @property
    def headings(self) -> list[str]:
        return [
            "method",
            *self.columns,
            *(["mean"] * self.mean),
            "parameters",
            "GMACs",
            "s / image",
            "peak MiB",
            "source",
        ]

    def cells(self) -> list[list[str]]:
        """The texts of all rows."""
        return [[row.name, *self._scores(row), *_costs(row), row.source] for row in self.rows]

    def to_markdown(self) -> str:
        """As a Markdown table, whose caption says the protocol and the measures."""
        lines = [
            f"{self.title}: {self._said()}",
            "",
            f"| {' | '.join(self.headings)} |",
            "| --- |" + " ---: |" * (len(self.headings) - 2) + " --- |",
            *(f"| {' | '.join(cells)} |" for cells in self.cells()),
        ]
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """As a `tabular` (package booktabs), without the source; the best of each column in bold."""
        best = {(c, m): self._best(c, m) for c in range(len(self.columns)) for m in self.measures}
        headings = self.headings[:-1]
        lines = [
            f"% {self.title}: {self._said()}",
            rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"\toprule",
            " & ".join(map(_escaped, headings)) + r" \\",
            r"\midrule",
            *(self._latex_row(row, best) for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """With all digits: one line per row and column."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["method", "column", *self.measures, "source"])
        for row in self.rows:
            for column, scores in zip(self.columns, row.scores, strict=True):
                writer.writerow([row.name, column, *(scores.get(m) for m in self.measures), row.source])
        return text.getvalue()

    def _said(self) -> str:
        return " / ".join(measure.upper() for measure in self.measures)

    def _scores(self, row: Row) -> list[str]:
        columns = [_text(scores, self.measures) for scores in row.scores]
        return [*columns, *([_text({m: row.mean(m) for m in self.measures}, self.measures)] * self.mean)]

    def _best(self, column: int, measure: str) -> float | None:
        values = [v for row in self.rows if (v := row.scores[column].get(measure)) is not None]
        higher = measure not in MEASURES or MEASURES[measure].higher_is_better
        return (max if higher else min)(values, default=None)

    def _latex_row(self, row: Row, best: Mapping[tuple[int, str], float | None]) -> str:
        cells = []
        for column, scores in enumerate(row.scores):
            texts = [(_number(scores.get(m), m), scores.get(m) == best[column, m] is not None) for m in self.measures]
            cells.append(" / ".join(rf"\textbf{{{text}}}" if is_best else text for text, is_best in texts))
        means = self._scores(row)[len(self.columns) :]
        return " & ".join([_escaped(row.name), *cells, *means, *_costs(row)]) + r" \\"


def per_image_csv(methods: Mapping[str, Sequence[Measured]]) -> str:
    """One line per method and image, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = list(next(iter(methods.values()))[0].after)
    writer.writerow(
        ["method", "column", "image", *(f"input_{m}" for m in measures), *measures, "seconds", "peak_bytes"]
    )
    for name, rows in methods.items():
        for row in rows:
            scores = [*(row.before[m] for m in measures), *(row.after[m] for m in measures)]
            writer.writerow([name, row.column, row.name, *scores, row.seconds, row.memory])
    return text.getvalue()


def _mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    if not scores:
        return {}
    return {measure: math.fsum(score[measure] for score in scores) / len(scores) for measure in scores[0]}


def _costs(row: Row) -> list[str]:
    macs = "" if row.cost is None or row.cost.macs is None else f"{row.cost.macs / 1e9:.2f}"
    return [
        "" if row.cost is None else f"{row.cost.parameters:,}",
        macs,
        "" if row.seconds is None else f"{row.seconds:.2f}",
        "" if row.memory is None else f"{row.memory / 2**20:.0f}",
    ]


def _text(scores: Mapping[str, float | None], measures: Sequence[str]) -> str:
    return " / ".join(_number(scores.get(measure), measure) for measure in measures)


def _number(value: float | None, measure: str) -> str:
    return "-" if value is None else f"{value:.{_DIGITS[measure]}f}"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "_%&#$" else c for c in text)
