"""The learning curve of a run as a picture, and what more hours would bring: `python -m aio.sweeps.curve RUN`.

An extrapolation, to be read as an order of magnitude: a longer run has another schedule of its learning rate.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from aio.axes import FAINT, FONT, GRID, INK, PAPER, SCALE, STRONG, log_ticks, ticks
from aio.commands import run
from aio.files import atomic_write
from aio.sweeps.learning import Fit, Law, Point, fit_laws, read_points

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _GAP = (SCALE * n for n in (560, 320, 56, 40, 60, 12))
_BEYOND: Final = 10.0  # times the hours that the run took: how far the picture looks ahead at least
_FARTHEST: Final = 1000.0  # ... and at most
_STEPS: Final = 200
Place = Callable[[float, float], tuple[float, float]]


def main(argv: Sequence[str]) -> None:
    """Writes the picture and prints the hours, as `argv` says."""
    options = _parser().parse_args(argv)
    points = read_points(options.run)
    fit = fit_laws(points, options.run)
    path = options.output or options.run / "curve.png"
    with atomic_write(path) as file:
        draw_curve(points, fit, targets=options.target, device=options.on).save(file, format="PNG")
    sys.stdout.write(describe(points, fit, targets=options.target, device=options.on) + f"{path}\n")


def describe(points: Sequence[Point], fit: Fit, *, targets: Sequence[float], device: str) -> str:
    """What was reached, by which law, and the hours until each of `targets`, in words."""
    last, law = points[-1], fit.best
    formula = f"{law.ceiling:.2f} - {law.gap:.2f} * hours ** -{law.exponent:.3f}"
    lines = [
        f"{last.psnr:.2f} dB after {last.hours:.2f} hours on {device}, {len(points)} validations",
        f"best law: PSNR = {formula}, {law.error:.2f} dB off (root mean square)",
    ]
    for target in targets:
        best, fastest, slowest = map(_hours, fit.hours(target))
        lines.append(f"{target:.2f} dB: {best} by the best law; {fastest} to {slowest} by laws that fit as well")
    return "\n".join([*lines, ""])


def draw_curve(points: Sequence[Point], fit: Fit, *, targets: Sequence[float], device: str) -> Image.Image:
    """PSNR over hours, these by their logarithm: validations, the best law, and the range of those as good."""
    font = ImageFont.load_default(FONT)
    image = Image.new("RGB", (_LEFT + _WIDTH + _GAP * 4, _TOP + _HEIGHT + _BOTTOM), PAPER)
    pen = ImageDraw.Draw(image)
    first, end = points[0].hours, _horizon(points, fit, targets)
    columns, rows = log_ticks(first, end), ticks(*_range(points, fit, targets, end))
    place = _placed(columns, rows)
    _draw_grid(pen, font, columns, rows, place)
    hours = [first * (end / first) ** (step / _STEPS) for step in range(_STEPS + 1)]
    band = [[law.psnr(hour) for law in (fit.best, *fit.as_good)] for hour in hours]
    outline = [place(h, max(b)) for h, b in zip(hours, band, strict=True)]
    outline += [place(h, min(b)) for h, b in zip(reversed(hours), reversed(band), strict=True)]
    pen.polygon(outline, fill="#e3ecf6")
    pen.line([place(hour, values[0]) for hour, values in zip(hours, band, strict=True)], fill=STRONG, width=SCALE)
    for target in targets:
        pen.line([place(columns[0], target), place(columns[-1], target)], fill=FAINT, width=SCALE)
    for point in points:
        pen.circle(place(*point), 3 * SCALE, fill=STRONG)
    pen.text((_LEFT, _GAP), "mean PSNR of the validation in dB, and laws that fit it", fill=INK, font=font)
    pen.text((_LEFT, image.height - _GAP), f"hours on {device}", fill=INK, font=font, anchor="ls")
    return image


def _placed(columns: Sequence[float], rows: Sequence[float]) -> Place:
    """Where hours and PSNR stand in the picture, whose edges are the first and the last mark."""
    low, high = math.log(columns[0]), math.log(columns[-1])

    def place(hours: float, psnr: float) -> tuple[float, float]:
        across, up = (math.log(hours) - low) / (high - low), (psnr - rows[0]) / (rows[-1] - rows[0])
        return _LEFT + _WIDTH * across, _TOP + _HEIGHT * (1 - up)

    return place


def _draw_grid(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    columns: Sequence[float],
    rows: Sequence[float],
    place: Place,
) -> None:
    for hours in columns:
        foot = place(hours, rows[0])
        pen.line([foot, place(hours, rows[-1])], fill=GRID, width=SCALE)
        pen.text((foot[0], foot[1] + _GAP), f"{hours:g}", fill=INK, font=font, anchor="mm")
    for psnr in rows:
        left = place(columns[0], psnr)
        pen.line([left, place(columns[-1], psnr)], fill=GRID, width=SCALE)
        pen.text((left[0] - _GAP, left[1]), f"{psnr:g}", fill=INK, font=font, anchor="rm")


def _horizon(points: Sequence[Point], fit: Fit, targets: Sequence[float]) -> float:
    """The hours up to which the picture goes."""
    last = points[-1].hours
    wanted = max([fit.best.hours(target) for target in targets], default=0.0)
    return min(max(last * _BEYOND, wanted * 2), last * _FARTHEST)


def _range(points: Sequence[Point], fit: Fit, targets: Sequence[float], end: float) -> tuple[float, float]:
    laws: list[Law] = [fit.best, *fit.as_good]
    ends = [law.psnr(hours) for law in laws for hours in (points[0].hours, end)]
    every = [*(point.psnr for point in points), *ends, *targets]
    return min(every), max(every)


def _hours(hours: float) -> str:
    return "never" if math.isinf(hours) else f"{hours:.3g} hours" if hours < 1000 else f"{hours:,.0f} hours"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m aio.sweeps.curve", description="The learning curve of a run.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run, with its metrics.csv")
    parser.add_argument("-o", "--output", type=Path, metavar="PNG", help="the picture; RUN/curve.png by default")
    parser.add_argument("--target", type=float, nargs="+", default=[], metavar="DB", help="PSNR to extrapolate to")
    parser.add_argument("--on", default="this machine", metavar="WORDS", help="what the hours are of: 'two CPU cores'")
    return parser


if __name__ == "__main__":
    run(main)
