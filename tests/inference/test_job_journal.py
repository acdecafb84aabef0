"""What is kept of a job: only what is there as it was written, of the same photograph, model and settings."""

from __future__ import annotations

import os

import pytest

from aio.inference.jobs import journal as module
from aio.inference.jobs.job import Job
from aio.inference.jobs.journal import Journal, file_digest, stamp_of


@pytest.fixture
def job(tmp_path):
    (tmp_path / "source").write_bytes(b"photograph")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "target").write_bytes(b"restoration")
    return Job(tmp_path / "source", tmp_path / "out" / "target")


@pytest.fixture
def start(tmp_path):
    journals = []
    (tmp_path / "out" / ".aio").mkdir(parents=True, exist_ok=True)

    def begin(name="", *, work="model and settings"):
        out = tmp_path / "out"
        journals.append(Journal(out / ".aio", out, work=work).open(name))
        return journals[-1]

    yield begin
    for each in journals:
        each.close()


def note(journal, job):
    digest = file_digest(job.source)
    journal.add(job, digest, stamp_of(job.source))
    return digest


def test_what_was_noted_is_known_to_who_comes_later(job, start):
    digest = note(start(), job)
    again = start("-2")
    assert again.has(job, digest)
    assert not again.has(job, "another photograph")
    assert not start("-3", work="another model").has(job, digest)


def test_a_target_that_was_changed_or_lost_does_not_count(job, start):
    journal = start()
    digest = note(journal, job)
    job.target.write_bytes(b"RESTORATION")
    assert not journal.has(job, digest)
    job.target.write_bytes(b"restoration")  # touched only
    os.utime(job.target, ns=(1, 1))
    assert journal.has(job, digest)
    job.target.unlink()
    assert not journal.has(job, digest)


def test_an_unchanged_photograph_is_not_read_again(job, start, monkeypatch):
    os.utime(job.source, ns=(10**18, 10**18))
    digest = note(start(), job)
    again = start("-2")
    monkeypatch.setattr(module, "file_digest", lambda path: pytest.fail(f"{path} was read"))
    assert again.digest_of(job.source) == digest
    assert again.has(job, digest)


def test_a_photograph_that_may_have_changed_is_read_again(job, start):
    journal = start()
    note(journal, job)  # a moment after it was written: a coarse clock would not show another change
    assert journal.digest_of(job.source) is None
    os.utime(job.source, ns=(10**18, 10**18))
    note(journal, job)
    assert journal.digest_of(job.source) is not None
    for content, time in ((b"photograph", 10**18 + 1), (b"longer than it was", 10**18)):
        job.source.write_bytes(content)
        os.utime(job.source, ns=(time, time))
        assert journal.digest_of(job.source) is None


def test_half_a_line_is_survived(job, start, tmp_path):
    first = start()
    digest = note(first, job)
    first.close()
    path = tmp_path / "out" / ".aio" / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    again = start()
    assert again.has(job, digest)
    other = Job(job.source, job.target.with_name("other"))
    other.target.write_bytes(b"other")
    again.add(other, digest, stamp_of(job.source))
    assert start("-2").has(other, digest)


def test_a_line_that_is_being_written_is_read_when_it_is_whole(job, start, tmp_path):
    writer, reader = start("-1"), start("-2")
    digest = note(writer, job)
    path = tmp_path / "out" / ".aio" / "journal-1.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    reader.refresh()
    assert not reader.has(job, digest)
    path.write_bytes(whole)
    reader.refresh()
    assert reader.has(job, digest)


def test_names_are_known_before_they_are_written(start):
    start("-1").plan(["a", "sub/b"])
    assert set(start("-2").planned) == {"a", "sub/b"}


def test_names_of_bytes_that_are_no_text(start, tmp_path):
    name = os.fsdecode(b"\xff\n.png")
    start("-1").plan([name])
    assert set(start("-2").planned) == {name}
