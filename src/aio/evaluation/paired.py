"""Whether one method really beats another: their PSNR on the same images, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import bootstrap, wilcoxon

from aio.evaluation.journal import Measured

HEADINGS: Final = ("images of", "A", "B", "images", "A - B, dB", "95 % interval", "A better on", "p", "verdict")
_RESAMPLES: Final = 10_000
_LEVEL: Final = 0.05


class Comparison(NamedTuple):
    """`a` against `b` on the images of one column.

    Attributes:
        gain: mean of PSNR(a) - PSNR(b) in dB.
        low: with `high` the interval that holds the mean in 95 of 100 draws of the images (bootstrap, percentiles).
        wins: share of the images on which `a` is better.
        p: of Wilcoxon's signed-rank test, two-sided; 1 where all are equal.
    """

    column: str
    a: str
    b: str
    images: int
    gain: float
    low: float
    high: float
    wins: float
    p: float

    @property
    def verdict(self) -> str:
        """In words, at the level of 5 %."""
        if self.p >= _LEVEL or self.low <= 0 <= self.high:
            return "no difference shown"
        return f"{self.a if self.gain > 0 else self.b} is better"


def compare(a: str, rows_a: Sequence[Measured], b: str, rows_b: Sequence[Measured]) -> list[Comparison]:
    """One comparison per column, and one of all images where there are several columns."""
    columns = list(dict.fromkeys(row.column for row in rows_a))
    pairs = [(x.column, x.after["psnr"], y.after["psnr"]) for x, y in zip(rows_a, rows_b, strict=True)]
    compared = [_compared(column, a, b, [p[1:] for p in pairs if p[0] == column]) for column in columns]
    return compared + [_compared("all images", a, b, [p[1:] for p in pairs])] * (len(columns) > 1)


def to_markdown(comparisons: Sequence[Comparison]) -> str:
    """As a Markdown table."""
    lines = [
        f"| {' | '.join(HEADINGS)} |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
        *(f"| {' | '.join(cells(c))} |" for c in comparisons),
    ]
    return "\n".join(lines) + "\n"


def cells(c: Comparison) -> list[str]:
    """The texts of one line."""
    interval = f"{c.low:+.3f} to {c.high:+.3f}"
    return [c.column, c.a, c.b, str(c.images), f"{c.gain:+.3f}", interval, f"{c.wins:.0%}", f"{c.p:.2g}", c.verdict]


def _compared(column: str, a: str, b: str, scores: Sequence[tuple[float, ...]]) -> Comparison:
    # Both are without error where both are infinite: no difference.
    differences = np.array([0.0 if x == y else x - y for x, y in scores])
    gain, wins = float(differences.mean()), float((differences > 0).mean())
    if differences.min() == differences.max():  # also a single image: there is nothing to draw from
        return Comparison(column, a, b, len(differences), gain, gain, gain, wins, _p(differences))
    drawn = bootstrap((differences,), np.mean, n_resamples=_RESAMPLES, batch=100, method="percentile", rng=0)
    low, high = drawn.confidence_interval
    return Comparison(column, a, b, len(differences), gain, float(low), float(high), wins, _p(differences))


def _p(differences: np.ndarray) -> float:
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0
