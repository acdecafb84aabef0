"""A SLURM job: SIGUSR1 saves and requeues it once, the next start goes on; the files in conf/ fit together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aio.callbacks.slurm import requeue
from aio.cli import AioCLI
from aio.presets import conf_dir
from failing import Fault, finish, start
from test_resume import WORDS, assert_same_end, fit
from test_signals import stopped

JOB = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "fit", "SLURM_NODEID": "0", "SLURM_NNODES": "1"}
# the answers of SLURM's command, which notes how it was called
ANSWERS = {"done": "exit 0", "refused": "echo Requested operation not supported >&2; exit 1"}


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A `scontrol` first on PATH; its calls are the lines of the file it returns."""

    def place(answer: str) -> Path:
        command, calls = tmp_path / "bin" / "scontrol", tmp_path / "calls"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{ANSWERS[answer]}\n')
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
        return calls

    return place


def in_job(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    for name, value in {**JOB, **more}.items():
        monkeypatch.setenv(name, value)


def test_sigusr1_requeues_once_and_the_next_start_goes_on(scontrol, short_fit, tmp_path, monkeypatch, capfd):
    calls = scontrol("done")
    one = {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    in_job(monkeypatch, **one)
    words = [*short_fit, "--ckpt_dir", str(tmp_path / "run"), "--resume_from", "auto"]
    assert stopped(Fault(step=2, name="SIGUSR1"), *words).code == 138
    assert calls.read_text() == "requeue 4711\n"
    assert "job 4711 is requeued" in capfd.readouterr().err
    assert not list((tmp_path / "run").glob("hpc*"))
    assert [batch[:2] for batch in fit(*words)] == [(1, 1)]
    assert calls.read_text() == "requeue 4711\n"


def test_sigterm_does_not_requeue(scontrol, short_fit, tmp_path, monkeypatch):
    """SLURM does so itself when it preempts a job, and the user who cancels it does not want it."""
    calls = scontrol("done")
    in_job(monkeypatch)
    assert stopped(Fault(step=1, name="SIGTERM"), *short_fit, "--ckpt_dir", str(tmp_path / "run")).code == 143
    assert not calls.exists()


def test_a_task_of_an_array_is_requeued_by_its_number(scontrol, monkeypatch):
    calls = scontrol("done")
    in_job(monkeypatch, SLURM_ARRAY_JOB_ID="4700", SLURM_ARRAY_TASK_ID="11")
    requeue([].append)
    assert calls.read_text() == "requeue 4700_11\n"


def test_a_job_that_cannot_be_requeued_is_named(scontrol, monkeypatch):
    scontrol("refused")
    in_job(monkeypatch)
    said: list[str] = []
    requeue(said.append)
    assert said == ["job 4711 is not requeued: Requested operation not supported"]
    monkeypatch.setenv("PATH", "")
    requeue(said.append)
    assert said[1].startswith("job 4711 is not requeued: [Errno 2]")


def test_without_slurm_nothing_is_requeued(scontrol, monkeypatch):
    calls = scontrol("done")
    for name in JOB:
        monkeypatch.delenv(name, raising=False)
    said: list[str] = []
    requeue(said.append)
    assert (said, calls.exists()) == ([], False)


def test_the_batch_script_asks_for_what_the_trainer_expects():
    """Tasks are ranks; the signal leaves time for a step and a checkpoint; the command begins or goes on."""
    script = (conf_dir() / "slurm" / "fit.sh").read_text()
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?", script, flags=re.MULTILINE))
    assert asked["signal"] == "USR1@90"
    assert {"requeue", "nodes", "ntasks-per-node"} <= set(asked)
    assert asked["open-mode"] == "append"
    command = script.splitlines()[-1]
    assert command.startswith("exec srun --kill-on-bad-exit=1 ")
    assert all(word in script for word in ("--resume_from auto", "conf/trainer/slurm.yaml", "--ckpt_dir"))


def test_slurm_tells_the_number_of_devices(short_fit, tmp_path, monkeypatch):
    """As many as tasks on a node: `devices: auto` with eight GPUs and four tasks would be refused by Lightning."""
    cli = AioCLI(["--config", str(conf_dir() / "trainer" / "slurm.yaml"), *short_fit, "--devices", "2",
                  "--trainer.num_nodes", "2", "--precision", "32-true", "--ckpt_dir", str(tmp_path)])  # fmt: skip
    assert (cli.trainer.num_devices, cli.trainer.num_nodes) == (2, 2)
    assert cli.trainer.strategy._timeout.total_seconds() == 600


@pytest.mark.slow
def test_two_tasks_requeue_their_job_once(scontrol, short_fit, tmp_path):
    """All tasks get the signal, as `--signal=USR1@90` sends it."""
    calls = scontrol("done")
    words = [*short_fit, *WORDS, "--num_gpus", "2", "--batch_size", "1", "--ckpt_dir", str(tmp_path / "run")]
    words += ["--resume_from", "auto"]
    fault = {"step": 11, "name": "SIGUSR1", "ranks": [0, 1], "note": str(tmp_path / "struck"), "once": False}

    def srun(fault: dict) -> list[tuple[int, str]]:
        shared = {**os.environ, **JOB, "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "MASTER_ADDR": "localhost"}
        ranks = [{**shared, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)]
        return finish(*(start(fault, *words, env=env) for env in ranks))

    ended = srun(fault)
    assert [code for code, _ in ended] == [138, 138], ended
    assert calls.read_text() == "requeue 4711\n"
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 12
    assert [code for code, _ in srun({"step": 99, "name": "SIGUSR1"})] == [0, 0]
    whole = [*words[:-4], "--ckpt_dir", str(tmp_path / "whole")]
    command = [sys.executable, "-m", "aio.fit", *whole]
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    assert_same_end(tmp_path / "run", tmp_path / "whole")
