"""What other processes are at is left to them, and looked at again until they are done with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from aio.inference.jobs.job import Job, Outcome

_PATIENCE: Final = 0.2  # seconds until we look again, where all of them are another's


def until_done(jobs: Sequence[Job], attempt: Callable[[Sequence[Job]], Iterator[Outcome]]) -> Iterator[Outcome]:
    """The outcome of every job: `attempt` is given all, then those that it found busy, and so on."""
    waiting = list(jobs)
    while waiting:
        busy = []
        for outcome in attempt(waiting):
            if outcome.status == "busy":
                busy.append(outcome.job)
            else:
                yield outcome
        if len(busy) == len(waiting):
            time.sleep(_PATIENCE)
        waiting = busy
