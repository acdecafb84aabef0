"""`aio restore` in processes of its own: killed, told to stop, several at once, and on a disk that is full."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from albums import contents, draw, save_tiny_net

pytestmark = pytest.mark.slow
COUNT = 40


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("album")
    for number in range(COUNT):
        draw(folder / f"{number % 3}" / f"{number}.png", size=(64, 64))
    return folder


@pytest.fixture(scope="module")
def net_folder(tmp_path_factory):
    return save_tiny_net(tmp_path_factory.mktemp("net"))


@pytest.fixture
def command(album, net_folder):
    def words(out, *more):
        start = [sys.executable, "-m", "aio.restore", str(album), "-o", str(out), "--checkpoint", str(net_folder)]
        return [*start, "--device", "cpu", *more]

    return words


@pytest.fixture(scope="module")
def undisturbed(album, net_folder, tmp_path_factory):
    from aio.restore import main

    out = tmp_path_factory.mktemp("undisturbed")
    assert main([str(album), "-o", str(out), "--checkpoint", str(net_folder), "--device", "cpu"]) == 0
    return contents(out)


@contextmanager
def started(words):
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def written(out):
    """How many photographs the journals hold."""
    journals = (out / ".aio").glob("journal*.jsonl")
    lines = [line for path in journals for line in path.read_bytes().split(b"\n") if b'"written"' in line]
    return [json.loads(line)["name"] for line in lines if line.endswith(b"}")]


def wait_until(condition, process):
    for _ in range(6000):
        if condition() or process.poll() is not None:
            return
        time.sleep(0.01)
    pytest.fail("nothing happened for a minute")


def test_killed_three_times_the_result_is_that_of_an_undisturbed_run(command, undisturbed, tmp_path):
    out, draws = tmp_path / "out", random.Random(7)
    for _ in range(3):
        before = len(written(out))
        goal = before + draws.randint(1, 10)
        with started(command(out)) as process:
            wait_until(lambda goal=goal: len(written(out)) >= goal, process)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        whole = {name: digest for name, digest in contents(out).items() if ".tmp-" not in name}
        assert whole.items() <= undisturbed.items()
    done = len(written(out))
    assert subprocess.run(command(out), capture_output=True, check=False).returncode == 0
    assert contents(out) == undisturbed  # of what was left half-written nothing remains
    assert len(written(out)) == COUNT
    assert done < COUNT


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_says_how_to_go_on(number, code, command, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(command(out)) as process:
        wait_until(lambda: len(written(out)) >= 3, process)
        process.send_signal(number)
        said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command goes on from here" in said[1]
    assert "Traceback" not in said[1]
    assert contents(out).items() <= undisturbed.items()
    assert len(written(out)) == len(contents(out))


def test_two_at_once_share_the_work(command, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(command(out)) as first, started(command(out)) as second:
        said = [process.communicate(timeout=200)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert contents(out) == undisturbed
    found = [re.search(r"40 of 40 photographs restored into .*?(?:\((\d+) of them before\))?$", text) for text in said]
    assert sum(int(match[1] or 0) for match in found) == COUNT  # each was restored by one of them


def test_a_shard_is_killed_while_the_other_works(command, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(command(out, "--shard", "1/2")) as first, started(command(out, "--shard", "2/2")) as second:
        wait_until(lambda: len(written(out)) >= 2, first)
        first.kill()
        first.wait()
        assert second.wait(timeout=200) == 0
    assert subprocess.run(command(out, "--shard", "1/2"), capture_output=True, check=False).returncode == 0
    assert contents(out) == undisturbed


def test_a_disk_that_is_full(command, undisturbed, tmp_path):
    """A disk of 200 KiB in a mount namespace of our own; what was written is copied out when it is full."""
    inside, out = tmp_path / "small", tmp_path / "out"
    inside.mkdir()
    mount = f"mount -t tmpfs -o size=200k none {inside}"
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*namespace, mount], capture_output=True, check=False).returncode
    ):
        pytest.skip("no namespaces here")
    script = f'{mount} && {{ "$@"; code=$?; cp -r {inside}/out {out}; exit $code; }}'
    done = subprocess.run(
        [*namespace, script, "sh", *command(inside / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "No space left on device: stopped" in done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < len(contents(out)) < COUNT
    assert contents(out).items() <= undisturbed.items()
    assert subprocess.run(command(out), capture_output=True, check=False).returncode == 0
    assert contents(out) == undisturbed
