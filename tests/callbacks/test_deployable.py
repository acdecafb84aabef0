"""`model.safetensors`: the weights of `best.ckpt`, whole or as it was, and only written when that is another."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import aio
from aio.callbacks import deployable
from aio.callbacks.deployable import Deployable
from aio.errors import InputError
from aio.fit import main
from aio.metrics import find_protocol
from aio.nets.deployable import read_header


def trainer_of(folder: Path) -> SimpleNamespace:
    """What the callback asks of a trainer whose best checkpoint lies in `folder`."""
    checkpoints = SimpleNamespace(
        best_model_path=str(folder / "best.ckpt"), best_model_score=torch.tensor(30.0), monitor="val/psnr"
    )
    return SimpleNamespace(
        checkpoint_callback=checkpoints,
        datamodule=SimpleNamespace(tasks=["dehaze"]),
        lightning_module=SimpleNamespace(protocol=find_protocol("aio", scale=1)),
    )


@pytest.fixture
def run_folder(finished_run, tmp_path) -> Path:
    """A copy of the best checkpoint alone."""
    shutil.copy(finished_run / "best.ckpt", tmp_path)
    return tmp_path


def test_it_restores_as_the_best_checkpoint(finished_run):
    image = torch.rand(1, 3, 20, 28, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image, (0, 4, 0, 4))
    files = [finished_run / "best.ckpt", finished_run / "model.safetensors", finished_run]
    with torch.no_grad():
        best, single, folder = (aio.load(file)(padded) for file in files)
    assert torch.equal(single, best)
    assert torch.equal(folder, best)


def test_it_holds_the_average_and_says_what_it_is(finished_run):
    header = read_header(finished_run / "model.safetensors")
    stored = torch.load(finished_run / "best.ckpt", weights_only=True)
    assert header["net"]["class_path"] == "aio.nets.restormer.Restormer"
    assert header["net"]["init_args"]["dim"] == 8
    assert header["tasks"] == ["denoise_25", "dehaze"]
    about = header["about"]
    assert (about["epoch"], about["step"]) == (str(stored["epoch"]), str(stored["global_step"]))
    assert about["weights"] == "moving average, decay 0.999"
    assert about["parameters"] == "208210"
    assert about["licence"] == "not stated"
    assert about["score"].startswith("val/psnr ")
    assert about["score"].endswith("by protocol aio")
    weights = aio.load(finished_run / "model.safetensors").state_dict()
    assert all(torch.equal(value, stored["state_dict"][f"net.{key}"]) for key, value in weights.items())
    assert any(not torch.equal(value, stored["current_model_state"][f"net.{key}"]) for key, value in weights.items())
    assert (finished_run / "model.safetensors").stat().st_size < (finished_run / "best.ckpt").stat().st_size / 3


def test_it_is_written_when_the_best_is_another_and_else_left(run_folder, monkeypatch):
    written: list[Path] = []
    monkeypatch.setattr(deployable, "write_deployable", lambda net, path, **_: written.append(path))
    ours, trainer = Deployable(), trainer_of(run_folder)
    for _ in range(3):
        ours.on_validation_end(trainer, None)
        ours.on_train_epoch_end(trainer, None)
    assert written == [run_folder / "model.safetensors"]
    os.utime(run_folder / "best.ckpt", ns=(0, 1))
    ours.on_train_epoch_end(trainer, None)
    assert len(written) == 2


def test_before_a_best_one_there_is_none(tmp_path):
    Deployable().on_train_start(trainer_of(tmp_path), None)
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_training_mends_what_a_kill_left(run_folder, finished_run):
    (run_folder / "model.safetensors").write_bytes(b"of an older best one")
    Deployable(licence="CC-BY-4.0").on_train_start(trainer_of(run_folder), None)
    assert read_header(run_folder / "model.safetensors")["about"]["licence"] == "CC-BY-4.0"
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(aio.load(run_folder)(image), aio.load(finished_run)(image))


def test_a_full_disk_leaves_what_was_there(run_folder):
    (run_folder / "model.safetensors").write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"model.safetensors: not written .File too large"):
            Deployable().on_train_start(trainer_of(run_folder), None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (run_folder / "model.safetensors").read_bytes() == b"before"
    assert {path.name for path in run_folder.iterdir()} == {"best.ckpt", "model.safetensors"}


def test_other_ranks_write_nothing(run_folder, monkeypatch):
    monkeypatch.setattr(deployable.rank_zero_only, "rank", 1)
    Deployable().on_train_start(trainer_of(run_folder), None)
    assert [path.name for path in run_folder.iterdir()] == ["best.ckpt"]


def test_a_training_starts_from_it(finished_run, short_fit, tmp_path):
    words = ["--fine_tune_from", str(finished_run / "model.safetensors"), "--epochs", "1", "--lr", "1e-9"]
    main([*short_fit, *words, "--model.min_lr", "0", "--ckpt_dir", str(tmp_path / "run")])
    ours, theirs = (aio.load(folder).state_dict() for folder in (tmp_path / "run", finished_run))
    assert all(torch.allclose(value, theirs[key], atol=1e-6) for key, value in ours.items())
