"""Benchmarks of nets with other channels than three: both views of a dual-pixel camera, and noise on gray images."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aio.benchmarks import find_benchmark
from aio.colour import luma
from aio.errors import InputError
from aio.evaluate import main
from aio.evaluation.items import of_benchmark
from aio.images import png
from tiny_nets import TINY, build

LIGHTER = {"inputL": 6_000, "inputR": -8_000, "inputC": -1_000, "target": 0}  # than the sharp image, of 65535


@pytest.fixture
def dpdd(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("1", "2"):
        sharp = generator.integers(10_000, 50_000, (24, 32, 3))
        for side, lighter in LIGHTER.items():
            folder = tmp_path / "data" / "test" / "DPDD" / side
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.png").write_bytes(png.encode((sharp + lighter).astype(np.uint16)))
    return tmp_path / "data"


def checkpoint(name: str, folder: Path) -> list[str]:
    kind, arguments = TINY[name]
    torch.save({"params": build(name).state_dict()}, folder / f"{name}.pth")
    preset = folder / f"{name}.yaml"
    preset.write_text(f"class_path: {kind.__module__}.{kind.__name__}\ninit_args: {arguments}\n")
    return ["--checkpoint", str(folder / f"{name}.pth"), "--model", str(preset)]


def test_both_views_are_the_input_of_their_benchmark(dpdd, tmp_path):
    words = ["--benchmark", "defocus_dual_pixel", "--data_file_dir", str(dpdd), "--save_dir", str(tmp_path / "out")]
    main([*checkpoint("restormer_dual_pixel", tmp_path), *words])
    with (tmp_path / "out" / "scores.csv").open() as file:
        scores = {(row["method"], row["column"]): row for row in csv.DictReader(file)}
    before = next(row for (method, _), row in scores.items() if method == "mean of both views")
    assert float(before["psnr"]) == pytest.approx(20 * np.log10(65535 / 1_000), abs=1e-3)


def test_views_and_images_do_not_pass_for_each_other(dpdd, tmp_path):
    root = ["--data_file_dir", str(dpdd)]
    with pytest.raises(InputError, match="takes 3 channels and gives 3: expected both views of a dual-pixel camera"):
        main([*checkpoint("restormer", tmp_path), "--benchmark", "defocus_dual_pixel", *root])
    with pytest.raises(InputError, match="takes 6 channels and gives 3: expected gray or colour images"):
        main([*checkpoint("restormer_dual_pixel", tmp_path), "--benchmark", "defocus", *root])


def test_noise_of_a_gray_benchmark_falls_on_the_luma(plant):
    """From NumPy's seed 0, as many numbers as pixels."""
    root = plant({"test/Set12": "a.png b.png"})
    plan = of_benchmark(find_benchmark("gaussian_gray"), str(root), only=["denoise_25"])
    item = next(item for item in plan.items if item.column == "Set12 25")
    degraded, clean = item.load()
    noise = luma(degraded) - luma(clean)
    expected = np.random.RandomState(0).normal(0, 25 / 255, (24, 32))
    np.testing.assert_allclose(noise[0].numpy(), expected, atol=1e-6)


def test_sigma_is_of_the_luma_for_a_gray_net_on_any_folder(plant, tmp_path):
    root = plant({"set": "a.png b.png"}, size=(64, 64))
    for path in (root / "set").iterdir():  # away from black and white, where noise is clipped
        Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(path)
    words = ["--clean_dir", str(root / "set"), "--de_type", "denoise_15", "--save_dir", str(tmp_path / "out")]
    main([*checkpoint("restormer_gray", tmp_path), *words])
    with (tmp_path / "out" / "scores.csv").open() as file:
        (before, _) = csv.DictReader(file)
    assert float(before["psnr"]) == pytest.approx(20 * np.log10(255 / 15), abs=0.2)


def test_gray_and_colour_nets_are_measured_apart(plant, tmp_path):
    root = plant({"set": "a.png"})
    gray, colour = (checkpoint(name, tmp_path)[1] for name in ("restormer_gray", "restormer"))
    words = ["--clean_dir", str(root / "set"), "--de_type", "denoise_15"]
    with pytest.raises(InputError, match=r"measure apart what takes other images: .*gray.*colour"):
        main(["--checkpoint", gray, colour, *words])


def test_indoor_and_outdoor_are_told_by_the_positions_beside_the_set(dpdd, tmp_path, capsys):
    np.save(dpdd / "test" / "DPDD" / "indoor_labels.npy", np.array([2]))
    plan = of_benchmark(find_benchmark("defocus"), str(dpdd))
    assert [(item.column, item.name) for item in plan.items] == [("indoor", "2"), ("DPDD", "1"), ("DPDD", "2")]
    assert "outdoor: 0 of 39 images; do not compare with published rows" in plan.notes
