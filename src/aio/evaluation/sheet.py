"""A sheet of pictures: the worst, median and best image of each column, before, after and clean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aio.evaluation.items import Plan
from aio.evaluation.journal import Measured
from aio.evaluation.run import restored_path
from aio.metrics import comparable, find_protocol
from aio.pictures import Panel, draw_sheet, write_picture

_SIDE: Final = 320  # of a panel: the centre of the image


def write_sheet(plan: Plan, rows: Sequence[Measured], folder: Path, target: Path) -> None:
    """Draws from the restored images in `folder`; three rows a column, by PSNR."""
    panels = []
    for column in plan.columns:
        ranked = sorted((row.after["psnr"], index) for index, row in enumerate(rows) if row.column == column)
        chosen = dict.fromkeys((ranked[0][1], ranked[len(ranked) // 2][1], ranked[-1][1]))
        names = ("worst", "median", "best") if len(chosen) == 3 else ("worst", "best")
        panels += [_panels(plan, rows, index, word, folder) for word, index in zip(names, chosen, strict=False)]
    write_picture(draw_sheet(panels), target)


def _panels(plan: Plan, rows: Sequence[Measured], index: int, word: str, folder: Path) -> list[Panel]:
    item, row = plan.items[index], rows[index]
    protocol = find_protocol(item.protocol, scale=plan.scale)
    degraded, clean = (protocol.crop(image) for image in item.load())
    with Image.open(restored_path(folder, item.column, item.name)) as picture:
        restored = torch.from_numpy(np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1) / 255)
    before, after = row.before["psnr"], row.after["psnr"]
    shown = (comparable(degraded, clean), restored, clean)
    labels = (f"{item.column} {word}: {item.name}  {before:.2f} dB", f"restored  {after:.2f} dB", "clean")
    return [Panel(label, _centre(image)) for label, image in zip(labels, shown, strict=True)]


def _centre(image: Tensor) -> Tensor:
    top, left = (max(0, (side - _SIDE) // 2) for side in image.shape[-2:])
    return image[..., top : top + _SIDE, left : left + _SIDE]
