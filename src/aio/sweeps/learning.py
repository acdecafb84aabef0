"""What a run learnt in which time: its validations against hours, and power laws that go through them.

PSNR = ceiling - gap * hours ** -exponent, in the manner of Hestness et al., arXiv 1712.00409.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import f

from aio.errors import InputError

PACE: Final = "watch/seconds_per_step"
SCORE: Final = "val/psnr"
FEWEST: Final = 5  # validations: a law has three numbers
_EXPONENTS: Final = np.geomspace(0.02, 2.0, 200)
_AS_GOOD: Final = 0.95  # of the exponents: those within this confidence, by the F-test of their squared errors
_EXACT: Final = 1e-3  # dB: errors below this are none


class Point(NamedTuple):
    """A validation: hours of training before it, and the mean PSNR in dB."""

    hours: float
    psnr: float


class Law(NamedTuple):
    """PSNR = `ceiling` - `gap` * hours ** -`exponent`, and the root of its mean squared error in dB."""

    ceiling: float
    gap: float
    exponent: float
    error: float

    def psnr(self, hours: float) -> float:
        """After `hours` above 0."""
        return self.ceiling - self.gap * hours**-self.exponent

    def hours(self, psnr: float) -> float:
        """Until `psnr`; infinite where the law never comes there."""
        if psnr >= self.ceiling:
            return math.inf
        logarithm = math.log(self.gap / (self.ceiling - psnr)) / self.exponent
        return math.exp(logarithm) if logarithm < 700 else math.inf


class Fit(NamedTuple):
    """The law of the least squared error, and all that come as near as makes no difference."""

    best: Law
    as_good: list[Law]

    def hours(self, psnr: float) -> tuple[float, float, float]:
        """Until `psnr`: by the best law, by the fastest and by the slowest of those as good."""
        every = [law.hours(psnr) for law in (self.best, *self.as_good)]
        return every[0], min(every), max(every)


def read_points(run: Path) -> list[Point]:
    """The validations in the folder `run`, in their order; time of validations and pauses is not counted.

    The hours are those of the steps, each as long as was logged last, however often the training was stopped, and
    whatever machines it went on with.

    Args:
        run: with `metrics.csv`.

    Raises:
        InputError: the file is missing or of another form, or does not say how long steps took.
    """
    pace, seconds, last, points = None, 0.0, -1, []
    for row in _read_rows(run / "metrics.csv"):
        if logged := row.get(PACE):
            pace = float(logged)
        if not (row.get(PACE) or row.get(SCORE)):
            continue
        if pace is None:
            raise InputError(
                f"{run / 'metrics.csv'}: no {PACE} before step {row['step']}; expected how long steps took"
            )
        step = int(row["step"])
        seconds += (step - last) * pace
        last = step
        if row.get(SCORE):
            points.append(Point(seconds / 3600, float(row[SCORE])))
    return points


def fit_laws(points: Sequence[Point], source: str | Path) -> Fit:
    """Power laws through `points`, by least squares for each of many exponents.

    Raises:
        InputError: naming `source`, where there are fewer than five validations, or they do not rise.
    """
    if len(points) < FEWEST:
        raise InputError(f"{source}: {len(points)} validations, expected at least {FEWEST} to draw a law through")
    hours, psnr = np.array(points, dtype=float).T
    laws = [law for exponent in _EXPONENTS if (law := _law(hours, psnr, float(exponent))).gap > 0]
    if not laws:
        raise InputError(f"{source}: its validations do not rise, so that there is nothing to extrapolate")
    best = min(laws, key=lambda law: law.error)
    free = len(points) - len(Law._fields[:3])
    limit = max(best.error, _EXACT) * math.sqrt(1 + f.ppf(_AS_GOOD, 1, free) / free)
    return Fit(best, [law for law in laws if law.error <= limit])


def _law(hours: np.ndarray, psnr: np.ndarray, exponent: float) -> Law:
    terms = np.stack([np.ones_like(hours), -(hours**-exponent)], axis=1)
    (ceiling, gap), *_ = np.linalg.lstsq(terms, psnr)
    error = float(np.sqrt(np.mean((terms @ (ceiling, gap) - psnr) ** 2)))
    return Law(float(ceiling), float(gap), exponent, error)


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the metrics of a run")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"step", "epoch", SCORE} <= set(rows[0]):
        raise InputError(f"{path}: holds no validation; expected the columns step, epoch and {SCORE}")
    return rows
