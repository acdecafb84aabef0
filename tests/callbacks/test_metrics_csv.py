"""`metrics.csv`: in the run's folder itself, and never shorter than it was."""

from __future__ import annotations

import csv

import torch

from aio.callbacks.metrics_csv import MetricsCSV


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_lies_in_the_folder_itself(tmp_path):
    logger = MetricsCSV(tmp_path / "run")
    logger.log_metrics({"train/loss": torch.tensor(0.5), "epoch": 0}, step=3)
    logger.finalize("success")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.csv"]
    assert rows(tmp_path / "run") == [{"epoch": "0", "step": "3", "train/loss": "0.5"}]
    assert logger.log_dir.rstrip("/") == str(tmp_path / "run")


def test_a_resumed_run_appends_and_may_bring_new_columns(tmp_path):
    for step, values in enumerate([{"a": 1.0}, {"a": 2.0}, {"b": 3.0}]):
        logger = MetricsCSV(tmp_path)
        logger.log_metrics(values, step=step)
        logger.finalize("success")
    expected = [("0", "1.0", ""), ("1", "2.0", ""), ("2", "", "3.0")]
    assert [(row["step"], row["a"], row["b"]) for row in rows(tmp_path)] == expected


def test_it_is_flushed_while_the_training_runs(tmp_path):
    logger = MetricsCSV(tmp_path)
    for step in range(50):
        logger.log_metrics({"a": 0.0}, step=step)
    assert len(rows(tmp_path)) == 50


def test_an_empty_file_is_filled(tmp_path):
    (tmp_path / "metrics.csv").touch()
    logger = MetricsCSV(tmp_path)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.finalize("success")
    assert rows(tmp_path) == [{"a": "1.0", "step": "0"}]
