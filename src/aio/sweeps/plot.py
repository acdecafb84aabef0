"""The plot of an ablation: a line per variant with its mean PSNR, a bar of one deviation to each side, every seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from aio.axes import FAINT, FONT, GRID, INK, PAPER, SCALE, STRONG, ticks
from aio.files import atomic_write

_WIDTH, _LINE, _TOP, _BOTTOM, _GAP = (SCALE * n for n in (420, 28, 34, 34, 12))


def write_plot(points: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draws the PSNR of each variant's seeds, `points`, into the PNG file `path`; nothing without any."""
    if any(points.values()):
        with atomic_write(path) as file:
            draw_plot(points).save(file, format="PNG")


def draw_plot(points: Mapping[str, Sequence[float]]) -> Image.Image:
    """One line per variant, from the top in the order of `points`."""
    font = ImageFont.load_default(FONT)
    left = _GAP * 2 + max(math.ceil(font.getlength(label)) for label in map(_label, points, points.values()))
    right = _GAP * 4
    image = Image.new("RGB", (left + _WIDTH + right, _TOP + _LINE * len(points) + _BOTTOM), PAPER)
    pen = ImageDraw.Draw(image)
    marks = ticks(*_ends(points))

    def x(psnr: float) -> float:
        return left + _WIDTH * (psnr - marks[0]) / (marks[-1] - marks[0])

    pen.text((left, _GAP), "PSNR in dB: mean, one deviation, seeds", fill=INK, font=font)
    for tick in marks:
        pen.line([(x(tick), _TOP), (x(tick), image.height - _BOTTOM)], fill=GRID, width=SCALE)
        pen.text((x(tick), image.height - _BOTTOM + _GAP), f"{tick:g}", fill=INK, font=font, anchor="mm")
    for number, (variant, values) in enumerate(points.items()):
        middle = _TOP + _LINE * (number + 0.5)
        pen.text((left - _GAP, middle), _label(variant, values), fill=INK, font=font, anchor="rm")
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
        pen.line([(low, middle), (high, middle)], fill=STRONG, width=SCALE)
        for end in (low, high):
            pen.line([(end, middle - 5 * SCALE), (end, middle + 5 * SCALE)], fill=STRONG, width=SCALE)
    for value in values:
        pen.circle((x(value), middle), 3 * SCALE, fill=FAINT)
    pen.circle((x(mean), middle), 4 * SCALE, fill=STRONG)


def _ends(points: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """The lowest and the highest of all bars and seeds."""
    ends = [end for values in points.values() if values for end in (*values, *_bar(values))]
    return min(ends), max(ends)


def _bar(values: Sequence[float]) -> tuple[float, ...]:
    if len(values) < 2:
        return ()
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return mean - deviation, mean + deviation
