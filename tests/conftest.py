"""Fixtures: small trees of images, and a short training."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

settings.register_profile("suite", deadline=None, derandomize=True)  # slow machines pass, and every run is the same
settings.load_profile("suite")
os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="offline")  # no test waits for a network
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in as many processes as there are cores

TINY_NET = """\
class_path: aio.nets.restormer.Restormer
init_args: {dim: 8, num_blocks: [1, 1, 1, 1], heads: [1, 1, 1, 1], num_refinement_blocks: 1}
"""


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """Writes images and returns their root: `plant({"train/derain/rainy": "rain-1.png rain-2.png"})`.

    Red holds the row of a pixel, green its column, blue a number of the file's path.
    """

    def write(tree: dict[str, str], *, size: tuple[int, int] = (24, 32), root: str = "data") -> Path:
        for folder, names in tree.items():
            for name in names.split():
                path = tmp_path / root / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.empty((*size, 3), np.uint8)
                pixels[..., 0], pixels[..., 1] = np.indices(size)
                pixels[..., 2] = zlib.crc32(f"{folder}/{name}".encode()) % 256
                Image.fromarray(pixels).save(path)
        return tmp_path / root

    return write


@pytest.fixture(scope="session")
def short_fit(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of a training that takes two seconds; later words beat these."""
    preset = tmp_path_factory.mktemp("preset") / "tiny.yaml"
    preset.write_text(TINY_NET)
    words = f"""--model {preset} --de_type denoise_25 dehaze --epochs 2 --batch_size 2 --patch_size 16
        --data.samples_per_epoch 4 --data.val_size 32 --data.val_images 1 --num_workers 0 --perceptual_weight 0
        --trainer.accelerator cpu --trainer.enable_progress_bar false --trainer.log_every_n_steps 1"""
    return words.split()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, short_fit: list[str]) -> Path:
    """The folder of a finished training, for reading only."""
    from aio.fit import main

    folder = tmp_path_factory.mktemp("runs") / "finished"
    main([*short_fit, "--ckpt_dir", str(folder)])
    return folder
