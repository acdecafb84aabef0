"""The plot of an ablation: a line per variant with its mean PSNR, a bar of one deviation to each side, every seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from aio.files import atomic_write

_SCALE: Final = 2  # pixels per unit below, for sharp text
_WIDTH, _LINE, _TOP, _BOTTOM, _GAP = (_SCALE * n for n in (420, 28, 34, 34, 12))
_PAPER, _INK, _GRID, _SEED, _MEAN = "white", "#202020", "#dddddd", "#9db8d9", "#1f4e8c"
_TICKS: Final = 6


def write_plot(points: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draws the PSNR of each variant's seeds, `points`, into the PNG file `path`; nothing without any."""
    if any(points.values()):
        with atomic_write(path) as file:
            draw_plot(points).save(file, format="PNG")


def draw_plot(points: Mapping[str, Sequence[float]]) -> Image.Image:
    """One line per variant, from the top in the order of `points`."""
    font = ImageFont.load_default(13 * _SCALE)
    left = _GAP * 2 + max(math.ceil(font.getlength(label)) for label in map(_label, points, points.values()))
    right = _GAP * 4
    image = Image.new("RGB", (left + _WIDTH + right, _TOP + _LINE * len(points) + _BOTTOM), _PAPER)
    pen = ImageDraw.Draw(image)
    ticks = _ticks(points)

    def x(psnr: float) -> float:
        return left + _WIDTH * (psnr - ticks[0]) / (ticks[-1] - ticks[0])

    pen.text((left, _GAP), "PSNR in dB: mean, one deviation, seeds", fill=_INK, font=font)
    for tick in ticks:
        pen.line([(x(tick), _TOP), (x(tick), image.height - _BOTTOM)], fill=_GRID, width=_SCALE)
        pen.text((x(tick), image.height - _BOTTOM + _GAP), f"{tick:g}", fill=_INK, font=font, anchor="mm")
    for number, (variant, values) in enumerate(points.items()):
        middle = _TOP + _LINE * (number + 0.5)
        pen.text((left - _GAP, middle), _label(variant, values), fill=_INK, font=font, anchor="rm")
        _draw_spread(pen, x, values, middle)
    return image


def _label(variant: str, values: Sequence[float]) -> str:
    return f"{variant} (n = {len(values)})"


def _draw_spread(pen: ImageDraw.ImageDraw, x: Callable[[float], float], values: Sequence[float], middle: float) -> None:
    if not values:
        return
    mean = statistics.fmean(values)
    if len(values) > 1:
        low, high = (x(mean + sign * statistics.stdev(values)) for sign in (-1, 1))
        pen.line([(low, middle), (high, middle)], fill=_MEAN, width=_SCALE)
        for end in (low, high):
            pen.line([(end, middle - 5 * _SCALE), (end, middle + 5 * _SCALE)], fill=_MEAN, width=_SCALE)
    for value in values:
        pen.circle((x(value), middle), 3 * _SCALE, fill=_SEED)
    pen.circle((x(mean), middle), 4 * _SCALE, fill=_MEAN)


def _ticks(points: Mapping[str, Sequence[float]]) -> list[float]:
    """Round numbers, about `_TICKS`, from below the lowest end of a bar or seed to above the highest."""
    ends = [end for values in points.values() if values for end in (*values, *_bar(values))]
    low, high = min(ends), max(ends)
    raw = max(high - low, 0.01) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return [round(number * step, 6) for number in range(first, last + 1)]


def _bar(values: Sequence[float]) -> tuple[float, ...]:
    if len(values) < 2:
        return ()
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return mean - deviation, mean + deviation
