"""`aio restore --engine ray`: the files of the local engine byte for byte, and a job that goes on where it was."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from aio.errors import InputError
from aio.inference.jobs.claims import Claims
from aio.inference.jobs.job import Job, Outcome
from aio.inference.jobs.journal import Journal
from aio.inference.ray import _row, _Worker, restore_on_ray
from aio.inference.settings import Settings
from aio.nets.base import RestorationNet
from aio.restore import main
from albums import contents, draw, draw_album, save_tiny_net
from tiny_nets import build

_DEADLINE = 60


@pytest.fixture
def no_process_is_left(monkeypatch) -> Iterator[None]:
    """Whatever Ray has started ends with the test; it is known by a mark in its environment."""
    mark = f"mark-{uuid.uuid4()}"
    monkeypatch.setenv("AIO_TEST_MARK", mark)
    yield
    end = time.monotonic() + _DEADLINE
    while (alive := _marked(mark.encode())) and time.monotonic() < end:
        time.sleep(0.1)
    for process in alive:
        os.kill(process, signal.SIGKILL)
    assert not alive


def _marked(mark: bytes) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has just ended, or is another's
            continue
    return found


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("aio.restore.find_spec", lambda name: None)
    album, net = draw_album(tmp_path / "album", "a.png"), save_tiny_net(tmp_path / "net")
    with pytest.raises(InputError, match=r"--engine ray: .*pip install 'aio\[ray\]'"):
        main([str(album), "-o", str(tmp_path / "out"), "--checkpoint", str(net), "--engine", "ray"])
    assert not (tmp_path / "out").exists()


def test_an_address_without_the_engine_is_refused(tmp_path):
    with pytest.raises(InputError, match="--ray_address auto: expected --engine ray"):
        main([str(tmp_path), "-o", str(tmp_path / "out"), "--checkpoint", str(tmp_path), "--ray_address", "auto"])


def test_a_worker_answers_for_every_photograph(tmp_path):
    """Also where names are no text, where a file is none, and where the disk refuses: that ends the job."""
    worker = _Worker(build("nafnet"), Settings(), lambda net: net, 2**20)
    strange = draw(tmp_path / os.fsdecode(b"caf\xe9.png"))
    answer = worker(_row(7, Job(strange, tmp_path / "out" / strange.name)))
    assert (answer["number"], answer["status"], answer["errno"]) == (7, "restored", 0)
    assert (tmp_path / "out" / strange.name).exists()
    (tmp_path / "bad.png").write_bytes(b"none")
    answer = worker(_row(8, Job(tmp_path / "bad.png", tmp_path / "out" / "bad.png")))
    assert (answer["status"], answer["errno"], "image" in answer["reason"]) == ("failed", 0, True)
    (tmp_path / "file").write_bytes(b"")
    answer = worker(_row(9, Job(strange, Path("/proc/none/out.png"))))
    assert answer["errno"] > 0


@pytest.mark.slow
def test_it_writes_what_the_local_engine_writes_and_goes_on(tmp_path, no_process_is_left, capsys):
    album, net = draw_album(tmp_path / "album", "a.png b.png été/c.png d.png"), save_tiny_net(tmp_path / "net")
    (album / "bad.png").write_bytes(b"no image")
    local, cluster = tmp_path / "local", tmp_path / "cluster"
    words = [str(album), "--checkpoint", str(net), "--strength", "0.5"]
    assert main([*words, "-o", str(local)]) == 1
    assert main([*words, "-o", str(cluster), "--engine", "ray"]) == 1
    assert contents(cluster) == contents(local)
    assert len(contents(cluster)) == 4
    assert "bad.png" in capsys.readouterr().err

    (cluster / "b.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in cluster.rglob("*.png")}
    assert main([*words, "-o", str(cluster), "--engine", "ray"]) == 1
    assert contents(cluster) == contents(local)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert main([*words, "-o", str(local)]) == 1  # and the local engine goes on where the cluster was


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_photograph_alone(tmp_path, no_process_is_left):
    album = draw_album(tmp_path / "album", "a.png b.png")
    draw(album / "deadly.png", size=(16, 31))

    def deadly(net: RestorationNet) -> RestorationNet:
        """Of one width it dies."""
        forward = net.forward
        net.forward = lambda image, task=None: os._exit(9) if image.shape[-1] > 30 else forward(image, task)
        return net

    jobs = [Job(path, tmp_path / "out" / path.name) for path in sorted(album.iterdir())]
    outcomes = {outcome.job.source.name: outcome for outcome in _restored(jobs, tmp_path / "out", deadly)}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "a.png": "restored",
        "b.png": "restored",
        "deadly.png": "failed",
    }
    assert "died" in outcomes["deadly.png"].reason
    assert sorted(contents(tmp_path / "out")) == ["a.png", "b.png"]


def _restored(jobs: Sequence[Job], out: Path, place: Callable[[RestorationNet], RestorationNet]) -> list[Outcome]:
    folder = out / ".aio"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        claims = stack.enter_context(Claims(folder))
        journal = Journal(folder, out, work="w").open("1")
        stack.callback(journal.close)
        return list(restore_on_ray(build("nafnet"), jobs, Settings(), journal=journal, claims=claims, place=place))
