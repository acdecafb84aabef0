"""Damaged files and bombs by number: each is read or refused with its name, in bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest

SECONDS = 60  # for a file, however busy the machine; one takes a tenth


@pytest.mark.filterwarnings("ignore")  # as the libraries do over such bytes
@pytest.mark.timeout(SECONDS * 2)
def test_a_few_hundred_damaged_files(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    path, faults = tmp_path / "photo", {}
    for number in range(300):
        path.write_bytes(fuzzing.damaged(number))
        faults[number] = fuzzing.faults_of(path)
    assert {number: found for number, found in faults.items() if found} == {}
    assert sorted(tmp_path.rglob("*")) == [path, tmp_path / "scratch"]


@pytest.mark.timeout(SECONDS)
def test_many_small_parts_take_no_longer_than_their_bytes(tmp_path):
    """Chunks without data, and a directory at every twelfth byte that leads to the next."""
    content = fuzzing.by_pillow("PNG")
    (tmp_path / "photo.png").write_bytes(content[:33] + fuzzing.chunk(b"teST", b"") * 60_000 + content[33:])
    content = fuzzing.deep_tiff()
    first = int.from_bytes(content[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    chain = bytearray(12 * 60_000)
    for at in range(0, len(chain) - 24, 12):
        chain[at + 2 : at + 6] = (len(content) + at + 12).to_bytes(4, "little")
    (tmp_path / "photo.tif").write_bytes(
        content[:link] + len(content).to_bytes(4, "little") + content[link + 4 :] + chain
    )
    for name in ("photo.png", "photo.tif"):
        assert fuzzing.faults_of(tmp_path / name) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_files(tmp_path):
    """In a process that may not have more than 3 GiB of addresses, and is killed if one file takes it too long."""
    for name in ("files", "scratch"):
        (tmp_path / name).mkdir()
    arguments = [sys.executable, fuzzing.__file__, "300", "10000", str(tmp_path / "files")]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    said = tmp_path / "said"
    with said.open("w") as file:
        process = subprocess.Popen(arguments, stdout=file, stderr=subprocess.DEVNULL, env=environment, cwd=tmp_path)
        try:
            watch(process, said)
        finally:
            process.kill()
            process.wait()
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    assert process.returncode == 0, f"died over file {lines[-1]}"
    assert [line for line in lines if "faults" in line] == []
    assert lines[-1]["files"] == 10_000
    assert lines[-1]["peak_mib"] < 1024
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["files", "said", "scratch"]


def watch(process: subprocess.Popen[bytes], said: Path) -> None:
    """Until the process ends; fails when it has said nothing new for too long."""
    sizes = [-1, said.stat().st_size]
    while sizes[-1] != sizes[-2]:
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            sizes.append(said.stat().st_size)
        else:
            return
    pytest.fail(f"hangs over file {said.read_text().splitlines()[-1]}")
