"""W&B that is missing, refuses, breaks or fills the disk: the training goes on, and says so once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb
from PIL import Image
from wandb.sdk.mailbox.mailbox import MailboxClosedError
from wandb.sdk.mailbox.mailbox_handle import HandleAbandonedError, ServerResponseError

from aio.callbacks.wandb_run import WandbRun
from aio.cli import AioCLI

ERRORS = [
    wandb.errors.CommError("no connection"),
    wandb.errors.UsageError("not so"),
    ConnectionResetError(errno.ECONNRESET, "the service is gone"),
    TimeoutError("no answer"),
    OSError(errno.ENOSPC, "no space left on device"),
    HandleAbandonedError(),
    MailboxClosedError(),
    ServerResponseError("run ID is in use"),
]


class Config:
    def update(self, values: dict[str, Any], **_: Any) -> None:
        self.values = values


class Run:
    """Stands for wandb's run: logs so many times, then raises."""

    id, name = "0a1b2c3d", "fake"

    def __init__(self, error: Exception | None = None, *, after: int = 0) -> None:
        self.error, self.after, self.logged, self.config = error, after, 0, Config()

    def define_metric(self, *_: Any, **__: Any) -> None:
        pass

    def log(self, values: dict[str, Any]) -> None:
        if self.error is not None and self.logged >= self.after:
            raise self.error
        self.logged += 1


@pytest.fixture
def started(monkeypatch) -> list[dict[str, Any]]:
    """The arguments of every start of a run; it begins with `started.run`."""

    class Started(list):
        run: Run | None = Run()
        errors: tuple[Exception, ...] = ()

    calls = Started()

    def init(**arguments: Any) -> Run | None:
        calls.append(arguments)
        if len(calls) <= len(calls.errors):
            raise calls.errors[len(calls) - 1]
        return calls.run

    monkeypatch.setattr(wandb, "init", init)
    return calls


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_breaks_in_the_middle_is_said_once_and_left(started, tmp_path, error):
    started.run = Run(error, after=1)
    logger = WandbRun(project="x", folder=tmp_path)
    logger.log_hyperparams({"lr": 1.0})
    logger.log_metrics({"a": 1.0}, step=0)
    with pytest.warns(UserWarning, match=f"the training goes on without it .{type(error).__name__}"):
        logger.log_metrics({"a": 1.0}, step=1)
    logger.log_metrics({"a": 1.0}, step=2)  # a second warning would be an error
    logger.log_image("gallery", [Image.new("RGB", (2, 2))], step=2)
    logger.log_hyperparams({"lr": 2.0})
    logger.experiment.anything()
    logger.finalize("success")
    assert (started.run.logged, len(started)) == (1, 1)


def test_what_is_wrong_with_our_own_values_is_no_matter_of_wandb(started, tmp_path):
    started.run = Run(ValueError("ours"))
    with pytest.raises(ValueError, match="ours"):
        WandbRun(project="x", folder=tmp_path).log_metrics({"a": 1.0}, step=0)


def test_a_server_out_of_reach_leaves_the_run_offline(started, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    wandb.teardown()
    started.errors = (wandb.errors.CommError("timed out\nmore"),)
    logger = WandbRun(project="x", folder=tmp_path)
    with pytest.warns(UserWarning, match="kept offline: timed out$"):
        logger.log_metrics({"a": 1.0}, step=0)
    wandb.teardown()
    assert [call["mode"] for call in started] == ["online", "offline"]
    assert started.run.logged == 1


def test_neither_a_server_nor_a_folder(started, tmp_path):
    started.errors = (PermissionError(errno.EACCES, "denied"),)
    logger = WandbRun(project="x", folder=tmp_path)
    with pytest.warns(UserWarning, match="the training goes on without it"):
        logger.log_hyperparams({"lr": 1.0})
    logger.log_metrics({"a": 1.0}, step=1)
    assert len(started) == 1


def test_a_refused_key_leaves_the_run_offline(started, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    wandb.teardown()

    def refuse(**_: Any) -> bool:
        raise wandb.errors.AuthenticationError("too short")

    monkeypatch.setattr(wandb, "login", refuse)
    with pytest.warns(UserWarning, match="refuses the key, so this run is kept offline: too short"):
        WandbRun(project="x", folder=tmp_path).log_metrics({"a": 1.0}, step=0)
    wandb.teardown()
    assert [call["mode"] for call in started] == ["offline"]


def test_a_resumed_run_is_the_same_run(started, tmp_path):
    for _ in range(2):
        assert WandbRun(project="x", folder=tmp_path / "a").experiment is started.run
    _ = WandbRun(project="x", folder=tmp_path / "b").experiment
    first, again, other = (call["id"] for call in started)
    assert first == again != other
    assert {call["resume"] for call in started} == {"allow"}


def test_other_ranks_start_no_run(started, tmp_path, monkeypatch):
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = WandbRun(project="x", folder=tmp_path)
    logger.experiment.log({"a": 1})
    logger.log_metrics({"a": 1.0}, step=0)
    logger.log_hyperparams({"lr": 1.0})
    assert (len(started), list(tmp_path.iterdir())) == (0, [])


def test_building_a_training_writes_nothing(short_fit, tmp_path):
    AioCLI([*short_fit, "--wblogger", "x", "--ckpt_dir", str(tmp_path / "run")])
    assert list(tmp_path.iterdir()) == []


# Takes wandb's service away in the middle, as the kernel does when memory is short.
ORPHANED = """\
import os, signal, subprocess, sys
import lightning as L
from aio.cli import AioCLI

class Kill(L.Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 2:
            listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
            rows = [line.split(None, 2) for line in listed.splitlines()]
            for pid in [int(p) for p, parent, words in rows if parent == str(os.getpid()) and "wandb-core" in words]:
                os.kill(pid, signal.SIGKILL)

cli = AioCLI(sys.argv[1:])
cli.trainer.callbacks.append(Kill())
cli.fit()
"""


def left_of(command: list[str], home: Path, **changes: str) -> tuple[Path, str]:
    """The folder of the run, and what was said."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    ended = subprocess.run(
        command, cwd=home, env={**kept, "HOME": str(home), **changes}, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 0, ended.stderr
    assert "validation after" in ended.stdout
    return home / "run", ended.stderr


@pytest.mark.slow
def test_a_service_killed_in_the_middle(short_fit, tmp_path):
    (tmp_path / "train.py").write_text(ORPHANED)
    words = [*short_fit, "--wblogger", "x", "--ckpt_dir", str(tmp_path / "run")]
    _, said = left_of([sys.executable, str(tmp_path / "train.py"), *words], tmp_path)
    assert (
        said.count("the training goes on without it (") - said.count("without it ({") == 1
    )  # a warning quotes its line


@pytest.mark.slow
def test_no_connection_at_all(short_fit, tmp_path):
    words = [*short_fit, "--wblogger", "x", "--ckpt_dir", str(tmp_path / "run")]
    closed = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "a" * 40, "WANDB_INIT_TIMEOUT": "3"}
    folder, said = left_of([sys.executable, "-m", "aio.fit", *words], tmp_path, **closed)
    assert said.count("W&B cannot be reached, so this run is kept offline: ") - said.count("offline: {") == 1
    assert len(list(folder.glob("wandb/offline-run-*/run-*.wandb"))) == 1


@pytest.mark.slow
def test_two_ranks_and_a_resumed_run_are_one(short_fit, tmp_path):
    words = [*short_fit, "--devices", "2", "--batch_size", "1", "--wblogger", "x", "--ckpt_dir", str(tmp_path / "run")]
    command = [sys.executable, "-m", "aio.fit", *words]
    folder, _ = left_of([*command, "--epochs", "1"], tmp_path)
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    left_of([*command, "--epochs", "2", "--resume_from", "last"], tmp_path)
    runs = list(folder.glob("wandb/offline-run-*"))
    assert len(runs) == 2  # of one run: `wandb sync` joins them
    assert {run.name.rpartition("-")[2] for run in runs} == {(folder / "wandb/aio_run_id").read_text()}
