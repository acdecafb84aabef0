"""A resumed run does what it is told now, and says in what that differs from before; told nothing, it goes on."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from aio.callbacks.settings import Change, changes, note_changes, refuse_in_epoch, settings_in
from aio.cli import AioCLI
from aio.errors import InputError


def test_changes_are_of_options_that_both_know():
    stored = {"model": {"lr": 1.0, "gone": 1, "net": {"class_path": "A", "init_args": {"dim": 8}}}, "old": 1}
    now = {"model": {"lr": 2.0, "new": 1, "net": {"class_path": "A", "init_args": {"dim": 16}}}, "young": {"a": 1}}
    assert changes(stored, now) == [Change("model.lr", 1.0, 2.0), Change("model.net.init_args.dim", 8, 16)]
    assert changes(stored, stored) == []


def test_in_a_value_names_may_come_and_go():
    stored = {"data": {"weights": {"derain": 1, "dehaze": 1}, "counts": None}}
    now = {"data": {"weights": {"derain": 1, "deblur": 2}, "counts": {"derain": 3}}}
    assert [str(change) for change in changes(stored, now)] == [
        "data.weights.dehaze None instead of 1",
        "data.weights.deblur 2 instead of None",
        "data.counts {'derain': 3} instead of None",
    ]


def test_what_would_make_other_batches_waits_for_the_end_of_the_epoch():
    path = Path("last.ckpt")
    refuse_in_epoch([Change("model.lr", 1, 2), Change("data.num_workers", 0, 1)], path)
    with pytest.raises(InputError, match=r"last\.ckpt: .* middle of an epoch.* data\.seed 1 instead of 0: leave that"):
        refuse_in_epoch([Change("model.lr", 1, 2), Change("data.seed", 0, 1)], path)


def test_the_table_is_printed_and_kept(tmp_path, capsys):
    note_changes([], tmp_path, step=1)
    assert not list(tmp_path.iterdir())
    assert not capsys.readouterr().out
    note_changes([Change("model.lr", 1e-3, 1e-4)], tmp_path, step=7)
    note_changes([Change("ema.decay", 0.9, 0.99)], tmp_path, step=9)
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("step 7", "model.lr", "0.001", "0.0001", "ema.decay"))
    with (tmp_path / "changes.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["step", "setting", "stored", "now"],
            ["7", "model.lr", "0.001", "0.0001"],
            ["9", "ema.decay", "0.9", "0.99"],
        ]


def test_an_older_checkpoint_tells_its_rate_alone():
    old = {"hyper_parameters": {"net": {}, "lr": 0.1, "protocol": "aio"}, "optimizer_states": []}
    assert settings_in(old, Path("x.ckpt")) == {"model": {"lr": 0.1, "protocol": "aio"}}
    with pytest.raises(InputError, match=r"x\.ckpt: holds no training"):
        settings_in({"state_dict": {}}, Path("x.ckpt"))


@pytest.mark.parametrize("told", ["nothing", "the same", "its config"])
def test_without_other_words_nothing_differs(finished_run, short_fit, told):
    """Told nothing, it knows the net and all else from the checkpoint."""
    resume = ["--resume_from", str(finished_run / "last.ckpt")]
    words = {"nothing": [], "the same": short_fit, "its config": ["--config", str(finished_run / "config.yaml")]}[told]
    cli = AioCLI([*words, *resume])
    assert cli.changes == []
    assert cli.model.net.config["init_args"]["dim"] == 8
    assert (cli.datamodule.batch_size, cli.trainer.max_epochs, cli.run_dir) == (2, 2, finished_run)


class Optimiser(L.Callback):
    """What the optimiser does in each step."""

    def __init__(self) -> None:
        self.groups: list[dict[str, Any]] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        group = trainer.optimizers[0].param_groups[0]
        self.groups.append({name: value for name, value in group.items() if name != "params"})


def test_flags_beat_the_checkpoint_and_the_schedule_goes_on_at_its_epoch(finished_run, short_fit, tmp_path, capsys):
    """The batch is halved, so that an epoch has four steps instead of two: two of three epochs are eight steps."""
    shutil.copytree(finished_run, tmp_path / "run")
    words = "--lr 1e-3 --model.min_lr 1e-4 --model.weight_decay 0.5 --model.betas [0.5,0.75] --ema_decay 0.5"
    more = "--edge_weight 0.5 --epochs 3 --batch_size 1 --resume_from last"
    cli = AioCLI([*short_fit, *words.split(), *more.split(), "--ckpt_dir", str(tmp_path / "run")])
    seen = Optimiser()
    cli.trainer.callbacks.append(seen)
    cli.fit()
    assert [group["lr"] for group in seen.groups] == pytest.approx(
        [1e-4 + 9e-4 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(8, 12)]
    )
    for group in seen.groups:
        assert (tuple(group["betas"]), group["weight_decay"], group["initial_lr"]) == ((0.5, 0.75), 0.5, 1e-3)
    stored = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert stored["ema_decay"] == 0.5
    assert stored["lr_schedulers"][0]["base_lrs"] == [1e-3]
    assert cli.model.criterion.terms["edge"][1] == 0.5
    with (tmp_path / "run" / "changes.csv").open(newline="") as file:
        noted = {row["setting"]: (row["stored"], row["now"]) for row in csv.DictReader(file)}
    assert noted == {
        "model.lr": ("0.0002", "0.001"),
        "model.min_lr": ("1e-06", "0.0001"),
        "model.weight_decay": ("0.0001", "0.5"),
        "model.betas": ("[0.9, 0.999]", "[0.5, 0.75]"),
        "ema.decay": ("0.999", "0.5"),
        "loss.edge_weight": ("0.05", "0.5"),
        "trainer.max_epochs": ("2", "3"),
        "data.batch_size": ("2", "1"),
    }
    assert "Going on after step 4 with other settings" in capsys.readouterr().out


def test_another_net_is_refused_by_both_names(finished_run, tmp_path):
    resume = ["--resume_from", str(finished_run / "last.ckpt"), "--ckpt_dir", str(tmp_path / "run")]
    cli = AioCLI([*resume, "--model.net.init_args.dim", "16"])
    with pytest.raises(
        InputError, match=r"not the weights of this Restormer: .*; model\.net\.init_args\.dim 16 instead of 8"
    ):
        cli.fit()
    assert not (tmp_path / "run").exists()
