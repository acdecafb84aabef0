"""All photographs of a job on the machines of a Ray cluster, by Ray Data: the local engine's files, journal and claims.

The driver says what is to be done and keeps the journal; every worker holds the net, and reads and writes photographs
itself, so that all machines have to share the file system.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from aio.errors import InputError
from aio.images.opening import LARGEST
from aio.inference.jobs.claims import Claims
from aio.inference.jobs.job import Job, Outcome
from aio.inference.jobs.journal import Journal, Stamp, stamp_of
from aio.inference.jobs.one import FAULTS, read_source, reason_of, restore_one
from aio.inference.jobs.turns import until_done
from aio.inference.settings import Settings
from aio.nets.base import RestorationNet

_PORTION: Final = 2000  # photographs handed to the cluster at once, each a task of its own ...
_EACH: Final = 64  # ... and as many for a worker, where there are many
_RESTARTS: Final = 3  # of a worker's process over a portion, which every death takes one of
_RETRIES: Final = 1  # of a photograph whose worker died
_STORE: Final = 2**28  # bytes of Ray's shared memory beside the net: photographs do not go through it
Place = Callable[[RestorationNet], RestorationNet]


@contextmanager
def cluster(net: RestorationNet, address: str | None) -> Iterator[None]:
    """A connection to the cluster at `address`; None starts one on this machine, which ends with the block.

    Raises:
        InputError: there is no cluster at `address`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray tells its makers of every start
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # or it writes across the progress bar
    import ray

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _without_warnings():
            if address is None:
                weights = sum(value.nbytes for value in net.state_dict().values())
                ray.init(
                    "local",
                    num_cpus=max(2, _cpus()),
                    object_store_memory=_STORE + 4 * weights,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _system_config={"worker_niceness": 0},  # as if this process did it; 15 starves beside other work
                )
            else:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"--ray_address {address}: no cluster there, or it asks for a token, which Ray takes from RAY_AUTH_MODE "
            f"and RAY_AUTH_TOKEN ({str(error).partition(chr(10))[0]})"
        ) from error
    for number, handler in handlers.items():
        signal.signal(number, handler)  # Ray takes SIGTERM for itself
    try:
        yield
    finally:
        ray.shutdown()


def restore_on_ray(
    net: RestorationNet,
    jobs: Sequence[Job],
    settings: Settings,
    *,
    journal: Journal,
    claims: Claims,
    place: Place,
    max_pixels: int = LARGEST,
    address: str | None = None,
) -> Iterator[Outcome]:
    """Restores what the journal does not hold; outcomes come as they are ready.

    A photograph whose worker dies is tried once more, then it counts as failed.

    Args:
        net: in eval mode, on the CPU.
        place: moves the net to the device of a worker, whose process calls it once.
        address: of the cluster, as `ray.init` takes it; None for one on this machine.

    Raises:
        InputError: there is no such cluster, or it does not share the file system.
        OSError: no photograph can be written: the disk is full, read-only or closed to this user.
    """
    with cluster(net, address):
        pool = _Pool.on(net, settings, place, max_pixels)

        def attempt(waiting: Sequence[Job]) -> Iterator[Outcome]:
            for start in range(0, len(waiting), pool.portion):
                yield from _portion(pool, waiting[start : start + pool.portion], journal, claims)

        yield from until_done(jobs, attempt)


def _portion(pool: _Pool, jobs: Sequence[Job], journal: Journal, claims: Claims) -> Iterator[Outcome]:
    """What becomes of `jobs`; each is claimed until then."""
    journal.refresh()
    todo: dict[int, tuple[Job, Stamp | None]] = {}
    try:
        for number, job in enumerate(jobs):
            if not claims.take(journal.name_of(job)):
                yield Outcome(job, "busy")
            elif (kept := _kept(job, journal)) is not None:
                claims.release(journal.name_of(job))
                yield kept
            else:
                todo[number] = job, stamp_of(job.source)
        for number, outcome in pool.outcomes({number: job for number, (job, _) in todo.items()}):
            job, seen = todo.pop(number)
            if outcome.status == "restored":
                if stamp_of(job.target) is None:
                    raise InputError(f"{job.target}: a worker wrote it, but it is not here: -o must be shared by all")
                journal.add(job, outcome.digest, seen)
            claims.release(journal.name_of(job))
            yield outcome
    finally:
        for job, _ in todo.values():
            claims.release(journal.name_of(job))


def _kept(job: Job, journal: Journal) -> Outcome | None:
    """Where an earlier run has restored `job`, or its photograph cannot even be read, what became of it."""
    if stamp_of(job.target) is None or (job.comparison is not None and not job.comparison.exists()):
        return None
    begun = time.perf_counter()
    try:
        seen = stamp_of(job.source)
        known = journal.digest_of(job.source)
        digest = known or read_source(job.source)[0]
    except FAULTS as error:
        return Outcome(job, "failed", reason_of(error, job), time.perf_counter() - begun)
    if not journal.has(job, digest):
        return None
    if known is None:
        journal.add(job, digest, seen)  # next time its size and time will do
    return Outcome(job, "kept", "", time.perf_counter() - begun, digest)


@dataclass(frozen=True)
class _Pool:
    """Workers of the cluster: how many, what each takes, and what it is told once.

    Attributes:
        told: arguments of `_Worker`.
        takes: of the machine's resources, by Ray's names.
    """

    told: tuple[Any, ...]
    size: int
    takes: dict[str, Any]

    @classmethod
    def on(cls, net: RestorationNet, settings: Settings, place: Place, max_pixels: int) -> _Pool:
        """One worker for each GPU, or else for each CPU but one, which Ray's own tasks need."""
        import ray

        there = ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
        told = (net, settings, place, max_pixels)
        if gpus:
            return cls(told, gpus, {"num_cpus": min(1.0, (cpus - 1) / gpus), "num_gpus": 1.0})
        return cls(told, max(1, cpus - 1), {"num_cpus": 1.0 if cpus > 1 else 0.5})

    @property
    def portion(self) -> int:
        return max(_PORTION, _EACH * self.size)

    def outcomes(self, jobs: dict[int, Job]) -> Iterator[tuple[int, Outcome]]:
        """By the numbers of the jobs, as they come; also of those whose worker died."""
        if not jobs:
            return
        left = dict(jobs)
        for row in self._rows(jobs):
            job = left.pop(row["number"])
            if row["errno"]:
                raise OSError(row["errno"], os.strerror(row["errno"]), str(job.target))
            yield row["number"], Outcome(job, row["status"], row["reason"], row["seconds"], row["digest"])
        for number, job in left.items():
            yield number, Outcome(job, "failed", "the process that restored it died, for want of memory perhaps")

    def _rows(self, jobs: dict[int, Job]) -> Iterator[dict[str, Any]]:
        import ray
        from ray.data import ActorPoolStrategy, DataContext

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # here is a bar already
        with _without_warnings():
            context = DataContext.get_current()
            context.enable_progress_bars = context.print_on_execution_start = False
            context.max_errored_blocks = -1  # a task is a photograph
            rows = [_row(number, job) for number, job in jobs.items()]
            restored = ray.data.from_items(rows, override_num_blocks=len(jobs)).map(
                cast(Any, _Worker),  # Ray's stubs know functions alone
                fn_constructor_args=self.told,
                compute=ActorPoolStrategy(min_size=1, max_size=min(self.size, len(jobs))),
                max_restarts=_RESTARTS,
                max_task_retries=_RETRIES,
                **self.takes,
            )
            answers = iter(restored.iter_rows())
        yield from answers


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ray warns of what its next release will do, and of its own use of what is old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _row(number: int, job: Job) -> dict[str, Any]:
    """Names as bytes: not all are text."""
    source, target, comparison = (
        b"" if path is None else os.fsencode(path.absolute()) for path in (job.source, job.target, job.comparison)
    )
    return {"number": number, "source": source, "target": target, "comparison": comparison}


class _Worker:
    """One process of the cluster with the net."""

    def __init__(self, net: RestorationNet, settings: Settings, place: Place, max_pixels: int) -> None:
        self.net = place(net)
        self.settings, self.max_pixels = settings, max_pixels

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        source, target, comparison = (
            Path(os.fsdecode(row[name])) if row[name] else None for name in ("source", "target", "comparison")
        )
        assert source is not None
        assert target is not None
        answer = {"number": row["number"], "errno": 0, "status": "failed", "reason": "", "seconds": 0.0, "digest": ""}
        try:
            done = restore_one(self.net, Job(source, target, comparison), self.settings, max_pixels=self.max_pixels)
        except OSError as error:  # it would end the whole portion
            return answer | {"errno": error.errno or 5}
        return answer | {"status": done.status, "reason": done.reason, "seconds": done.seconds, "digest": done.digest}


def _cpus() -> int:
    return len(os.sched_getaffinity(0))
