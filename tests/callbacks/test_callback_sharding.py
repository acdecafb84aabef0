"""Training with sharded weights: as one process does; whole checkpoints; no average."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import aio
from aio.callbacks.sharding import FullySharded
from aio.cli import AioCLI
from aio.errors import InputError
from aio.fit import main
from aio.nets.restormer import Restormer
from aio.presets import conf_dir
from training import TINY

SHARDED = [
    "--config",
    str(conf_dir() / "trainer" / "fsdp.yaml"),
    "--precision",
    "32-true",
    "--trainer.accelerator",
    "cpu",
]


def test_a_sharded_average_is_refused_before_anything_is_written(short_fit, tmp_path):
    cli = AioCLI([*short_fit, *SHARDED, "--devices", "1", "--ema_decay", "0.99", "--ckpt_dir", str(tmp_path / "run")])
    assert isinstance(cli.trainer.strategy, FullySharded)
    with pytest.raises(InputError, match=r"--ema_decay 0.99: sharded weights .FullySharded.*give --ema_decay 0"):
        cli.fit()
    assert list(tmp_path.iterdir()) == []


def sharded(words: list[str], home: Path) -> None:
    """On two ranks."""
    command = [sys.executable, "-m", "aio.fit", *words, *SHARDED, "--devices", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, env={**os.environ}, cwd=home)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_ranks_with_a_share_each_train_as_one_process(short_fit, tmp_path):
    """Stopped after an epoch and resumed, with clipping; what they leave is opened as any other run's."""
    words = [
        *short_fit,
        "--data.samples_per_epoch",
        "8",
        "--gradient_clip_val",
        "0.1",
        "--lr",
        "1e-3",
        "--ema_decay",
        "0",
    ]
    shares = [*words, "--ckpt_dir", str(tmp_path / "shares")]
    sharded([*shares, "--epochs", "1", "--model.min_lr", "1e-3"], tmp_path)
    sharded([*shares, "--epochs", "2", "--model.min_lr", "1e-3", "--resume_from", "last"], tmp_path)
    one = [*words, "--batch_size", "4", "--epochs", "2", "--model.min_lr", "1e-3"]
    main([*one, "--ckpt_dir", str(tmp_path / "one")])

    ours, theirs = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("shares", "one"))
    torch.manual_seed(0)
    start = Restormer(**TINY).state_dict()
    moved = max((theirs["state_dict"][f"net.{key}"] - value).abs().max() for key, value in start.items())
    apart = max((ours["state_dict"][key] - value).abs().max() for key, value in theirs["state_dict"].items())
    assert apart < 0.01 * moved
    assert ours["global_step"] == theirs["global_step"] == 4
    moments = [state["state"][0]["exp_avg"] for state in (ours["optimizer_states"][0], theirs["optimizer_states"][0])]
    assert moments[0].shape == moments[1].shape
    with torch.no_grad():
        image = torch.rand(1, 3, 16, 16)
        assert torch.equal(aio.load(tmp_path / "shares")(image), aio.load(tmp_path / "shares" / "best.ckpt")(image))
