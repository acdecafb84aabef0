"""Claims: between processes, freed by death, and what dead processes left is swept when nobody is at work."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import pytest

from aio.inference.jobs.claims import Claims

# Waits with what it holds until its input ends.
_OTHER = """
import sys
from pathlib import Path
from aio.inference.jobs.claims import Claims
claims = Claims(Path(sys.argv[1]))
claims.sweep(map(Path, sys.argv[2:]))
print(claims.take("photo"), flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(folder, *swept):
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(folder), *map(str, swept)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "True\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def claims(tmp_path):
    with Claims(tmp_path) as claims:
        yield claims


def test_what_another_has_claimed_is_his_until_he_dies(claims, tmp_path):
    with another_process(tmp_path) as other:
        assert not claims.take("photo")
        assert claims.take("other photo")
        other.kill()
        other.wait()
        assert claims.take("photo")


def test_leftovers_go_only_when_nobody_else_is_at_work(claims, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    leftover, photo = folder / ".tmp-abcd1234.part", folder / ".tmp-photo.png"
    leftover.touch()
    photo.touch()
    with another_process(tmp_path) as other:
        claims.sweep([folder])
        assert leftover.exists()
        other.kill()
        other.wait()
        claims.sweep([folder])
    assert not leftover.exists()
    assert photo.exists()


def test_who_came_second_is_at_work_too(claims, tmp_path):
    leftover = tmp_path / ".tmp-abcd1234.part"
    with another_process(tmp_path) as first:
        leftover.touch()
        claims.sweep([])
        first.kill()
        first.wait()
        with another_process(tmp_path, tmp_path):
            assert leftover.exists()


def test_what_is_released_is_free(claims, tmp_path):
    assert claims.take("photo")
    claims.release("photo")
    with another_process(tmp_path):
        pass
