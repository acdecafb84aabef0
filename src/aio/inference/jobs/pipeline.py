"""Reading, working and writing side by side: threads read ahead and write behind, as far as memory may be used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, TypeVar

from aio.inference.jobs.job import Outcome

THREADS: Final = 2  # that read, and as many that write
AHEAD: Final = 8  # items that are read or being read, beside the one that is worked on
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


class Room:
    """So many bytes for all that is between reading and written; who asks first gets them first.

    What is larger than all of it gets all of it, and is then alone.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._closed = False

    def take(self, needed: int) -> int:
        """Waits until there is room; returns what is to be given back.

        Raises:
            ClosedError: nobody may enter any more.
        """
        taken = min(needed, self._size)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._closed or self._free >= taken)
            if self._closed:
                raise ClosedError
            self._free -= taken
        return taken

    def give_back(self, taken: int) -> None:
        """Lets others in."""
        with self._changed:
            self._free += taken
            self._changed.notify_all()

    def close(self) -> None:
        """Sends all away who wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class ClosedError(Exception):
    """The work was stopped."""


def overlapped(
    items: Iterable[Item],
    *,
    read: Callable[[Item], Loaded | Outcome],
    work: Callable[[Loaded], Loaded | Outcome],
    write: Callable[[Loaded], Outcome],
    stop: Callable[[], None],
) -> Iterator[Outcome]:
    """The outcome of `write(work(read(item)))` for every item, as they come.

    `read` and `write` run in threads, `work` where the outcomes are asked for. Where one of them answers with an
    outcome, that is it. What any of them raises ends all, when `write` has done with what it has begun.

    Args:
        stop: called in the end; must let go whoever waits in `read`.
    """
    waiting = iter(items)
    events: SimpleQueue[tuple[bool, Future[Loaded | Outcome]]] = SimpleQueue()

    def submit(pool: ThreadPoolExecutor, was_read: bool, call: Callable, item: object) -> None:
        pool.submit(call, item).add_done_callback(lambda future: events.put((was_read, future)))

    def begin() -> int:
        for item in waiting:
            submit(readers, True, read, item)
            return 1
        return 0

    with ThreadPoolExecutor(THREADS) as writers, ThreadPoolExecutor(THREADS) as readers:
        try:
            running = sum(begin() for _ in range(AHEAD))
            while running:
                was_read, future = events.get()
                result = future.result()
                if was_read:
                    running += begin()
                    result = result if isinstance(result, Outcome) else work(result)
                if isinstance(result, Outcome):
                    running -= 1
                    yield result
                else:
                    submit(writers, False, write, result)
        finally:
            stop()
            readers.shutdown(cancel_futures=True)
