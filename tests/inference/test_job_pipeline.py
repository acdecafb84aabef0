"""Stages side by side: every item once, no more in flight than there is room for, and an end when told to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aio.inference.jobs.job import Job, Outcome
from aio.inference.jobs.pipeline import ClosedError, Room, overlapped


def outcome(number):
    return Outcome(Job(Path(str(number)), Path(str(number))), "restored")


def run(items, *, read=lambda n: n, work=lambda n: n, write=outcome, stop=lambda: None):
    return overlapped(items, read=read, work=work, write=write, stop=stop)


def test_every_item_goes_through_all_stages_once():
    results = run(range(50), read=lambda n: n * 2, work=lambda n: n + 1, write=lambda n: outcome(n * 3))
    assert sorted(int(str(each.job.source)) for each in results) == [(2 * n + 1) * 3 for n in range(50)]
    assert list(run([])) == []


@pytest.mark.parametrize("stage", ["read", "work"])
def test_an_outcome_needs_no_further_stage(stage):
    written = []
    early = {stage: lambda n: outcome(n) if n % 2 else n}
    results = list(run(range(20), **early, write=lambda n: written.append(n) or outcome(n)))
    assert len(results) == 20
    assert sorted(written) == list(range(0, 20, 2))


@pytest.mark.parametrize("stage", ["read", "work", "write"])
def test_what_a_stage_raises_ends_all(stage):
    def fail(number):
        if number == 7:
            raise OSError("disk full")
        return outcome(number) if stage == "write" else number

    stopped = threading.Event()
    with pytest.raises(OSError, match="disk full"):
        list(run(range(1000), **{stage: fail}, stop=stopped.set))
    assert stopped.is_set()


def test_reading_goes_on_while_the_net_works_and_not_without_bounds():
    read = []
    two = threading.Event()

    def reading(number):
        read.append(number)
        if len(read) == 3:
            two.set()
        return number

    results = run(range(1000), read=reading, work=lambda n: (two.wait(10), n)[1])
    next(results)
    assert two.is_set()
    assert len(read) < 100
    results.close()


def test_no_more_is_in_flight_than_there_is_room_for():
    room, lock = Room(10), threading.Lock()
    held, most = 0, 0

    def read(number):
        nonlocal held, most
        taken = room.take(number)
        with lock:
            held += taken
            most = max(most, held)
        return taken

    def write(taken):
        nonlocal held
        with lock:
            held -= taken
        room.give_back(taken)
        return outcome(taken)

    sizes = [3, 4, 11, 2, 10, 5, 99, 1] * 10
    assert len(list(run(sizes, read=read, write=write, stop=room.close))) == 80
    assert most <= 10
    assert held == 0


def test_who_waits_for_room_is_sent_away_in_the_end():
    room = Room(1)
    room.take(1)
    results = run([1], read=room.take, stop=room.close)
    threading.Timer(0, room.close).start()
    with pytest.raises(ClosedError):
        next(results)
