"""The loader of training batches: it starts late, so that it starts where a resumed training stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from aio.data.mixture import EpochSampler
from aio.data.on_device import collate
from aio.data.samples import TrainingSet


def outlast_signals(worker: int) -> None:
    """Keeps a loader's process at work while the training ends its step: signals often reach all processes at once.

    SIGTERM ends it when its parent sends it, as torch does.
    """
    for signum in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)
    if sys.platform == "linux":  # others do not tell who sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, daemon=True).start()


def _end_by_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


class TrainingLoader(DataLoader):
    """Batches of an epoch from the one that `batches_done` says, counted from 0, to the last.

    Nothing is read before the first batch is asked for. Lightning makes an iterator while it counts the steps of a
    training, before it knows the epoch and place at which to go on; worker processes would begin at once. Where to
    begin is what the trainer counts as done, so that batches which workers hold ready are none of it.

    Attributes:
        waited: seconds in which a batch was asked for and not there yet.
    """

    def __init__(
        self,
        dataset: TrainingSet,
        sampler: EpochSampler,
        *,
        num_workers: int,
        batches_done: Callable[[], int],
    ) -> None:
        super().__init__(
            dataset,
            batch_size=sampler.batch_size,
            sampler=sampler,
            collate_fn=collate if dataset.undegraded else None,
            num_workers=num_workers,
            worker_init_fn=outlast_signals,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each epoch would draw from the one that nets draw from
        )
        self.batches_done = batches_done
        self.waited = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator: runs from the first `next` on
        self.sampler.start = self.batches_done()  # type: ignore[attr-defined]
        batches = super().__iter__()
        while True:
            asked = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.waited += time.monotonic() - asked
            yield batch
