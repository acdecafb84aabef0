"""The table of scores: in the folder after each validation, on the terminal at the end."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest

from aio.callbacks.report import Report
from aio.metrics import Score, ScoreTable


@pytest.fixture
def task():
    scores = ScoreTable("aio")
    scores.add("derain", "one", Score(20.0, 0.5), Score(30.0, 0.75))
    scores.add("derain", "two", Score(22.0, 0.5), Score(30.5, 0.25))
    scores.add("dehaze", "one", Score(16.0, 0.25), Score(15.75, 0.5))
    return SimpleNamespace(scores=scores)


@pytest.fixture
def trainer(tmp_path):
    folder = str(tmp_path / "run")
    return SimpleNamespace(default_root_dir=folder, sanity_checking=False, is_global_zero=True, current_epoch=7)


def test_the_files_hold_means_per_degradation_and_their_mean(task, trainer, tmp_path):
    Report().on_validation_end(trainer, task)
    assert (tmp_path / "run" / "scores.md").read_text().splitlines() == [
        "| aio | images | input PSNR / SSIM | restored PSNR / SSIM | gain |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| dehaze | 1 | 16.00 / 0.2500 | 15.75 / 0.5000 | -0.25 / +0.2500 |",
        "| derain | 2 | 21.00 / 0.5000 | 30.25 / 0.5000 | +9.25 / +0.0000 |",
        "| mean | 3 | 18.50 / 0.3750 | 23.00 / 0.5000 | +4.50 / +0.1250 |",
    ]
    with (tmp_path / "run" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["degradation"], float(row["psnr"]), float(row["psnr_gain"])) for row in rows] == [
        ("dehaze", 15.75, -0.25),
        ("derain", 30.25, 9.25),
        ("mean", 23.0, 4.5),
    ]


def test_the_table_is_printed_when_the_fit_ends(task, trainer, capsys):
    Report().on_fit_end(trainer, task)
    printed = capsys.readouterr().out
    assert "validation after 7 epochs (protocol aio)" in printed
    assert "21.00 / 0.5000" in printed
    assert "+9.25" in printed


@pytest.mark.parametrize("state", [{"sanity_checking": True}, {"is_global_zero": False}])
def test_a_sanity_check_and_another_rank_write_nothing(task, trainer, tmp_path, state):
    trainer.__dict__.update(state)
    Report().on_validation_end(trainer, task)
    assert not (tmp_path / "run").exists()


def test_a_fit_without_validation_ends_in_silence(trainer, tmp_path, capsys):
    task = SimpleNamespace(scores=ScoreTable("aio"))
    Report().on_validation_end(trainer, task)
    Report().on_fit_end(trainer, task)
    assert not (tmp_path / "run").exists()
    assert not capsys.readouterr().out
