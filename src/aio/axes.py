"""What the plots share: colours, the scale of their pixels, round numbers along an axis."""

from __future__ import annotations

import math
from typing import Final

SCALE: Final = 2  # pixels per unit of a plot's measures, for sharp text
FONT: Final = 13 * SCALE
PAPER, INK, GRID, FAINT, STRONG = "white", "#202020", "#dddddd", "#9db8d9", "#1f4e8c"
_TICKS: Final = 6


def ticks(low: float, high: float) -> list[float]:
    """Round numbers at equal distances, about six, from below `low` to above `high`."""
    raw = max(high - low, 0.01) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return [round(number * step, 6) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from the last not above `low` to the first not below `high`; both above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = [float(f"{factor}e{power}") for power in range(first, last + 1) for factor in (1, 2, 5)]
    return [mark for mark in marks if max(m for m in marks if m <= low) <= mark <= min(m for m in marks if m >= high)]
