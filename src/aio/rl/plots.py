"""Pictures of an agent: PSNR against cost, what it learnt when, and where in a photograph it spends."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aio.axes import FONT, GRID, INK, PAPER, SCALE, ticks
from aio.pictures import to_picture
from aio.rl.actions import ACTIONS

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _GAP, _LINE = (SCALE * n for n in (420, 260, 58, 36, 50, 10, 18))
COLOURS: Final = ("#1f4e8c", "#c0504d", "#6a9a3b", "#8064a2", "#d98a29", "#4bacc6", "#7f7f7f")
_SPENT: Final = (
    (0, 0, 0, 0),
    (80, 160, 230, 90),
    (90, 200, 120, 90),
    (230, 200, 60, 100),
    (230, 120, 40, 120),
    (80, 160, 230, 90),
)
_REFINED: Final = (160, 60, 160, 120)


@dataclass(frozen=True)
class Curve:
    """Points `x`, `y` in one colour, in the order given.

    Attributes:
        joined: by a line.
        deviations: of y, drawn as bars; none if empty.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    joined: bool = True
    deviations: Sequence[float] = ()


def draw_chart(title: str, x_label: str, curves: Sequence[Curve]) -> Image.Image:
    """One pair of axes with a legend below them."""
    font = ImageFont.load_default(FONT)
    curves = [curve for curve in curves if curve.x]
    height = _TOP + _HEIGHT + _BOTTOM + _LINE * len(curves) + _GAP
    image = Image.new("RGB", (_LEFT + _WIDTH + _GAP * 3, height), PAPER)
    pen = ImageDraw.Draw(image)
    columns = ticks(min(min(c.x) for c in curves), max(max(c.x) for c in curves))
    rows = ticks(min(min(c.y) for c in curves), max(max(c.y) for c in curves))

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - columns[0]) / (columns[-1] - columns[0]), (y - rows[0]) / (rows[-1] - rows[0])
        return _LEFT + _WIDTH * across, _TOP + _HEIGHT * (1 - up)

    for x in columns:
        pen.line([place(x, rows[0]), place(x, rows[-1])], fill=GRID, width=SCALE)
        pen.text((place(x, rows[0])[0], _TOP + _HEIGHT + _GAP), f"{x:g}", fill=INK, font=font, anchor="mm")
    for y in rows:
        pen.line([place(columns[0], y), place(columns[-1], y)], fill=GRID, width=SCALE)
        pen.text((_LEFT - _GAP, place(columns[0], y)[1]), f"{y:g}", fill=INK, font=font, anchor="rm")
    for number, curve in enumerate(curves):
        points = [place(x, y) for x, y in zip(curve.x, curve.y, strict=True)]
        if curve.joined and len(points) > 1:
            pen.line(points, fill=curve.colour, width=SCALE)
        for x, y, deviation in zip(curve.x, curve.y, curve.deviations, strict=False):
            pen.line([place(x, y - deviation), place(x, y + deviation)], fill=curve.colour, width=SCALE)
        for point in points if len(points) < 60 else []:
            pen.circle(point, 3 * SCALE, fill=curve.colour)
        line = _TOP + _HEIGHT + _BOTTOM + _LINE * number
        pen.circle((_LEFT, line), 4 * SCALE, fill=curve.colour)
        pen.text((_LEFT + _GAP, line), curve.label, fill=INK, font=font, anchor="lm")
    pen.text((_LEFT, _TOP // 2), title, fill=INK, font=font, anchor="lm")
    pen.text((_LEFT + _WIDTH, _TOP + _HEIGHT + 3 * _GAP), x_label, fill=INK, font=font, anchor="rm")
    return image


def beside(charts: Sequence[Image.Image], columns: int = 2) -> Image.Image:
    """Charts in rows of `columns`."""
    width, height = max(chart.width for chart in charts), max(chart.height for chart in charts)
    page = Image.new("RGB", (width * min(columns, len(charts)), height * -(-len(charts) // columns)), PAPER)
    for number, chart in enumerate(charts):
        page.paste(chart, (number % columns * width, number // columns * height))
    return page


def smoothed(values: Sequence[float], reach: int = 3) -> list[float]:
    """Each with the mean of its neighbours up to `reach` away."""
    return [statistics.fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]


def draw_spending(image: Tensor, side: int, chosen: Sequence[tuple[int, ...]]) -> Image.Image:
    """`image (3, H, W)` whose patches of `side`, row by row, are tinted by what was `chosen` for each, and named."""
    picture = to_picture(image).convert("RGBA")
    tint = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    pen, font = ImageDraw.Draw(tint), ImageFont.load_default(max(11, side // 9))
    columns = image.shape[2] // side
    for number, actions in enumerate(chosen):
        top, left = number // columns * side, number % columns * side
        colour = _REFINED if len(actions) > 1 else _SPENT[actions[0] if actions else 0]
        pen.rectangle([left, top, left + side - 1, top + side - 1], fill=colour, outline=(255, 255, 255, 160))
        words = "\n".join(ACTIONS[action].name for action in actions) or "stop"
        pen.multiline_text((left + 5, top + 4), words, fill="white", font=font, stroke_width=2, stroke_fill="black")
    return Image.alpha_composite(picture, tint).convert("RGB")
