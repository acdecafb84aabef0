"""Tensors as pictures for people: PNG files, and labelled sheets of images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aio.files import atomic_write

_GAP: Final = 8
_LABEL: Final = 26
_PAPER: Final = (250, 250, 250)
_INK: Final = (30, 30, 30)


class Panel(NamedTuple):
    """An image `(C, H, W)` in [0, 1] and what is written above it."""

    label: str
    image: Tensor


def to_picture(image: Tensor) -> Image.Image:
    """`(1, H, W)` or `(3, H, W)` in [0, 1], rounded to 8 bit; what lies outside is clipped."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def write_png(image: Tensor, path: str | Path) -> None:
    """Writes `image`, as `to_picture` has it."""
    write_picture(to_picture(image), path)


def write_picture(picture: Image.Image, path: str | Path) -> None:
    """Writes a PNG at once or not at all."""
    with atomic_write(path) as file:
        picture.save(file, format="PNG")


def draw_sheet(rows: Sequence[Sequence[Panel]]) -> Image.Image:
    """Rows of labelled panels; those of a row have one size."""
    drawn = [_draw_row(row) for row in rows]
    sheet = Image.new("RGB", (max(row.width for row in drawn), sum(row.height for row in drawn)), _PAPER)
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _draw_row(panels: Sequence[Panel]) -> Image.Image:
    height, width = panels[0].image.shape[-2:]
    row = Image.new("RGB", (len(panels) * (width + _GAP) + _GAP, height + _LABEL + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(row), ImageFont.load_default(15)
    for column, panel in enumerate(panels):
        left = _GAP + column * (width + _GAP)
        row.paste(to_picture(panel.image[:3]), (left, _LABEL))
        pen.text((left, 5), panel.label, fill=_INK, font=font)
    return row
