"""SIGTERM, SIGUSR1, SIGINT: the step ends, `last.ckpt` holds it, and the training goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from aio.callbacks.signals import Signals, Stopped
from aio.cli import AioCLI
from failing import Fault, finish, kill, start
from test_resume import WORDS, assert_same_end, fit

# Python 3.12 warns of a fork beside threads, which torch's loader does
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(scope="module")
def undisturbed(short_fit, tmp_path_factory):
    """Its folder, and its batches."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, fit(*short_fit, *WORDS, "--ckpt_dir", str(folder))


def stopped(fault: Fault, *words: str) -> Stopped:
    cli = AioCLI(words)
    cli.trainer.callbacks.insert(0, fault)
    with pytest.raises(Stopped) as ended:
        cli.fit()
    return ended.value


@pytest.mark.parametrize(
    ("fault", "kept", "code"),
    [
        (Fault(step=11, name="SIGTERM"), 12, 143),
        (Fault(step=16, name="SIGTERM", validation=True), 16, 143),
        pytest.param(Fault(step=12, name="SIGUSR1"), 13, 138, marks=pytest.mark.slow),
        pytest.param(Fault(step=5, name="SIGINT"), 6, 130, marks=pytest.mark.slow),
        pytest.param(Fault(step=7, name="SIGTERM"), 8, 143, marks=pytest.mark.slow),
        pytest.param(Fault(step=8, name="SIGTERM", validation=True), 8, 143, marks=pytest.mark.slow),
    ],
    ids=["SIGTERM", "in the last validation", "SIGUSR1", "SIGINT", "before a validation", "in a validation"],
)
def test_a_stopped_training_ends_as_an_undisturbed_one(undisturbed, short_fit, tmp_path, capfd, fault, kept, code):
    words = [*short_fit, *WORDS, "--ckpt_dir", str(tmp_path / "run")]
    ended = stopped(fault, *words)
    assert (ended.code, ended.step, ended.checkpoint) == (code, kept, tmp_path / "run" / "last.ckpt")
    assert torch.load(ended.checkpoint, weights_only=True)["global_step"] == kept
    said = capfd.readouterr().err
    assert f"stopped after step {kept}" in said
    assert f"aio fit --config {tmp_path}/run/config.yaml --ckpt_dir {tmp_path}/run --resume_from last" in said
    assert fit(*words, "--resume_from", "last") == undisturbed[1][kept:]
    assert_same_end(tmp_path / "run", undisturbed[0])


@pytest.mark.slow
def test_it_waits_for_gradients_that_accumulate(short_fit, tmp_path):
    words = [*short_fit, *WORDS, "--accum_grad", "3"]
    fit(*words, "--ckpt_dir", str(tmp_path / "whole"))
    ended = stopped(Fault(step=1, name="SIGTERM"), *words, "--ckpt_dir", str(tmp_path / "run"))
    assert ended.step == 2
    fit(*words, "--ckpt_dir", str(tmp_path / "run"), "--resume_from", "last")
    assert_same_end(tmp_path / "run", tmp_path / "whole")


def test_what_was_done_with_signals_before_is_done_again(short_fit, tmp_path):
    before = [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    fit(*short_fit, "--epochs", "1", "--ckpt_dir", str(tmp_path))
    assert [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


class EndedError(Exception):
    """In the place of the process's end."""


def test_an_impatient_user_and_a_hung_rank_end_it_at_once(monkeypatch, capfd):
    codes = []

    def end(code: int) -> None:
        codes.append(code)
        raise EndedError

    monkeypatch.setattr(os, "_exit", end)
    signals = Signals(patience=60)
    signals._take(signal.SIGINT, None)
    try:
        with pytest.raises(EndedError):
            signals._take(signal.SIGINT, None)
    finally:
        signals._over.set()  # else it ended the tests in a minute
    with pytest.raises(EndedError):
        Signals(patience=0)._end_late(signal.SIGTERM)
    assert codes == [130, 143]
    assert "ends without a checkpoint" in capfd.readouterr().err


def await_steps(process: subprocess.Popen, folder: Path, number: int) -> None:
    """Returns as soon as so many steps have been logged."""
    metrics, limit = folder / "metrics.csv", time.monotonic() + 200
    while not metrics.is_file() or metrics.read_bytes().count(b"\n") < number + 2:
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_process_whose_whole_group_gets_sigterm(short_fit, tmp_path):
    """As SLURM, systemd and terminals send it: the loader's processes get it too."""
    words = [*short_fit, "--epochs", "9999", "--num_workers", "1", "--ckpt_dir", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "aio.fit", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        await_steps(process, tmp_path / "run", 3)
        os.killpg(process.pid, signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
    finally:
        kill(process)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    step = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"]
    assert f"SIGTERM: stopped after step {step}" in said
    assert f",{step - 1}," in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[-1]


KILLED_WHILE_WRITING = """\
import os, signal, sys
import torch
from aio.cli import AioCLI

save, files = torch.save, []

def save_half(checkpoint, file):
    files.append(file)
    if len(files) == 3:
        file.write(b"half of it")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(checkpoint, file)

torch.save = save_half
AioCLI(sys.argv[1:]).fit()
"""


@pytest.mark.slow
def test_killed_while_a_checkpoint_is_written_it_goes_on_from_the_one_before(undisturbed, short_fit, tmp_path):
    """After steps 3 and 6; the third would have been the best of the first epoch."""
    words = [*short_fit, *WORDS, "--ckpt_dir", str(tmp_path / "run")]
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(list((tmp_path / "run").glob(".tmp-*"))) == 1
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 6
    assert fit(*words, "--resume_from", "last") == undisturbed[1][6:]
    assert list((tmp_path / "run").glob(".tmp-*")) == []
    assert_same_end(tmp_path / "run", undisturbed[0])


@pytest.mark.slow
def test_two_interrupts_end_it_at_once_and_keep_the_checkpoint(short_fit, tmp_path):
    words = [*short_fit, *WORDS, "--ckpt_dir", str(tmp_path / "run")]
    ((code, said),) = finish(start({"step": 7, "name": "SIGINT", "times": 2}, *words))
    assert code == 130
    assert "Traceback" not in said
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 6
