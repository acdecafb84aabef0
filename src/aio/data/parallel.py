"""Work over many files in several processes, with a progress bar; they end with their parent, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Final, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from aio.errors import InputError

_CHUNK: Final = 4  # files handed to a process at once
Job = TypeVar("Job")
Answer = TypeVar("Answer")


class _Rate(ProgressColumn):
    """Files a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s", style="progress.data.speed")


def progress_bar() -> Progress:
    """A bar with count, rate and time left."""
    name = TextColumn("{task.description}")
    return Progress(name, BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())


def in_processes(
    work: Callable[[Job], Answer],
    jobs: Sequence[Job],
    *,
    processes: int,
    description: str,
    begin: Callable[..., None],
    args: Sequence[Any] = (),
) -> Iterator[Answer]:
    """`work` of each job, in the order of the jobs, with a progress bar.

    Every process calls `begin(*args)` first; both are functions of a module. What they raise ends the work.

    Raises:
        InputError: a process died.
    """
    context = multiprocessing.get_context("spawn")  # a fork beside threads may hang
    pool = ProcessPoolExecutor(min(processes, len(jobs) or 1), context, initializer=_begin, initargs=(begin, args))
    try:
        with progress_bar() as bar:
            yield from bar.track(pool.map(work, jobs, chunksize=_CHUNK), total=len(jobs), description=description)
    except BrokenProcessPool as error:
        message = f"a process died while {description}, for want of memory perhaps: start again to go on"
        raise InputError(f"--processes {processes}: {message}, with fewer processes") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[..., None], args: Sequence[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(*args)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
