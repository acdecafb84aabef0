"""How weights come into the package, and how the model card's tables are made."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import aio
from aio.errors import InputError
from aio.nets.deployable import read_header
from aio.nets.restormer import Restormer
from aio.shipped import WEIGHTS
from aio.weights import deploy

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.fixture
def page(tmp_path):
    return Path(shutil.copy(WEIGHTS.with_name("README.md"), tmp_path / "README.md"))


def test_a_checkpoint_becomes_the_package_s(bench, finished_run, page, tmp_path):
    import card
    from ship import ship

    card.write_block(page, card.MEASURED, "| old | numbers |")
    target = tmp_path / "default.safetensors"
    said = ship(finished_run / "best.ckpt", target, page)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert digest in said
    assert (tmp_path / "default.sha256").read_text() == f"{digest}  default.safetensors\n"
    for key, value in aio.load(finished_run / "best.ckpt").state_dict().items():
        assert torch.equal(aio.load(target).state_dict()[key], value.half().float())
    about = read_header(target)["about"]
    assert about["step"] == str(torch.load(finished_run / "best.ckpt", weights_only=True)["global_step"])
    assert about["weights"].startswith("moving average")
    text = page.read_text()
    assert "old | numbers" not in text
    assert "Not measured yet" in text
    again = ship(finished_run / "model.safetensors", target, page)
    assert read_header(target)["about"]["step"] == about["step"]
    assert digest not in again  # the header knows the score besides


def test_what_is_too_large_or_for_other_images_is_refused(bench, tmp_path, page):
    from ship import ship

    tiny = {"num_blocks": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "num_refinement_blocks": 1}
    nets = {"large": Restormer(dim=48), "views": Restormer(dim=8, inp_channels=6, dual_pixel_task=True, **tiny)}
    for name, said in {"large": "parameters, in float16 more than 16,000,000 bytes", "views": "6 channels"}.items():
        deploy(nets[name], tmp_path / f"{name}.safetensors", tasks=[], about={})
        with pytest.raises(InputError, match=said):
            ship(tmp_path / f"{name}.safetensors", tmp_path / "default.safetensors", page)
    assert not (tmp_path / "default.safetensors").exists()


def test_a_block_is_replaced_and_the_rest_stays(bench, page):
    import card

    before = page.read_text()
    card.write_block(page, "failures", "a\nb\n")
    after = page.read_text()
    assert after.count("<!-- begin failures -->\na\nb\n<!-- end failures -->") == 1
    assert after.partition("<!-- begin failures -->")[0] == before.partition("<!-- begin failures -->")[0]
    assert after.partition("<!-- end failures -->")[2] == before.partition("<!-- end failures -->")[2]
    with pytest.raises(ValueError, match="expected the marks"):
        card.write_block(page, "weather", "fine")
    assert page.read_text() == after


def test_the_card_s_table_is_made_from_a_tree(bench, plant, page, tmp_path, monkeypatch, capsys):
    import card

    root = plant(
        {
            "val/denoise/Kodak24": "a.png b.png",
            "val/denoise/Set12": "c.png",
            "val/derain/Rain100L/input": "rain-1.png",
            "val/derain/Rain100L/target": "norain-1.png",
            "val/dehaze/SOTS-indoor/hazy": "7_1.png 7_4.png",
            "val/dehaze/SOTS-indoor/clear": "7.png",
            "val/lowlight/LOL/low": "1.png",
            "val/lowlight/LOL/high": "1.png",
        }
    )
    monkeypatch.setattr("aio.evaluation.run.count_macs", lambda net: 0)  # takes seconds
    monkeypatch.setattr(card, "SIDE", 48)
    monkeypatch.setattr(card, "CARD", page)
    pictures = [tmp_path / "docs" / name for name in ("default.jpg", "default_failures.jpg")]
    monkeypatch.setattr(card, "PICTURE", pictures[0])
    monkeypatch.setattr(card, "FAILURES", pictures[1])
    monkeypatch.setattr("sys.argv", ["card.py", "--data_file_dir", str(root), "--save_dir", str(tmp_path / "out")])
    card.main()
    text = page.read_text()
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in text.splitlines() if line.count("|") == 7}
    counts = {"Kodak24 sigma 15": "2", "Kodak24 sigma 25": "2", "Kodak24 sigma 50": "2", "Rain100L": "1"}
    counts |= {"SOTS-indoor": "2", "LOL": "1", "Kodak24 motion blur": "2", "Kodak24 untouched": "2"}
    assert {name: cells[1] for name, cells in rows.items() if name in counts} == counts
    assert rows["Kodak24 untouched"][2] == "inf / 1.0000"
    for name, methods in {"Kodak24 sigma 25": ["nlm", "tv"], "SOTS-indoor": ["dcp"], "LOL": ["gamma", "clahe"]}.items():
        assert [word.split()[0] for word in rows[name][3].split("; ")] == methods
    assert card.weights_digest() in text
    assert "aio evaluate --benchmark card --de_type deblur --checkpoint default --data_file_dir ROOT" in text
    assert "aio evaluate --benchmark card --de_type deblur --baseline wiener --data_file_dir ROOT" in text
    for path in pictures:
        with Image.open(path) as picture:
            assert (picture.format, picture.width > 5 * 48, picture.height > 3 * 48) == ("JPEG", True, True)
