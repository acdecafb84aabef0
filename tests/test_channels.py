"""Nets of one channel and of six train from the command line: what they see, what is scored and shown, and resuming."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from aio.cli import AioCLI
from aio.errors import InputError
from aio.images import png
from aio.metrics import psnr
from tiny_nets import TINY

GAP, LABEL, SIDE = 8, 26, 32


class Watch(L.Callback):
    """Keeps the training batches."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: dict[str, Any], *_: Any
    ) -> None:
        self.batches.append(batch)


def fitted(name: str, home: Path, words: list[str]) -> tuple[AioCLI, Watch]:
    kind, arguments = TINY[name]
    (home / "net.yaml").write_text(
        yaml.safe_dump({"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": arguments})
    )
    cli, watch = AioCLI([*words, "--model", str(home / "net.yaml"), "--ckpt_dir", str(home / "run")]), Watch()
    cli.trainer.callbacks.append(watch)
    cli.fit()
    return cli, watch


def plant_views(root: Path, *, images: int = 2) -> Path:
    """DPDD's folders for training and test: left and right view are the sharp image, lighter and darker, of 16 bits."""
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for index in range(images):
            clean = generator.integers(10_000, 50_000, (36, 40, 3)).astype(np.uint16)
            views = {"inputL": clean + 6_000, "inputR": clean - 8_000, "inputC": clean - 1_000, "target": clean}
            for side, samples in views.items():
                (root / split / side).mkdir(parents=True, exist_ok=True)
                (root / split / side / f"{index}.png").write_bytes(png.encode(samples.astype(np.uint16)))
    return root


def test_a_dual_pixel_net_trains_on_both_views_and_goes_on(tmp_path, short_fit):
    root = plant_views(tmp_path / "dpdd")
    words = [*short_fit, "--de_type", "defocus", "--trainset", "paired", "--data_file_dir", str(root)]
    _, watch = fitted("restormer_dual_pixel", tmp_path, [*words, "--lr", "1e-3", "--epochs", "1"])
    for batch in watch.batches:
        assert batch["degraded"].shape == (2, 6, 16, 16)
        left, right = batch["degraded"].split(3, dim=1)
        torch.testing.assert_close(left - batch["clean"], torch.full_like(left, 6_000 / 65535), atol=1e-6, rtol=0)
        torch.testing.assert_close(right - batch["clean"], torch.full_like(right, -8_000 / 65535), atol=1e-6, rtol=0)

    run = tmp_path / "run"
    assert "mean of both views PSNR" in (run / "scores.md").read_text()
    with (run / "scores.csv").open(newline="") as file:
        (scores,) = (row for row in csv.DictReader(file) if row["degradation"] == "defocus")
    of_the_mean = 20 * np.log10(65535 / 1_000)  # which is 1,000 darker than the sharp image
    assert float(scores["input_psnr"]) == pytest.approx(of_the_mean, abs=1e-3)
    with Image.open(run / "gallery.png") as gallery:
        shown = np.asarray(gallery)[LABEL : LABEL + SIDE, GAP:]
    degraded, clean = (shown[:, start : start + SIDE] for start in (0, 2 * (SIDE + GAP)))
    assert psnr(*(torch.from_numpy(i / 255)[None].movedim(-1, 1) for i in (degraded, clean))).item() > 33
    fitted("restormer_dual_pixel", tmp_path, [*words, "--lr", "1e-3", "--epochs", "2", "--resume_from", "last"])


def test_a_dual_pixel_net_needs_views(tmp_path, short_fit):
    with pytest.raises(InputError, match="--trainset demo: both views of a dual-pixel camera are files"):
        fitted("restormer_dual_pixel", tmp_path, [*short_fit, "--de_type", "defocus"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sigma", [15, 50])
def test_a_gray_net_sees_noise_of_the_sigma_that_is_said(tmp_path, short_fit, sigma):
    """Not of what is left of it in the luma of three noisy channels."""
    words = [*short_fit, "--de_type", f"denoise_{sigma}", "--data.synthesis.quantise", "false", "--patch_size", "64"]
    cli, watch = fitted("restormer_gray", tmp_path, [*words, "--epochs", "1", "--data.samples_per_epoch", "8"])
    noise = torch.cat([batch["degraded"] - batch["clean"] for batch in watch.batches]) * 255
    assert noise.shape[1] == 1
    assert noise.std().item() == pytest.approx(sigma, rel=0.03)
    assert noise.mean().item() == pytest.approx(0, abs=sigma / 20)
    values = cli.model.scores.means()[f"denoise_{sigma}"]
    assert values.input_psnr == pytest.approx(20 * np.log10(255 / sigma), abs=1)
