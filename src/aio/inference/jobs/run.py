"""All photographs of a job through one net, in this process: files are read and written while the net computes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch

from aio.images.opening import LARGEST
from aio.inference.compare import write_comparison
from aio.inference.jobs.claims import Claims
from aio.inference.jobs.job import Job, Outcome
from aio.inference.jobs.journal import Journal, Stamp, stamp_of
from aio.inference.jobs.one import (
    FAULTS,
    Opened,
    compute_one,
    count_pixels,
    open_one,
    read_source,
    reason_of,
    write_one,
)
from aio.inference.jobs.pipeline import Room, overlapped
from aio.inference.jobs.turns import until_done
from aio.inference.photos import STREAMED_FROM
from aio.inference.settings import Settings
from aio.nets.base import RestorationNet

ROOM: Final = 1 << 29  # bytes of photographs between reading and written
_READ, _RESTORED = 16, 20  # bytes a pixel: float32 with alpha, and what encodes it


def work_digest(net: RestorationNet, settings: Settings) -> str:
    """SHA-256 of all that decides what becomes of a photograph: the net, its weights and the decisive settings."""
    digest = hashlib.sha256(json.dumps([net.config, settings.decisive], sort_keys=True).encode())
    for key, value in sorted(net.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def restore_all(
    net: RestorationNet,
    jobs: Sequence[Job],
    settings: Settings,
    *,
    journal: Journal,
    claims: Claims,
    max_pixels: int = LARGEST,
    room: int = ROOM,
) -> Iterator[Outcome]:
    """Restores what the journal does not hold, and leaves to other processes what they are at until they are done.

    Args:
        room: bytes that photographs may take which are read, but not yet written.

    Raises:
        OSError: no photograph can be written: the disk is full, read-only or closed to this user.
    """

    def attempt(waiting: Sequence[Job]) -> Iterator[Outcome]:
        stages = _Stages(net, settings, journal, claims, max_pixels, Room(room))
        stop = stages.room.close
        return overlapped(waiting, read=stages.read, work=stages.compute, write=stages.write, stop=stop)

    return until_done(jobs, attempt)


@dataclass(frozen=True)
class _Loaded:
    opened: Opened
    begun: float
    seen: Stamp | None  # the source, from before it was read
    taken: int  # of the room


@dataclass(frozen=True)
class _Stages:
    net: RestorationNet
    settings: Settings
    journal: Journal
    claims: Claims
    max_pixels: int
    room: Room

    def read(self, job: Job) -> _Loaded | Outcome:
        begun = time.perf_counter()
        if not self.claims.take(self.journal.name_of(job)):
            return Outcome(job, "busy")
        try:
            result = self._kept(job, self.journal.digest_of(job.source), begun) or self._load(job, begun)
        except FAULTS as error:
            result = _failed(job, error, begun)
        if isinstance(result, Outcome):
            self.claims.release(self.journal.name_of(job))
        return result

    def _load(self, job: Job, begun: float) -> _Loaded | Outcome:
        seen, pixels = stamp_of(job.source), count_pixels(job.source, self.max_pixels)
        taken = self.room.take(self._weight(pixels, seen))
        try:
            digest, data = read_source(job.source)
            kept = self._kept(job, digest, begun)
            if kept is None:
                opened = open_one(job, digest, data, pixels=pixels, scale=self.net.scale, max_pixels=self.max_pixels)
                return _Loaded(opened, begun, seen, taken)
        except FAULTS:
            self.room.give_back(taken)
            raise
        self.room.give_back(taken)
        if self.journal.digest_of(job.source) is None:
            self.journal.add(job, digest, seen)  # next time its size and time will do
        return kept

    def _weight(self, pixels: int, seen: Stamp | None) -> int:
        if pixels >= STREAMED_FROM:
            return 1 << 62  # alone
        return pixels * (_READ + _RESTORED * self.net.scale**2) + (seen.size if seen else 0)

    def _kept(self, job: Job, digest: str | None, begun: float) -> Outcome | None:
        if digest is None or stamp_of(job.target) is None:
            return None
        if not self.journal.has(job, digest):
            self.journal.refresh()  # another process may have written it since
            if not self.journal.has(job, digest):
                return None
        if job.comparison is not None and not job.comparison.exists():
            write_comparison(job.source, job.target, job.comparison)
        return Outcome(job, "kept", "", time.perf_counter() - begun, digest)

    def compute(self, loaded: _Loaded) -> _Loaded | Outcome:
        try:
            restored = compute_one(self.net, loaded.opened, self.settings, max_pixels=self.max_pixels)
        except FAULTS as error:
            return self._ended(loaded, _failed(loaded.opened.job, error, loaded.begun))
        return replace(loaded, opened=restored)

    def write(self, loaded: _Loaded) -> Outcome:
        job = loaded.opened.job
        try:
            write_one(loaded.opened)
        except FAULTS as error:
            return self._ended(loaded, _failed(job, error, loaded.begun))
        self.journal.add(job, loaded.opened.digest, loaded.seen)
        seconds = time.perf_counter() - loaded.begun
        return self._ended(loaded, Outcome(job, "restored", "", seconds, loaded.opened.digest))

    def _ended(self, loaded: _Loaded, outcome: Outcome) -> Outcome:
        self.room.give_back(loaded.taken)
        self.claims.release(self.journal.name_of(outcome.job))
        return outcome


def _failed(job: Job, error: Exception, begun: float) -> Outcome:
    return Outcome(job, "failed", reason_of(error, job), time.perf_counter() - begun)
