"""Atomic writing: a reader meets the old file or the new one, whole; a failure leaves no trace."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from aio.files import atomic_write, sweep, write_text


def test_new_file_and_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "new.bin"
    with atomic_write(path) as file:
        file.write(b"\x00\xff")
        assert not path.exists()
        (temporary,) = path.parent.iterdir()  # where it can be moved from at once
        assert temporary.name.startswith(".")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_replaced_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    with path.open("rb") as reader, atomic_write(str(path)) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old and longer"
        assert reader.read(3) == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, failure):
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        raise failure


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, b"old"])
def test_failure_leaves_neither_half_a_file_nor_a_temporary(tmp_path, failure, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(failure):
        write_half(path, failure)
    assert list(tmp_path.iterdir()) == ([] if before is None else [path])
    assert before is None or path.read_bytes() == before


def test_failure_of_the_replacement_itself(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(folder) as file:
        file.write(b"data")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "file", "text")
        assert os.umask(umask) == umask  # and leave it as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    path, synced = tmp_path / "file", []

    def fsync(handle):
        synced.append((os.fstat(handle).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as file:
        file.write(b"12345")
    assert synced == [(5, False)]


def test_text_is_utf_8(tmp_path):
    write_text(tmp_path / "file", "σ = 25\n")
    assert (tmp_path / "file").read_bytes() == b"\xcf\x83 = 25\n"


WRITER = """\
import sys
from aio.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("wrote", flush=True)
    sys.stdin.read()
"""


def test_only_what_dead_writers_left_is_swept(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / ".hidden").touch()
    command = [sys.executable, "-c", WRITER, str(path)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"wrote\n"
        (half,) = tmp_path.glob(".tmp-*")
        assert sweep(tmp_path) == []
        assert half.exists()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert sweep(tmp_path) == [half]
    finally:
        writer.kill()
        writer.communicate()
    assert sorted(file.name for file in tmp_path.iterdir()) == [".hidden", "file"]
    assert path.read_bytes() == b"old"
    assert sweep(tmp_path / "none") == []
