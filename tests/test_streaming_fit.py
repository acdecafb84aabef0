"""A training of two ranks with two workers each over a stream ends with the weights of one over the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aio.data.streaming import write_stream

# Lightning starts this file again for the second rank.
SCRIPT = """\
import sys
import torch
from aio.cli import AioCLI

cli = AioCLI(sys.argv[2:])
cli.fit()
torch.save(cli.model.state_dict(), f"{sys.argv[1]}.{cli.trainer.global_rank}.pt")
"""


def fit_on_two_ranks(home: Path, words: list[str]) -> list[dict[str, torch.Tensor]]:
    """The weights of both ranks."""
    home.mkdir()
    (home / "train.py").write_text(SCRIPT)
    command = [sys.executable, "train.py", "weights", *words, "--num_gpus", "2", "--ckpt_dir", "run"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ}, cwd=home)
    assert ended.returncode == 0, ended.stderr
    return [torch.load(home / f"weights.{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
def test_a_stream_trains_as_its_folder(plant, short_fit, tmp_path):
    root = plant(
        {
            "train/denoise": " ".join(f"photo{i}.png" for i in range(9)),
            "train/dehaze/hazy": " ".join(f"{i}_1.png" for i in range(5)),
            "train/dehaze/clear": " ".join(f"{i}.png" for i in range(5)),
            "val/denoise": "kodak1.png kodak2.png",
            "val/dehaze/hazy": "7_1.png 8_1.png",
            "val/dehaze/clear": "7.png 8.png",
        }
    )
    manifest = write_stream(root, tmp_path / "stream", chunk_bytes=400)
    assert len(manifest.chunks) > 4
    words = [*short_fit, "--data.samples_per_epoch", "12", "--num_workers", "2"]
    cache = ["--data.stream_cache.folder", str(tmp_path / "cache"), "--data.stream_cache.gigabytes", "0.000002"]
    streamed = fit_on_two_ranks(tmp_path / "s", [*words, "--data_file_dir", str(tmp_path / "stream"), *cache])
    plain = fit_on_two_ranks(tmp_path / "p", [*words, "--data_file_dir", str(root)])
    for weights in (streamed[1], *plain):
        assert all(torch.equal(value, weights[key]) for key, value in streamed[0].items())
    assert list((tmp_path / "cache").rglob("*.bin"))
