"""The picture of examples: which images it shows, where, and that it is written whole."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from aio.callbacks.gallery import Example, Gallery, draw_gallery
from aio.vocabulary import TASK_ID

GAP, LABEL = 8, 26


def example(side: int = 12, seed: int = 0, channels: int = 3, title: str = "derain") -> Example:
    generator = torch.Generator().manual_seed(seed)
    images = (torch.rand(channels, side, side + 3, generator=generator) for _ in range(3))
    return Example(title, *images)


def shown(sheet: Image.Image, row: int, column: int, height: int, width: int) -> np.ndarray:
    """The pixels of one image; all rows above are of the same height."""
    top, left = row * (height + LABEL + GAP) + LABEL, GAP + column * (width + GAP)
    return np.asarray(sheet)[top : top + height, left : left + width]


def pixels(image: torch.Tensor) -> np.ndarray:
    return np.rint(image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)


def test_a_row_per_example_with_three_images_each():
    examples = [example(seed=0), example(seed=1, title="dehaze")]
    sheet = draw_gallery(examples)
    assert sheet.size == (3 * 15 + 4 * GAP, 2 * (12 + LABEL + GAP))
    for row, one in enumerate(examples):
        for column, image in enumerate((one.degraded, one.restored, one.clean)):
            assert np.array_equal(shown(sheet, row, column, 12, 15), pixels(image))


def test_labels_say_the_psnr():
    """Of the restored image above it: another one changes its own label and no other."""
    one = example(side=120)
    sheets = [np.asarray(draw_gallery([e])) for e in (one, one._replace(restored=one.restored / 2))]
    changed = (sheets[0][:LABEL] != sheets[1][:LABEL]).any(axis=(0, 2)).nonzero()[0]
    second_column = GAP + 123 + GAP
    assert second_column <= changed.min()
    assert changed.max() < second_column + 123


def test_gray_images_and_values_out_of_range_are_drawn():
    gray = example(channels=1)
    gray = gray._replace(restored=gray.restored * 3 - 1)
    sheet = draw_gallery([gray])
    assert np.array_equal(shown(sheet, 0, 0, 12, 15), pixels(gray.degraded.expand(3, -1, -1)))
    assert shown(sheet, 0, 1, 12, 15).min() == 0
    assert shown(sheet, 0, 1, 12, 15).max() == 255


def validation(gallery: Gallery, trainer: SimpleNamespace, tasks: list[str], side: int = 16) -> list[torch.Tensor]:
    """Validates one image per task of `tasks`, in batches of two; returns the clean images."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, side, side, generator=generator) for _ in tasks]
    gallery.on_validation_epoch_start(trainer, None)
    for i in range(0, len(tasks), 2):
        clean = torch.stack(images[i : i + 2])
        ids = torch.tensor([TASK_ID[task] for task in tasks[i : i + 2]])
        gallery.on_validation_batch_end(
            trainer, None, clean / 2, {"degraded": clean / 4, "clean": clean, "task": ids}, i
        )
    gallery.on_validation_end(trainer, None)
    return images


@pytest.fixture
def trainer(tmp_path):
    state = {"sanity_checking": False, "is_global_zero": True, "global_step": 7, "loggers": []}
    return SimpleNamespace(default_root_dir=str(tmp_path / "run"), **state)


def test_the_first_image_of_every_degradation_in_the_order_of_their_ids(trainer, tmp_path):
    images = validation(Gallery(), trainer, ["dehaze", "derain", "derain", "dehaze"])
    sheet = Image.open(tmp_path / "run" / "gallery.png")
    assert np.array_equal(shown(sheet, 0, 2, 16, 16), pixels(images[1]))
    assert np.array_equal(shown(sheet, 1, 2, 16, 16), pixels(images[0]))
    assert np.array_equal(shown(sheet, 1, 1, 16, 16), pixels(images[0] / 2))
    assert sheet.height == 2 * (16 + LABEL + GAP)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["gallery.png"]


def test_large_images_are_cropped_at_their_centre_and_the_next_validation_starts_anew(trainer, tmp_path):
    gallery = Gallery(size=10)
    validation(gallery, trainer, ["dehaze", "derain"])
    (image,) = validation(gallery, trainer, ["derain"], side=21)
    sheet = Image.open(tmp_path / "run" / "gallery.png")
    assert sheet.height == 10 + LABEL + GAP
    assert np.array_equal(shown(sheet, 0, 2, 10, 10), pixels(image[:, 5:15, 5:15]))


@pytest.mark.parametrize("state", [{"sanity_checking": True}, {"is_global_zero": False}])
def test_nothing_is_written_by_a_sanity_check_or_another_rank(trainer, tmp_path, state):
    trainer.__dict__.update(state)
    validation(Gallery(), trainer, ["derain"])
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_picture(trainer, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="", version="board")
    trainer.loggers = [logger]
    validation(Gallery(), trainer, ["derain"])
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    (picture,) = events.Images("gallery")
    assert (picture.step, picture.width, picture.height) == (7, 3 * 16 + 4 * GAP, 16 + LABEL + GAP)
