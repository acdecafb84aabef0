"""What a user types: `aio fit ...` in this process, and once as a process of its own.

What a run leaves, that its config.yaml reruns it, that it goes on where it stopped, and how bad input ends.
"""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from aio.cli import AioCLI
from aio.commands import run
from aio.fit import main

LEFT_BY_A_RUN = {"best.ckpt", "last.ckpt", "config.yaml", "gallery.png", "metrics.csv", "model.safetensors"}
LEFT_BY_A_RUN |= {"scores.csv", "scores.md"}
STEADY = ["--lr", "1e-3", "--model.min_lr", "1e-3"]  # a rate that does not depend on how long the training will be


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def measured(folder: Path) -> list[dict[str, str]]:
    """The rows without what depends on the clock."""
    return [{name: value for name, value in row.items() if not name.startswith("watch/")} for row in rows(folder)]


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    stored = torch.load(checkpoint, weights_only=True)
    return {**stored["state_dict"], **{f"raw.{key}": value for key, value in stored["current_model_state"].items()}}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Rates(L.Callback):
    """Notes the learning rate of every step."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message with which `argv` ends; the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        run(main, argv)
    assert ended.value.code == 2
    message = capsys.readouterr().err.splitlines()
    (line,) = (i for i, text in enumerate(message) if text.startswith("error: "))
    assert not any("Traceback" in text for text in message)
    return "\n".join(message[line:]).removeprefix("error: ")


def test_a_run_leaves_all_in_its_folder(finished_run):
    assert {path.name for path in finished_run.iterdir()} == {*LEFT_BY_A_RUN, "tensorboard"}
    with Image.open(finished_run / "gallery.png") as gallery:
        assert gallery.height == 2 * (32 + 26 + 8)
    logged = rows(finished_run)
    assert [float(row["epoch"]) for row in logged if row["val/psnr"]] == [0, 1]
    assert len([row for row in logged if row["train/loss"] and row["train/charbonnier"] and row["train/edge"]]) == 4
    assert [float(row["cost/parameters"]) for row in logged if row["cost/parameters"]] == [208_210]
    with (finished_run / "scores.csv").open(newline="") as file:
        scores = {row["degradation"]: row for row in csv.DictReader(file)}
    last = [row for row in logged if row["val/psnr"]][-1]
    assert set(scores) == {"denoise_25", "dehaze", "mean"}
    assert scores["mean"]["psnr"] == last["val/psnr"]
    assert scores["dehaze"]["ssim"] == last["val/dehaze/ssim"]


def test_its_config_reruns_it_with_the_same_numbers(finished_run, tmp_path):
    main(["--config", str(finished_run / "config.yaml"), "--ckpt_dir", str(tmp_path / "again")])
    assert measured(tmp_path / "again") == measured(finished_run)
    ours, theirs = weights(tmp_path / "again" / "last.ckpt"), weights(finished_run / "last.ckpt")
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_second_run_into_the_same_folder_is_refused(finished_run, short_fit, capsys):
    before = contents(finished_run)
    message = refused([*short_fit, "--ckpt_dir", str(finished_run)], capsys)
    assert message.startswith(f"{finished_run}: holds a run already")
    assert contents(finished_run) == before


def test_a_resumed_run_equals_an_uninterrupted_one(short_fit, tmp_path):
    """To the bit, average and raw weights; metrics.csv goes on; the saved config reruns all of it."""
    whole, parts = (str(tmp_path / name) for name in ("whole", "parts"))
    words = [*short_fit, *STEADY, "--model.warmup_epochs", "0.5", "--model.weight_decay", "0.1"]
    main([*words, "--ckpt_dir", whole, "--epochs", "3"])
    main([*words, "--ckpt_dir", parts, "--epochs", "1"])
    (tmp_path / "parts" / "best.ckpt").unlink()
    first = rows(tmp_path / "parts")
    main([*words, "--ckpt_dir", parts, "--epochs", "3", "--resume_from", "last"])

    ours, theirs = weights(tmp_path / "parts" / "last.ckpt"), weights(tmp_path / "whole" / "last.ckpt")
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    kept = {row["step"]: row["train/loss"] for row in rows(tmp_path / "parts") if row["train/loss"]}
    assert kept == {row["step"]: row["train/loss"] for row in rows(tmp_path / "whole") if row["train/loss"]}
    assert rows(tmp_path / "parts")[: len(first)] == first
    assert yaml.safe_load((tmp_path / "parts" / "config.yaml").read_text())["resume_from"] is None


def test_a_longer_run_follows_its_own_schedule(short_fit, tmp_path):
    """`--epochs` prolongs the cosine; the rate does not stay at the floor where the first training ended."""
    words = [*short_fit, "--lr", "1e-3", "--model.min_lr", "0", "--ckpt_dir", str(tmp_path)]
    main([*words, "--epochs", "1"])
    cli = AioCLI([*words, "--epochs", "4", "--resume_from", "last"])
    rates: list[float] = []
    cli.trainer.callbacks.append(Rates(rates))
    cli.fit()
    expected = [1e-3 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(3, 8)]
    assert rates[1:] == pytest.approx(expected)
    assert rates[0] == pytest.approx(1e-3 * (1 + math.cos(math.pi * 2 / 8)) / 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--use_ema", "false"], "--use_ema true --ema_decay 0.999"),
        (["--model", "restormer_tiny"], "last.ckpt: not the weights of this Restormer: patch_embed.proj.weight"),
        (["--resume_from", "none.ckpt"], "--resume_from none.ckpt: no such file"),
    ],
)
def test_what_cannot_be_resumed_is_refused_and_the_run_stays(finished_run, short_fit, capsys, words, says):
    before = contents(finished_run)
    argv = [*short_fit, "--epochs", "3", "--ckpt_dir", str(finished_run), "--resume_from", "last", *words]
    assert says in refused(argv, capsys)
    assert contents(finished_run) == before


def test_weights_alone_cannot_be_resumed(short_fit, tmp_path, capsys):
    torch.save({"params": {"a": torch.zeros(1)}}, tmp_path / "official.pth")
    message = refused([*short_fit, "--resume_from", str(tmp_path / "official.pth")], capsys)
    assert message.startswith(f"{tmp_path}/official.pth: holds no training to go on with")


def test_the_last_of_no_run_is_refused(short_fit, capsys):
    assert "say of which run" in refused([*short_fit, "--resume_from", "last"], capsys)


def test_fine_tuning_starts_from_a_checkpoint(finished_run, short_fit, tmp_path):
    cli = AioCLI([*short_fit, "--fine_tune_from", str(finished_run / "best.ckpt"), "--ckpt_dir", str(tmp_path)])
    best = torch.load(finished_run / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, best[key]) for key, value in cli.model.state_dict().items())


def test_flags_beat_the_config_wherever_it_stands(finished_run, tmp_path):
    config = str(finished_run / "config.yaml")
    cli = AioCLI(["--epochs", "7", "--config", config, "--ckpt_dir", str(tmp_path), "--de_type", "lol"])
    assert cli.config.trainer.max_epochs == 7
    assert cli.datamodule.tasks == ["lowlight"]
    assert cli.model.lr == 2e-4


def test_loggers_of_the_user_replace_ours(short_fit, tmp_path):
    cli = AioCLI([*short_fit, "--ckpt_dir", str(tmp_path), "--trainer.logger", "false"])
    assert cli.trainer.loggers == []
    folder = ["--trainer.logger.save_dir", str(tmp_path)]
    cli = AioCLI([*short_fit, "--ckpt_dir", str(tmp_path), "--trainer.logger", "CSVLogger", *folder])
    assert [type(logger) for logger in cli.trainer.loggers] == [CSVLogger]


def test_accumulation_clipping_and_precision_reach_the_trainer(short_fit, tmp_path):
    words = ["--accum_grad", "2", "--gradient_clip_val", "0.5", "--precision", "bf16-mixed", "--epochs", "1"]
    cli = AioCLI([*short_fit, *words, "--ckpt_dir", str(tmp_path)])
    assert (cli.trainer.accumulate_grad_batches, cli.trainer.gradient_clip_val) == (2, 0.5)
    cli.fit()
    assert cli.trainer.global_step == 1
    assert all(value.isfinite().all() for value in weights(tmp_path / "last.ckpt").values())


def test_the_printed_config_is_one_that_runs(short_fit, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*short_fit, "--epochs", "5", "--print_config"])
    assert ended.value.code == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    cli = AioCLI(["--config", str(tmp_path / "mine.yaml"), "--ckpt_dir", str(tmp_path / "run")])
    assert cli.config.trainer.max_epochs == 5
    assert cli.model.net.config["init_args"]["dim"] == 8


BAD_VALUES = {
    "unknown task": (["--de_type", "denoise", "defog"], "unknown degradation 'defog'"),
    "unknown network": (["--model", "resnet"], "unknown network 'resnet'"),
    "no number": (["--lr", "fast"], "--lr fast"),
    "missing folder": (["--data_file_dir", "nowhere"], "nowhere: no such folder"),
    "large patch": (["--patch_size", "4000"], "expected at least 4000 on each side (--patch_size 4000)"),
    "other network": (
        ["--fine_tune_from", "{run}/best.ckpt", "--model", "restormer_tiny"],
        "best.ckpt: not the weights",
    ),
    "no VGG": (["--perceptual_weight", "0.1"], "the weights of VGG-16 cannot be downloaded"),
    "no VGG file": (["--perceptual_weight", "1", "--loss.vgg_weights", "vgg.pth"], "vgg.pth: no such file"),
    "no loss": (["--loss.pixel_weight", "0", "--edge_weight", "0"], "at least one term"),
    "impossible decay": (["--ema_decay", "1"], "--ema_decay 1.0"),
    "short epoch": (["--data.samples_per_epoch", "1"], "samples_per_epoch"),
    "unknown option": (["--trainer.epochs", "3"], "--trainer.epochs"),
}


@pytest.mark.parametrize("fault", BAD_VALUES)
def test_bad_values_end_with_2_one_message_and_no_folder(fault, finished_run, short_fit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words, says = BAD_VALUES[fault]
    message = refused([*short_fit, *(word.format(run=finished_run) for word in words)], capsys)
    assert says in message
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_image_is_named(plant, short_fit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = plant({"train/denoise": "a.png b.png", "val/denoise": "c.png"})
    (root / "train" / "denoise" / "b.png").write_bytes(b"no image")
    message = refused([*short_fit, "--de_type", "denoise_25", "--data_file_dir", str(root)], capsys)
    assert message.startswith(str(root / "train" / "denoise" / "b.png"))
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_a_process_of_its_own_logs_to_wandb_without_a_key(short_fit, tmp_path):
    """`python -m aio.fit` in an empty home: the run's folder has the time in its name, W&B's files lie in it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    command = [sys.executable, "-m", "aio.fit", *short_fit, "--epochs", "1", "--wblogger", "x"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**kept, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("restormer-20")
    assert {path.name for path in folder.iterdir()} == {*LEFT_BY_A_RUN, "tensorboard", "wandb"}
    assert len(list(folder.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert "validation after 1 epochs" in ended.stdout
    assert "deprecated" not in ended.stderr
