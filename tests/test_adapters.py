"""`--adapter` of `aio restore` and `aio evaluate`, and of `aio.load`: chosen by the degradation that is told."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import aio
from adapting import ids, image_for, taught
from aio import evaluate
from aio.adapters import save_adapters
from aio.errors import InputError
from aio.restore import main as restore


@pytest.fixture(scope="module")
def files(finished_run, tmp_path_factory):
    """Checkpoint, and adapters for rain and for blur in two files."""
    folder = tmp_path_factory.mktemp("adapters")
    names = {"derain": folder / "rain.safetensors", "deblur": folder / "blur.safetensors"}
    for task, path in names.items():
        save_adapters(taught(aio.load(finished_run / "best.ckpt"), task), path)
    return {"checkpoint": str(finished_run / "best.ckpt")} | {task: str(path) for task, path in names.items()}


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (33, 41, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def restored(photo, files, out, *words):
    restore([str(photo), "-o", str(out), "--checkpoint", files["checkpoint"], *words])
    return np.asarray(Image.open(out / photo.name)).astype(float)


def scores(files, out, *words):
    evaluate.main(["--checkpoint", files["checkpoint"], "--save_dir", str(out), *words])
    with (out / "scores.csv").open(newline="") as file:
        return {row["column"]: float(row["psnr"]) for row in csv.DictReader(file) if row["method"] == "best"}


def test_load_takes_an_adapter(files):
    base, net = aio.load(files["checkpoint"]), aio.load(files["checkpoint"], adapter=files["derain"])
    image = image_for(base)
    assert torch.equal(net(image), base(image))
    assert torch.equal(net(image, ids("dehaze")), base(image))
    assert not torch.allclose(net(image, ids("derain")), base(image), atol=1e-2)
    with pytest.raises(InputError, match="restormer_tiny: no such file"):
        aio.load("restormer_tiny", adapter=files["derain"])


def test_restore_chooses_by_the_degradation(photo, files, tmp_path):
    both = ["--adapter", files["derain"], "--adapter", files["deblur"]]
    plain = restored(photo, files, tmp_path / "plain")
    rain = restored(photo, files, tmp_path / "rain", *both, "--de_type", "derain")
    blur = restored(photo, files, tmp_path / "blur", "--adapter", files["deblur"], "--de_type", "deblur")
    assert np.abs(rain - plain).max() > 2
    assert np.abs(rain - blur).max() > 0
    net = aio.load(files["checkpoint"], adapter=files["derain"])
    image = torch.from_numpy(np.asarray(Image.open(photo)).transpose(2, 0, 1) / np.float32(255))[None]
    with torch.inference_mode():
        padded = torch.nn.functional.pad(image, (0, 7, 0, 7), mode="reflect")
        expected = net(padded, ids("derain"))[0, :, :33, :41].clamp(0, 1).mul(255).round().permute(1, 2, 0)
    assert np.abs(rain - expected.numpy()).max() <= 1


def test_evaluate_tells_each_image_its_own(plant, files, tmp_path):
    words = ["--benchmark", "own", "--data_file_dir", str(plant({"val/denoise": "a.png b.png"}))]
    base = scores(files, tmp_path / "base", *words)
    words += ["--adapter", files["derain"]]
    told = scores(files, tmp_path / "told", *words, "--tell_task")
    assert {task for task in base if told[task] != base[task]} == {"derain"}
    one = scores(files, tmp_path / "one", *words, "--de_type", "derain")
    assert one["derain"] == told["derain"]


def test_an_adapter_needs_to_be_told_the_degradation(photo, files, tmp_path):
    argv = ["--checkpoint", files["checkpoint"], "--adapter", files["derain"]]
    with pytest.raises(InputError, match="--adapter: is chosen by the degradation; say by --de_type"):
        restore([str(photo), "-o", str(tmp_path / "out"), *argv])
    with pytest.raises(InputError, match="--adapter: chosen by the degradation: name one by --de_type, or tell all by"):
        evaluate.main([*argv, "--benchmark", "demo"])
    with pytest.raises(InputError, match="no adapter for dehaze: there are adapters for derain"):
        restore([str(photo), "-o", str(tmp_path / "out"), *argv, "--de_type", "dehaze"])
    with pytest.raises(InputError, match="no adapter for denoise_15, denoise_25, denoise_50: there are"):
        evaluate.main([*argv, "--benchmark", "demo", "--de_type", "denoise"])
    with pytest.raises(InputError, match="unknown degradation 'fog'"):
        evaluate.main([*argv, "--benchmark", "demo", "--de_type", "fog"])
    assert not (tmp_path / "out").exists()
