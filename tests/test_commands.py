"""What a user types: `aio`, `aio COMMAND`, and how each ends on bad input."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aio.__main__ import COMMANDS, dispatch
from aio.models import main as models


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aio", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_alone_it_lists_the_commands():
    said = typed()
    assert said.returncode == 0
    assert all(name in said.stdout for name in COMMANDS)


def test_bad_input_is_one_line_and_exit_code_2():
    said = typed("restore", "/none.png", "-o", "/tmp/out", "--checkpoint", "/none.ckpt")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "error: /none.ckpt: no such file or folder; expected weights\n"
    said = typed("brush")
    assert said.returncode == 2
    assert "choose from fit, evaluate, submit, restore, models" in said.stderr


@pytest.mark.parametrize("command", ["evaluate", "submit", "restore", "export", "models", "demo", "data"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        dispatch([command, "--help"])
    assert stop.value.code == 0
    assert "usage: aio " in capsys.readouterr().out


def test_models_lists_presets_and_identifies_files(finished_run, capsys):
    models([])
    assert "restormer_tiny" in capsys.readouterr().out
    models([str(finished_run / "best.ckpt")])
    assert "best.ckpt: Restormer (no preset)" in capsys.readouterr().out
