"""Super-resolution through `fit`, `evaluate` and `restore`, in colour and round a net of one channel."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from aio.errors import InputError
from aio.evaluate import main as evaluate
from aio.fit import main as fit
from aio.images import read_rgb
from aio.metrics import sr_y
from aio.resize import bicubic
from aio.restore import main as restore

NETS = {
    "gray": "class_path: aio.nets.grla_seed.GRLASeed\ninit_args: {scale: 2, dim: 10, num_blocks: 1}\n",
    "colour": "class_path: aio.nets.dctlsa.DCTLSA\ninit_args: {scale: 2, dim: 10}\n",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three smooth photographs of odd sizes, named as Set5 names them."""
    folder = tmp_path_factory.mktemp("sr") / "Set3"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in {"baby": (37, 44), "bird": (40, 41), "head": (34, 50)}.items():
        noise = torch.from_numpy(rng.random((1, 3, *size), dtype=np.float32))
        smooth = F.avg_pool2d(F.pad(noise, (2, 2, 2, 2), mode="reflect"), 5, 1)[0]
        Image.fromarray((smooth * 255).byte().permute(1, 2, 0).numpy()).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module", params=NETS)
def trained(request, photos, tmp_path_factory):
    """The folder of a short training."""
    home = tmp_path_factory.mktemp(request.param)
    (home / "net.yaml").write_text(NETS[request.param])
    words = f"""--model {home}/net.yaml --de_type sr_x2 --data_file_dir {photos} --trainset synthetic --epochs 1
        --batch_size 2 --patch_size 16 --data.samples_per_epoch 4 --num_workers 0 --model.protocol sr_y
        --perceptual_weight 0 --trainer.accelerator cpu --trainer.enable_progress_bar false
        --trainer.log_every_n_steps 1 --ckpt_dir {home}/run"""
    fit(words.split())
    return home / "run"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def measured(path, column):
    """PSNR of bicubic and of the network."""
    return [float(row["psnr"]) for row in rows_of(path) if row["column"] == column]


def test_training_leaves_scores_beside_bicubics_and_a_gallery(trained):
    row = rows_of(trained / "scores.csv")[0]
    assert row["protocol"] == "sr_y"
    assert (trained / "scores.md").read_text().startswith("| sr_y | images | bicubic PSNR / SSIM | restored")
    assert math.isfinite(float(row["psnr"]))
    assert float(row["input_psnr"]) > 15
    with Image.open(trained / "gallery.png") as gallery:
        assert gallery.width in {3 * (width + 8) + 8 for width in (44, 40, 50)}  # three columns of one photograph


def test_evaluate_scores_as_computed_by_hand(trained, photos, tmp_path, capsys):
    """Of clean images alone, and of the files that hold their low resolution."""
    checkpoint = ["--checkpoint", str(trained / "best.ckpt")]
    evaluate([*checkpoint, "--clean_dir", str(photos), "--de_type", "sr_x2", "--save_dir", str(tmp_path / "out")])
    before, after = measured(tmp_path / "out" / "scores.csv", "Set3")
    expected, restored = [], []
    (tmp_path / "small").mkdir()
    for path in sorted(photos.iterdir()):
        clean = torch.from_numpy(read_rgb(path).copy()).permute(2, 0, 1)[:, : -1 if "baby" in path.name else None]
        clean = clean[..., :-1] if "bird" in path.name else clean
        clean = clean.float() / 255
        size = (clean.shape[1] // 2, clean.shape[2] // 2)
        small = (bicubic(clean, size).clamp(0, 1) * 255).round().byte()
        Image.fromarray(small.permute(1, 2, 0).numpy()).save(tmp_path / "small" / f"{path.stem}x2.png")
        (score,) = sr_y(2).scores(bicubic(small.float() / 255, clean.shape[1:]), clean)
        expected.append(score.psnr)
        result = read_rgb(tmp_path / "out" / "best" / "Set3" / f"{path.stem}.png")
        (score,) = sr_y(2).scores(torch.from_numpy(result.copy()).permute(2, 0, 1).float() / 255, clean)
        restored.append(score.psnr)
    assert before == pytest.approx(sum(expected) / 3, abs=1e-6)
    assert after == pytest.approx(sum(restored) / 3, abs=1e-6)
    folders = ["--degraded_dir", str(tmp_path / "small"), "--clean_dir", str(photos), "--save_dir", str(tmp_path / "p")]
    evaluate([*checkpoint, *folders])
    assert measured(tmp_path / "p" / "scores.csv", "small")[1] == pytest.approx(after, abs=1e-9)
    assert "sr_y" in capsys.readouterr().out


def test_restore_enlarges_in_colour(trained, photos, tmp_path):
    restore([str(photos / "baby.png"), "-o", str(tmp_path), "--checkpoint", str(trained / "best.ckpt")])
    small, large = read_rgb(photos / "baby.png"), read_rgb(tmp_path / "baby.png")
    assert large.shape == (2 * small.shape[0], 2 * small.shape[1], 3)
    assert np.abs(large[..., 0].astype(int) - large[..., 2]).max() > 10  # not gray


def test_a_gray_net_leaves_the_colours_to_bicubic(trained, photos, tmp_path):
    if "gray" not in str(trained):
        pytest.skip("this net enlarges colour itself")
    restore([str(photos / "bird.png"), "-o", str(tmp_path), "--checkpoint", str(trained / "best.ckpt")])
    small = torch.from_numpy(read_rgb(photos / "bird.png") / 255).permute(2, 0, 1)
    large = torch.from_numpy(read_rgb(tmp_path / "bird.png") / 255).permute(2, 0, 1)
    colours = bicubic(small, large.shape[1:])
    inside = ((large > 0) & (large < 1)).all(0)
    differences = ((large[0] - large[2]) - (colours[0] - colours[2]))[inside]
    assert inside.float().mean() > 0.3
    assert differences.abs().max() < 2.5 / 255


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--de_type", "sr_x4"], r"GRLASeed enlarges 2 times \(--de_type sr_x2\), but the clean images are 4 times"),
        (["--de_type", "derain"], "GRLASeed enlarges 2 times"),
        (["--de_type", "sr_x2", "--patch_size", "17"], "--patch_size 17: expected a multiple of the scale 2"),
        (["--de_type", "sr_x2", "--model.protocol", "promptir"], "use sr_y"),
        (["--de_type", "sr_x2", "--data.synthesis.lr_kernels", "[lanczos]"], "lr_kernels"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(words, says, photos, tmp_path):
    (tmp_path / "net.yaml").write_text(NETS["gray"])
    start = ["--model", str(tmp_path / "net.yaml"), "--data_file_dir", str(photos), "--ckpt_dir", str(tmp_path / "run")]
    with pytest.raises((InputError, SystemExit)) as refused:
        fit([*start, "--trainset", "synthetic", "--perceptual_weight", "0", "--patch_size", "16", *words])
    assert not (tmp_path / "run").exists()
    if refused.type is InputError:
        refused.match(says)
