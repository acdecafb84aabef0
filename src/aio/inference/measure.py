"""Restores degraded images and scores them against their clean partners under a protocol."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from aio.colour import luma
from aio.files import atomic_write
from aio.inference.tiles import Tile, restore_image
from aio.metrics import Protocol, ScoreTable, input_name
from aio.nets.base import RestorationNet


class Test(NamedTuple):
    """One image to measure: `degraded (C, H, W)`, `clean (C, sH, sW)` in [0, 1]; `task_id` is for nets that use it."""

    task: str
    task_id: int | None
    name: str
    degraded: Tensor
    clean: Tensor


def measure(
    net: RestorationNet,
    tests: Iterable[Test],
    *,
    count: int,
    protocol: Protocol,
    tile: Tile = "auto",
    save_dir: Path | None = None,
) -> ScoreTable:
    """The scores of `net` on `count` tests, with a progress bar; restored images go to `save_dir/TASK/NAME.png`.

    A gray net which keeps the size is measured on the luma alone.
    """
    scores = ScoreTable(protocol.name, before=input_name(net.scale))
    with _progress() as progress:
        bar = progress.add_task("measuring", total=count)
        for test in tests:
            degraded, clean = protocol.crop(test.degraded), protocol.crop(test.clean)
            if (net.in_channels, net.scale) == (1, 1):
                degraded, clean = luma(degraded), luma(clean)
            restored = restore_image(net, degraded, task=test.task_id, tile=tile)
            before, after = protocol.input_scores(degraded, clean), protocol.scores(restored, clean)
            scores.add(test.task, test.name, before[0], after[0])
            if save_dir is not None:
                _save_png(restored, save_dir / test.task / f"{test.name}.png")
            progress.update(bar, advance=1, description=f"{test.task} {after[0].psnr:.2f} dB")
    return scores


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns)


def _save_png(image: Tensor, path: Path) -> None:
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    with atomic_write(path) as file:
        picture.save(file, format="PNG")
