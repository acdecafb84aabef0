"""Killed in the middle of an epoch and resumed, a training ends as if nothing had been: to the bit, on the CPU."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from aio.callbacks.checkpoints import Checkpoints
from aio.callbacks.metrics_csv import MetricsCSV
from aio.cli import AioCLI
from aio.errors import InputError
from aio.fit import main

# Lightning starts this file again for a second rank.
KILLED = """\
import os, signal, sys
import lightning as L
from aio.cli import AioCLI

class Kill(L.Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == int(sys.argv[1]):
            trainer.strategy.barrier()
            os.kill(os.getpid(), signal.SIGKILL)

cli = AioCLI(sys.argv[2:])
cli.trainer.callbacks.append(Kill())
cli.fit()
"""
# Two epochs of eight steps; batches of two sizes; a checkpoint after steps 3, 6, 11 and 14, and after both epochs.
LENGTH = ["--data.samples_per_epoch", "16", "--epochs", "2", "--checkpoint.every_n_steps", "3"]
WORDS = [*LENGTH, '--data.patch_sizes={"dehaze":24}', "--model.warmup_epochs", "0.5"]
STAGES = """\
progressive:
  stages:
    - {epochs: 1, patch_size: 8, batch_size: 4, de_type: [denoise_25]}
    - {epochs: 1, patch_size: 16, batch_size: 2}
"""
RANDOM_NET = """\
class_path: aio.nets.moce_ir.MoCEIR
init_args: {dim: 8, num_blocks: [1, 1, 1, 1], num_refinement_blocks: 1, num_dec_blocks: [1, 1, 1], num_experts: 3}
"""
# Python 3.12 warns of a fork beside threads, which torch's loader does
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


class Batches(L.Callback):
    """Notes (epoch, place in it, names, checksum) of every batch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, list[str], float]] = []

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: dict[str, Any], batch_idx: int) -> None:
        checksum = batch["degraded"].double().sum().item()
        self.seen.append((trainer.current_epoch, batch_idx, batch["name"], checksum))


def fit(*words: str) -> list[tuple[int, int, list[str], float]]:
    """The batches of a training in this process."""
    cli, batches = AioCLI(words), Batches()
    cli.trainer.callbacks.insert(0, batches)
    cli.fit()
    return batches.seen


def killed(home: Path, at: int, *words: str) -> None:
    (home / "train.py").write_text(KILLED)
    command = [sys.executable, str(home / "train.py"), str(at), *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ}, cwd=home)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def logged(folder: Path) -> list[dict[str, str]]:
    """All rows, the cost in the first one, without what depends on the clock."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if not name.startswith("watch/")} for row in rows]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def assert_same_end(folder: Path, other: Path) -> None:
    """Weights, average, optimiser, rate, best score, counters and all that was logged."""
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (torch.load(run / name, weights_only=True) for run in (folder, other))
        for key in ("epoch", "global_step", "state_dict", "current_model_state", "averaging_state"):
            assert same(ours[key], theirs[key]), (name, key)
        for key in ("optimizer_states", "lr_schedulers"):
            assert same(ours[key], theirs[key]), (name, key)
        for key in ("epoch_progress", "epoch_loop.batch_progress", "epoch_loop.state_dict"):
            assert same(ours["loops"]["fit_loop"][key], theirs["loops"]["fit_loop"][key]), (name, key)
        best, others_best = (
            [state["best_model_score"] for key, state in stored["callbacks"].items() if key.startswith("Checkpoints")]
            for stored in (ours, theirs)
        )
        assert same(best, others_best)
    assert logged(folder) == logged(other)
    assert (folder / "scores.csv").read_text() == (other / "scores.csv").read_text()


class StoppedError(Exception):
    """Ends a training."""


class Stop(L.Callback):
    """Raises it before step number `at`, counted from 0."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.at:
            raise StoppedError


def stopped(at: int, *words: str) -> None:
    cli = AioCLI(words)
    cli.trainer.callbacks.insert(0, Stop(at))
    with pytest.raises(StoppedError):
        cli.fit()


@pytest.fixture(scope="module")
def whole(short_fit, tmp_path_factory):
    """An undisturbed training: its folder, and its batches."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, fit(*short_fit, *WORDS, "--ckpt_dir", str(folder))


@pytest.fixture(scope="module")
def half(short_fit, tmp_path_factory):
    """The folder of a training that stopped in the middle of its first epoch, for reading only."""
    folder = tmp_path_factory.mktemp("runs") / "half"
    stopped(4, *short_fit, *WORDS, "--ckpt_dir", str(folder))
    return folder


@pytest.mark.parametrize(
    ("workers", "at", "kept"),
    [
        ("0", 13, 11),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("2", 5, 3), ("2", 7, 6), ("0", 10, 8), ("2", 15, 14)]
        ),
    ],
)
def test_a_killed_training_ends_as_an_undisturbed_one(whole, short_fit, tmp_path, workers, at, kept):
    folder, batches = whole
    words = [*short_fit, *WORDS, "--num_workers", workers, "--ckpt_dir", str(tmp_path / "run")]
    killed(tmp_path, at, *words)
    stored = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert stored["global_step"] == kept
    assert stored["RestorationData"]["batches_done"] == kept % 8
    assert fit(*words, "--resume_from", "last") == batches[kept:]
    assert_same_end(tmp_path / "run", folder)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_two_ranks_killed_end_as_two_undisturbed_ones(short_fit, tmp_path, workers):
    """Ranks end together: the other one goes when its partner is gone."""
    two = [*short_fit, *WORDS, "--num_gpus", "2", "--batch_size", "1", "--num_workers", workers]
    killed(tmp_path, 13, *two, "--ckpt_dir", str(tmp_path / "parts"))
    for folder, words in (("parts", ["--resume_from", "last"]), ("whole", [])):
        command = [sys.executable, "-m", "aio.fit", *two, "--ckpt_dir", str(tmp_path / folder), *words]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=200, env={**os.environ}, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    assert_same_end(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.val_check_interval", "0.5"],
        pytest.param(["--accum_grad", "3", "--checkpoint.every_n_steps", "1"], marks=pytest.mark.slow),
        ["--config", "{stages}", "--checkpoint.every_n_steps", "1"],
        ["--model", "{random}"],
    ],
    ids=["validations", "accumulation", "stages", "a random net"],
)
def test_nothing_tells_a_resumed_training_from_another(short_fit, tmp_path, words):
    """Checkpoints wait for validations and accumulated gradients; stages and the nets' own randomness go on."""
    (tmp_path / "stages.yaml").write_text(STAGES)
    (tmp_path / "random.yaml").write_text(RANDOM_NET)
    files = {name: str(tmp_path / f"{name}.yaml") for name in ("stages", "random")}
    words = [*short_fit, *LENGTH, *(word.format(**files) for word in words)]
    batches = fit(*words, "--ckpt_dir", str(tmp_path / "whole"))
    parts = [*words, "--ckpt_dir", str(tmp_path / "parts")]
    stopped(torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)["global_step"] - 1, *parts)
    done = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)["RestorationData"]["batches_done"]
    resumed = fit(*parts, "--resume_from", "last")
    assert resumed[0][:2] == (1, done)
    assert done > 0
    assert resumed == batches[-len(resumed) :]
    assert_same_end(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--batch_size", "4"],
            "after 3 batches, and cannot go on with batch_size 4 instead of 2: leave that as it was",
        ),
        (["--data.samples_per_epoch", "20"], "with samples_per_epoch 20 instead of 16"),
        (["--num_gpus", "2"], "with devices 2 instead of 1"),
    ],
)
def test_other_batches_in_the_middle_of_an_epoch_are_refused(half, short_fit, words, says):
    before = {path: path.stat().st_mtime_ns for path in half.rglob("*")}
    argv = [*short_fit, *WORDS, "--ckpt_dir", str(half), "--resume_from", "last", *words]
    with pytest.raises(InputError, match=says):
        main(argv)
    assert {path: path.stat().st_mtime_ns for path in half.rglob("*")} == before


def test_other_batches_from_the_end_of_an_epoch_on(short_fit, tmp_path):
    words = [*short_fit, *LENGTH, "--ckpt_dir", str(tmp_path)]
    fit(*words, "--epochs", "1")
    resumed = fit(*words, "--batch_size", "4", "--resume_from", "last")
    assert [(epoch, place) for epoch, place, *_ in resumed] == [(1, place) for place in range(4)]


@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")  # there is no validation, and so no best
def test_workers_begin_with_the_epoch_that_is_next(whole, short_fit, tmp_path):
    """They would read the first epoch again if they began when the training counts its steps."""
    words = [*short_fit, *WORDS, "--num_workers", "2", "--trainer.limit_val_batches", "0", "--ckpt_dir", str(tmp_path)]
    fit(*words, "--epochs", "1")
    assert fit(*words, "--resume_from", "last") == whole[1][8:]


def test_what_was_logged_after_the_checkpoint_is_logged_once(half):
    """The step after which it stopped is in the file; a resumed run takes it out."""
    assert [int(row["step"]) for row in logged(half)] == [0, 0, 1, 2, 3]  # the cost, and four steps
    logger = MetricsCSV(half, resumed_at=3)
    text = (half / "metrics.csv").read_text()
    logger.log_metrics({"train/loss": 0.0}, step=3)
    assert [int(row["step"]) for row in logged(half)] == [0, 0, 1, 2]
    (half / "metrics.csv").write_text(text)


@pytest.mark.parametrize(("option", "value"), [("minutes", 0), ("steps", -1)])
def test_impossible_intervals_are_refused(option, value):
    with pytest.raises(InputError, match=f"--checkpoint.every_n_{option} {value}: expected a number above 0"):
        Checkpoints(**{f"every_n_{option}": value})
