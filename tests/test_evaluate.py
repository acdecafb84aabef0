"""`aio evaluate`: benchmarks and folders, the tables it leaves, what it refuses."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from aio.benchmarks import BENCHMARKS
from aio.errors import InputError
from aio.evaluate import main
from aio.metrics import PROTOCOLS
from aio.nets.grla_seed import GRLASeed
from aio.nets.restormer import Restormer


@pytest.fixture
def folders(tmp_path):
    """Five pairs of odd sizes, the degraded side darker by a fifth."""
    rng = np.random.default_rng(0)
    for i in range(5):
        clean = rng.integers(0, 256, (33 + i, 41, 3), dtype=np.uint8)
        for name, image in {"low": clean * 0.8, "high": clean}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_folders_give_a_table_and_the_restored_images(folders, finished_run, capsys):
    out = folders / "out"
    checkpoint = str(finished_run / "best.ckpt")
    words = ["--checkpoint", checkpoint, "--degraded_dir", str(folders / "low"), "--clean_dir", str(folders / "high")]
    main([*words, "--save_dir", str(out), "--de_type", "lol"])
    with (out / "scores.csv").open() as file:
        rows = {row["degradation"]: row for row in csv.DictReader(file)}
    assert rows["lowlight"]["images"] == "5"
    pairs = [
        [np.asarray(Image.open(folder / f"{i}.png")) for folder in (folders / "high", folders / "low")]
        for i in range(5)
    ]
    expected = math.fsum(peak_signal_noise_ratio(clean, low) for clean, low in pairs) / 5
    assert float(rows["lowlight"]["input_psnr"]) == pytest.approx(expected, abs=1e-4)
    restored = [np.asarray(Image.open(out / "lowlight" / f"{i}.png")) for i in range(5)]
    after = math.fsum(peak_signal_noise_ratio(clean, r) for (clean, _), r in zip(pairs, restored, strict=True)) / 5
    assert float(rows["lowlight"]["psnr"]) == pytest.approx(after, abs=0.05)  # the files are rounded to 8 bit
    assert (out / "scores.md").read_text().startswith("| aio | images |")
    assert "lowlight" in capsys.readouterr().out


def test_the_demo_benchmark_runs_blind_or_told(finished_run, capsys):
    for told in ([], ["--tell_task"]):
        main(["--checkpoint", str(finished_run / "best.ckpt"), "--benchmark", "demo", "--de_type", "dehaze", *told])
        assert "dehaze" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say what to measure on"),
        (["--benchmark", "aio7"], r"unknown benchmark 'aio7': choose from demo, own, aio3, aio5"),
        (["--benchmark", "aio5"], "give their root by --data_file_dir"),
        (["--benchmark", "demo", "--protocol", "mine"], "unknown protocol 'mine': choose from aio"),
        (["--degraded_dir", "x"], "say what to measure on"),
        (["--clean_dir", "x"], "goes with --degraded_dir D, or with --de_type T"),
        (["--clean_dir", "x", "y", "--degraded_dir", "z"], "goes with one --clean_dir"),
        (["--degraded_dir", "/none", "--clean_dir", "/none"], "/none: no such folder"),
        (["--clean_dir", "/none", "--de_type", "derain"], "/none: no such folder"),
        (["--clean_dir", ".", "--de_type", "denoise"], "means denoise_15, denoise_25, denoise_50: name one"),
        (["--benchmark", "demo", "--de_type", "fog"], "unknown degradation 'fog'"),
    ],
)
def test_bad_input_is_named(finished_run, words, says):
    with pytest.raises(InputError, match=says):
        main(["--checkpoint", str(finished_run / "best.ckpt"), *words])


def test_a_net_for_other_images_is_refused(tmp_path):
    torch.save({"params": GRLASeed(scale=2, dim=10, num_blocks=1).state_dict()}, tmp_path / "sr.pth")
    with pytest.raises(InputError, match=r"GRLASeed enlarges 2 times \(--de_type sr_x2\), but the clean images are 1"):
        main(["--checkpoint", str(tmp_path / "sr.pth"), "--benchmark", "demo"])
    dual = Restormer(
        dim=8, num_blocks=[1] * 4, heads=[1] * 4, num_refinement_blocks=1, dual_pixel_task=True, inp_channels=6
    )
    torch.save({"params": dual.state_dict()}, tmp_path / "dual.pth")
    with pytest.raises(InputError, match="Restormer takes 6 channels and gives 3: expected gray or colour images"):
        main(["--checkpoint", str(tmp_path / "dual.pth"), "--benchmark", "demo"])


def test_a_benchmark_measures_on_its_own_sets(plant, finished_run, tmp_path, capsys):
    root = plant({"test/denoise/bsd68": "a.png b.png", "test/denoise/kodak24": "c.png"})
    words = ["--checkpoint", str(finished_run / "best.ckpt"), "--data_file_dir", str(root), "--de_type", "denoise_25"]
    for benchmark, images in {"aio3": {"a.png", "b.png"}, "own": {"a.png", "b.png", "c.png"}}.items():
        main([*words, "--benchmark", benchmark, "--save_dir", str(tmp_path / benchmark)])
        assert {path.name for path in (tmp_path / benchmark / "denoise_25").iterdir()} == images


def test_unequal_pairs_are_named_before_the_run(folders, finished_run):
    Image.new("RGB", (9, 9)).save(folders / "high" / "3.png")
    words = ["--degraded_dir", str(folders / "low"), "--clean_dir", str(folders / "high")]
    with pytest.raises(InputError, match=r"3\.png is 36 x 41 and .*3\.png is 9 x 9: expected a pair of equal size"):
        main(["--checkpoint", str(finished_run / "best.ckpt"), *words])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_are_consistent(name):
    benchmark = BENCHMARKS[name]
    assert benchmark.protocol in PROTOCOLS
    assert all(len(row) == len(benchmark.tasks) for row in benchmark.published.values())
