"""Two processes on the CPU (gloo): the same weights in both, the scores of one process, and no waiting for ever."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image

from aio.cli import AioCLI
from aio.errors import InputError
from aio.nets.restormer import Restormer
from training import TINY

# Lightning starts this file again for the second rank.
SCRIPT = """\
import sys
import torch
from aio.cli import AioCLI

cli = AioCLI(sys.argv[2:])
cli.fit()
seen = {name: value.item() for name, value in cli.trainer.callback_metrics.items() if name.startswith("val/")}
torch.save({"weights": cli.model.state_dict(), "scores": seen}, f"{sys.argv[1]}/rank{cli.trainer.global_rank}.pt")
"""
THREE_IMAGES = ["--de_type", "denoise_25", "dehaze", "derain", "--data.samples_per_epoch", "8"]


class Fit(NamedTuple):
    """What two ranks did: folder of the run, what each rank saw, and what was written on the terminal."""

    folder: Path
    ranks: list[dict[str, Any]]
    terminal: str


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory, short_fit) -> Fit:
    home = tmp_path_factory.mktemp("ddp")
    (home / "train.py").write_text(SCRIPT)
    words = [*short_fit, *THREE_IMAGES, "--num_gpus", "2", "--ckpt_dir", str(home / "run")]
    command = [sys.executable, str(home / "train.py"), str(home), *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ}, cwd=home)
    assert ended.returncode == 0, ended.stderr
    ranks = [torch.load(home / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    return Fit(home / "run", ranks, ended.stdout + ended.stderr)


def logged_scores(folder: Path) -> dict[str, float]:
    with (folder / "metrics.csv").open(newline="") as file:
        last = [row for row in csv.DictReader(file) if row["val/psnr"]][-1]
    return {name: float(value) for name, value in last.items() if name.startswith("val/")}


def test_both_ranks_end_with_the_same_weights(two_ranks):
    first, second = (rank["weights"] for rank in two_ranks.ranks)
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    saved = torch.load(two_ranks.folder / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[key]) for key, value in first.items())
    torch.manual_seed(0)
    assert not torch.equal(first["net.output.weight"], Restormer(**TINY).output.weight)


def test_scores_of_an_odd_number_of_images_are_those_of_one_process(two_ranks, short_fit, tmp_path):
    """To the bit, on every rank and as logged: none is measured twice, and no mean of means is taken."""
    words = ["--fine_tune_from", str(two_ranks.folder / "last.ckpt"), "--ckpt_dir", str(tmp_path)]
    alone = AioCLI([*short_fit, *THREE_IMAGES, *words])
    alone.trainer.validate(alone.model, alone.datamodule, verbose=False)
    expected = {name: value.item() for name, value in alone.trainer.callback_metrics.items()}
    assert [rank["scores"] for rank in two_ranks.ranks] == [expected, expected]
    assert logged_scores(two_ranks.folder) == expected


def test_two_processes_train_as_one_with_batches_of_twice_the_size(two_ranks, short_fit, tmp_path):
    alone = AioCLI([*short_fit, *THREE_IMAGES, "--batch_size", "4", "--ckpt_dir", str(tmp_path)])
    alone.fit()
    weights, together = alone.model.state_dict(), two_ranks.ranks[0]["weights"]
    torch.manual_seed(0)
    moved = max((value - weights[f"net.{key}"]).abs().max() for key, value in Restormer(**TINY).state_dict().items())
    apart = max((value - together[key]).abs().max() for key, value in weights.items())
    assert apart < 0.01 * moved


def test_one_set_of_files_and_no_needless_warning(two_ranks):
    left = {path.name for path in two_ranks.folder.iterdir()}
    assert {"best.ckpt", "last.ckpt", "config.yaml", "metrics.csv", "gallery.png", "scores.md"} <= left
    assert len(list((two_ranks.folder / "tensorboard").glob("events*"))) == 1
    with Image.open(two_ranks.folder / "gallery.png") as gallery:
        assert gallery.height == 3 * (32 + 26 + 8)  # one of the three images was seen by the second rank alone
    for known in ("Grad strides", "sync_dist", "LeafSpec", "Traceback"):
        assert known not in two_ranks.terminal


def test_gradients_lie_in_memory_as_their_weights():
    """Where axes longer than one differ, DDP copies each gradient; those of length one it warns of for nothing."""
    torch.manual_seed(0)
    for memory in (torch.contiguous_format, torch.channels_last):
        net = Restormer(**TINY).to(memory_format=memory)
        net(torch.rand(2, 3, 16, 16)).square().mean().backward()
        for name, weight in net.named_parameters():
            long_axes = [axis for axis, length in enumerate(weight.shape) if length > 1]
            strides = [(weight.stride(axis), weight.grad.stride(axis)) for axis in long_axes]
            assert all(ours == theirs for ours, theirs in strides), name


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--de_type", "dehaze"], r"1 validation image\(s\) for 2 devices"),
        (["--data.samples_per_epoch", "3"], "samples_per_epoch"),
    ],
)
def test_too_few_images_for_all_ranks_are_refused_before_any_rank_waits(short_fit, tmp_path, words, says):
    started = time.monotonic()
    cli = AioCLI([*short_fit, *words, "--num_gpus", "2", "--ckpt_dir", str(tmp_path / "run")])
    with pytest.raises(InputError, match=says):
        cli.fit()
    assert time.monotonic() - started < 30
    assert not (tmp_path / "run").exists()
