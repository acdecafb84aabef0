"""`gallery.png`: degraded | restored | clean, one row per degradation, each with its PSNR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aio.files import atomic_write
from aio.metrics import psnr
from aio.resize import bicubic
from aio.vocabulary import DEGRADATIONS

_GAP: Final = 8
_LABEL: Final = 26
_PAPER: Final = (250, 250, 250)
_INK: Final = (30, 30, 30)


class Example(NamedTuple):
    """One row of a gallery: three images `(3, H, W)` in [0, 1] of one size."""

    title: str
    degraded: Tensor
    restored: Tensor
    clean: Tensor


class Gallery(L.Callback):
    """Draws the first validation image of every degradation after each validation, into the run folder and loggers.

    Args:
        size: images are cropped to this side at their centre, in pixels.
    """

    def __init__(self, *, size: int = 256) -> None:
        self.size = size
        self._examples: dict[int, Example] = {}

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._examples = {}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for i, task in enumerate(batch["task"].tolist()):
            if task not in self._examples:
                clean = batch["clean"][i]
                images = (_at_size_of(clean, batch["degraded"][i]), outputs[i], clean)
                crops = (self._centre(image.detach().float().cpu()) for image in images)
                self._examples[task] = Example(DEGRADATIONS[task], *crops)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Every rank learns what the others saw; each has a part of the images only."""
        if dist.is_available() and dist.is_initialized():
            every: list[dict[int, Example]] = [{}] * dist.get_world_size()
            dist.all_gather_object(every, self._examples)
            self._examples = {task: example for seen in reversed(every) for task, example in seen.items()}

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero or not self._examples:
            return
        picture = draw_gallery([self._examples[task] for task in sorted(self._examples)])
        with atomic_write(Path(trainer.default_root_dir) / "gallery.png") as file:
            picture.save(file, format="PNG")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
                shaped = pixels.view(picture.height, picture.width, 3)
                logger.experiment.add_image("gallery", shaped, trainer.global_step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image("gallery", [picture], step=trainer.global_step)

    def _centre(self, image: Tensor) -> Tensor:
        top, left = (max(0, (side - self.size) // 2) for side in image.shape[-2:])
        return image[..., top : top + self.size, left : left + self.size]


def _at_size_of(clean: Tensor, degraded: Tensor) -> Tensor:
    """An input of low resolution, enlarged by bicubic."""
    return degraded if degraded.shape == clean.shape else bicubic(degraded, (clean.shape[-2], clean.shape[-1]))


def draw_gallery(examples: Sequence[Example]) -> Image.Image:
    """One labelled row per example."""
    rows = [_draw_row(example) for example in examples]
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), _PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _draw_row(example: Example) -> Image.Image:
    height, width = example.clean.shape[-2:]
    row = Image.new("RGB", (3 * (width + _GAP) + _GAP, height + _LABEL + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(row), ImageFont.load_default(15)
    for column, image in enumerate((example.degraded, example.restored, example.clean)):
        left = _GAP + column * (width + _GAP)
        row.paste(_to_picture(image), (left, _LABEL))
        pen.text((left, 5), _label(example, column), fill=_INK, font=font)
    return row


def _label(example: Example, column: int) -> str:
    if column == 2:
        return "clean"
    value = psnr((example.degraded, example.restored)[column][None], example.clean[None]).item()
    return f"{example.title}  {value:.2f} dB" if column == 0 else f"restored  {value:.2f} dB"


def _to_picture(image: Tensor) -> Image.Image:
    pixels = (image.clamp(0, 1) * 255).round().byte()
    pixels = pixels.expand(3, -1, -1) if pixels.shape[0] == 1 else pixels[:3]
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
