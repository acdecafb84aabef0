"""Two ranks on the CPU: a signal to any of them ends both with a checkpoint, and the death of one ends the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from failing import finish, start
from test_resume import WORDS, assert_same_end

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


@pytest.fixture(scope="module")
def two(short_fit) -> list[str]:
    return [*short_fit, *WORDS, "--num_gpus", "2", "--batch_size", "1"]


@pytest.fixture(scope="module")
def undisturbed(two, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    whole(*two, "--ckpt_dir", str(folder))
    return folder


def whole(*words: str) -> None:
    command = [sys.executable, "-m", "aio.fit", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr


def struck(
    home: Path, words: list[str], *, launcher: tuple[str, ...] = (), within: float = 30, **fault: Any
) -> tuple[int, str]:
    """How the ranks of `words` ended: their pipes close when none is left, so many seconds after the fault at most."""
    ended = finish(start({**fault, "note": str(home / "struck")}, *words, launcher=launcher))[0]
    assert time.time() - (home / "struck").stat().st_mtime < within
    return ended


def step_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=True)["global_step"]


@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["lightning", "torchrun"])
@pytest.mark.parametrize("ranks", [[0], [1], [0, 1]])
def test_sigterm_to_any_rank_ends_all_of_them(two, undisturbed, tmp_path, launcher, ranks):
    words = [*two, "--ckpt_dir", str(tmp_path / "run")]
    code, said = struck(tmp_path, words, launcher=launcher, step=11, name="SIGTERM", ranks=ranks)
    assert code == (1 if launcher else 143), said  # torchrun has a code of its own
    assert "SIGTERM: stopped after step 12" in said
    assert step_of(tmp_path / "run" / "last.ckpt") == 12
    whole(*words, "--resume_from", "last")
    assert_same_end(tmp_path / "run", undisturbed)


def test_sigterm_to_one_rank_in_a_validation(two, undisturbed, tmp_path):
    words = [*two, "--ckpt_dir", str(tmp_path / "run")]
    code, said = struck(tmp_path, words, step=8, name="SIGTERM", ranks=[1], validation=True)
    assert code == 143, said
    whole(*words, "--resume_from", "last")
    assert_same_end(tmp_path / "run", undisturbed)


@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["lightning", "torchrun"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_takes_the_others_with_it(two, tmp_path, launcher, rank):
    words = [*two, "--ckpt_dir", str(tmp_path / "run")]
    code, said = struck(tmp_path, words, launcher=launcher, step=10, name="SIGKILL", ranks=[rank])
    assert code != 0, said
    assert step_of(tmp_path / "run" / "last.ckpt") == 8


def test_a_rank_that_hangs_ends_the_others_within_the_limit(two, tmp_path):
    limit = tmp_path / "limit.yaml"
    limit.write_text(
        "trainer: {strategy: {class_path: lightning.pytorch.strategies.DDPStrategy, init_args: {timeout: '0:01:00'}}}"
    )
    words = [*two, "--config", str(limit), "--ckpt_dir", str(tmp_path / "run")]
    code, said = struck(tmp_path, words, step=10, name="SIGSTOP", ranks=[1], within=90)
    assert code != 0, said
    assert step_of(tmp_path / "run" / "last.ckpt") == 8


def test_torchrun_starts_again_what_died(two, undisturbed, tmp_path):
    """Without the variable, torch's ranks may look for those of the first start (pytorch#135712)."""
    env = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    fault = {"step": 10, "name": "SIGKILL", "ranks": [1], "note": str(tmp_path / "struck"), "once": True}
    words = [*two, "--ckpt_dir", str(tmp_path / "run"), "--resume_from", "auto"]
    ((code, said),) = finish(start(fault, *words, launcher=(*TORCHRUN, "--max-restarts=1"), env=env))
    assert code == 0, said
    assert (tmp_path / "struck").exists()
    assert_same_end(tmp_path / "run", undisturbed)


def test_two_machines_write_one_folder_with_the_time_in_its_name(two, undisturbed, tmp_path):
    """Two launchers of one process each, which meet at a port."""
    port = free_port()
    node = ("-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", f"--rdzv-endpoint=localhost:{port}")
    words = [*two, "--num_gpus", "1", "--trainer.num_nodes", "2"]
    nodes = [
        start(
            {"step": 99, "name": "SIGTERM"},
            *words,
            cwd=tmp_path,
            launcher=(*node, "--rdzv-backend=c10d", "--rdzv-id=x"),
        )
        for _ in range(2)
    ]
    assert [code for code, _ in finish(*nodes)] == [0, 0]
    (folder,) = (tmp_path / "runs").iterdir()
    assert_same_end(folder, undisturbed)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]
