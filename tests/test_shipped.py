"""The network that comes with the package: whole, small, in float32 once loaded, and used where no other is named."""

from __future__ import annotations

import configparser
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import aio
from aio.data.degradations import DEGRADE
from aio.data.demo import demo_photos
from aio.data.pairs import to_tensor
from aio.errors import InputError
from aio.images import read_rgb
from aio.metrics import psnr
from aio.nets.base import count_parameters
from aio.nets.building import build_net
from aio.nets.deployable import read_header
from aio.presets import conf_dir, net_preset
from aio.shipped import WEIGHTS, check_shipped, digest_file, locate
from aio.vocabulary import expand
from aio.weights import open_net, start_from

CARD = WEIGHTS.with_name("README.md")
COLOUR = np.random.default_rng(0).integers(0, 256, (20, 26, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def net():
    return aio.load()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package's weights in their place."""
    for path in (WEIGHTS, digest_file(WEIGHTS)):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr("aio.shipped.WEIGHTS", tmp_path / WEIGHTS.name)
    return tmp_path / WEIGHTS.name


def state(net):
    return torch.cat([value.flatten() for value in net.state_dict().values()])


def test_it_is_small_and_computes_in_float32(net):
    assert WEIGHTS.stat().st_size <= 16_000_000
    assert count_parameters(net) <= 6_000_000
    stored = load_file(WEIGHTS)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert {value.dtype for value in net.state_dict().values()} == {torch.float32}
    assert all(torch.equal(value.float(), net.state_dict()[key]) for key, value in stored.items())
    assert not net.training


def test_it_says_what_it_is_for_and_whose_images_it_saw():
    said = read_header(WEIGHTS)
    recipe = yaml.safe_load((conf_dir() / "fit" / "default.yaml").read_text())
    assert said["tasks"] == expand(recipe["data"]["de_type"])
    assert "non-commercial research" in said["about"]["licence"]
    assert {"data", "recipe", "step", "epoch"} <= set(said["about"])


def test_its_digest_is_that_of_sha256sum():
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert digest_file(WEIGHTS).read_text() == f"{digest}  {WEIGHTS.name}\n"


def test_the_wheel_takes_all_of_it():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[1] / "setup.cfg")
    listed = set(setup["options.package_data"]["aio.shipped"].split())
    assert listed == {path.name for path in WEIGHTS.parent.iterdir() if path.suffix not in (".py", "")}


def test_the_card_speaks_of_these_weights_or_of_none():
    block = CARD.read_text().partition("<!-- begin measured -->")[2].partition("<!-- end measured -->")[0].strip()
    assert block.startswith("Not measured yet") or digest_file(WEIGHTS).read_text().split()[0] in block


def test_a_damaged_file_is_refused_with_both_digests(copied):
    good = hashlib.sha256(copied.read_bytes()).hexdigest()
    content = bytearray(copied.read_bytes())
    content[-1] ^= 1
    copied.write_bytes(content)
    bad = hashlib.sha256(content).hexdigest()
    with pytest.raises(InputError, match=rf"default\.safetensors: damaged, its SHA-256 is {bad}, expected {good}"):
        aio.load()
    with pytest.raises(InputError, match="damaged"):
        aio.restore(COLOUR)
    with pytest.raises(InputError, match="damaged"):
        open_net(locate("default"))


@pytest.mark.parametrize("missing", [WEIGHTS.name, digest_file(WEIGHTS).name])
def test_a_missing_file_is_named(copied, missing):
    copied.with_name(missing).unlink()
    with pytest.raises(InputError, match=r"default\.safetensors: .*missing; install the package again"):
        aio.load()


def test_other_files_have_no_digest(copied):
    check_shipped(copied.with_name("other.safetensors"))


def test_its_word_is_the_shipped_file_and_other_words_are_paths(net, tmp_path):
    assert locate("default") == WEIGHTS
    assert locate(tmp_path / "default") == tmp_path / "default"
    for again in (
        aio.load("default"),
        open_net("default"),
        start_from(build_net(net_preset("default"), ""), "default"),
    ):
        assert torch.equal(state(again), state(net))
    random = aio.load("restormer_tiny")  # all other presets have random weights
    assert not torch.equal(state(random), state(aio.load("restormer_tiny")))


@pytest.mark.parametrize(("task", "gain"), [("denoise_50", 5.0), ("denoise_25", 3.0), ("lowlight", 3.0)])
def test_it_restores(net, task, gain):
    assert gained(net, task, to_tensor(read_rgb(demo_photos("val")[0]))[:, 90:186, 120:248], seed=0) > gain


def test_it_undoes_the_blur_of_a_photograph_of_which_it_sees_enough(net):
    assert gained(net, "deblur", to_tensor(read_rgb(demo_photos("val")[0])), seed=1) > 3


def gained(net, task, clean, seed):
    degraded = DEGRADE[task](clean, torch.Generator().manual_seed(seed))
    before, after = (psnr(image[None], clean[None]).item() for image in (degraded, aio.restore(degraded, net)))
    return after - before


def test_without_another_it_restores_files_and_arrays(net, tmp_path):
    from aio.restore import main

    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    assert main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    with Image.open(tmp_path / "out" / "a.png") as picture:
        restored = np.asarray(picture)
    assert np.array_equal(restored, aio.restore(COLOUR, net))
    if not torch.cuda.is_available():
        assert np.array_equal(restored, aio.restore(COLOUR))


def test_it_is_measured_exported_and_told_by_its_word(tmp_path, capsys, monkeypatch):
    from aio.evaluate import main as evaluate
    from aio.export import main as export
    from aio.models import main as models

    for place in ("evaluation.run", "exporting.card"):
        monkeypatch.setattr(f"aio.{place}.count_macs", lambda net: 0)  # takes seconds
    (tmp_path / "clean").mkdir()
    Image.fromarray(COLOUR).save(tmp_path / "clean" / "a.png")
    words = ["--clean_dir", str(tmp_path / "clean"), "--de_type", "denoise_25", "--save_dir", str(tmp_path / "out")]
    evaluate(["--checkpoint", "default", *words])
    assert "\ndefault,clean,a," in (tmp_path / "out" / "images.csv").read_text()
    models(["default"])
    assert "CoarseToFine (default)" in capsys.readouterr().out
    export(["default", "--format", "safetensors", "--half", "-o", str(tmp_path / "copy.safetensors")])
    copy = tmp_path / "copy.safetensors"
    assert torch.equal(state(aio.load(copy)), state(aio.load()))
    assert read_header(copy)["about"]["licence"] == read_header(WEIGHTS)["about"]["licence"]
