"""SIGTERM, SIGUSR1 and SIGINT in a training: the step ends, all ranks agree, `last.ckpt` is written, the job ends.

In the place of Lightning's own handlers (2.6): there a signal to one rank alone waits for rank 0 for ever, no
checkpoint need be written, and the exit code is 0. `LastCheckpoint` asks `Signals.agreed` between steps.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import lightning as L
import torch
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from aio.callbacks.launchers import is_child_of_lightning
from aio.callbacks.slurm import requeue

_HELD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stopped(SystemExit):
    """A signal ended the training after a step; `checkpoint` holds all of it. The exit code is 128 + `signum`.

    Ranks which Lightning started end with 0: another code would have it kill rank 0.
    """

    def __init__(self, signum: int, trainer: L.Trainer, checkpoint: Path) -> None:
        super().__init__(0 if is_child_of_lightning(trainer) else 128 + signum)
        self.signum, self.step, self.checkpoint = signum, trainer.global_step, checkpoint


class Signals:
    """Holds signals back until a step has ended.

    Args:
        patience: seconds from the first signal until the process ends anyway, as when another rank hangs.
    """

    def __init__(self, *, patience: float = 120.0) -> None:
        self.patience = patience
        self.seen = 0
        self._agreed = 0
        self._over = threading.Event()
        self._process = os.getpid()

    @contextmanager
    def held(self, trainer: L.Trainer) -> Iterator[None]:
        """Signals that come within the block end it with `Stopped`, which says how to go on; SIGUSR1 requeues."""
        trainer._signal_connector = _Unhandled(trainer)
        before = {signum: signal.signal(signum, self._take) for signum in _HELD}
        try:
            yield
        except Stopped as stopped:
            if trainer.is_global_zero:
                _say(_how_to_go_on(stopped))
                if stopped.signum == signal.SIGUSR1:
                    requeue(_say)
            raise
        finally:
            self._over.set()
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def agreed(self, trainer: L.Trainer) -> int:
        """The signal which any rank has seen, or 0. Every rank calls it at the same place, and is told the same."""
        if trainer.world_size == 1:
            return self.seen
        if not self._agreed:
            seen = torch.tensor(self.seen, device=trainer.strategy.root_device)
            self._agreed = int(trainer.strategy.reduce(seen, reduce_op="max"))
        return self._agreed

    def _take(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a process of the loader, forked with this handler: its parent ends it
            return
        if self.seen == signum == signal.SIGINT:
            _say("interrupted again: ends at once")
            os._exit(128 + signum)
        if not self.seen:
            _say(f"{signal.Signals(signum).name}: ends after this step")
            threading.Thread(target=self._end_late, args=(signum,), daemon=True).start()
        self.seen = max(self.seen, signum)

    def _end_late(self, signum: int) -> None:
        if self._over.wait(self.patience):
            return
        _say(f"no step has ended for {self.patience:g} s: ends without a checkpoint of this moment")
        os._exit(128 + signum)


class _Unhandled(_SignalConnector):
    """Leaves all signals to `Signals`."""

    def register_signal_handlers(self) -> None:
        pass

    def teardown(self) -> None:
        pass


def _how_to_go_on(stopped: Stopped) -> str:
    folder = stopped.checkpoint.parent
    return (
        f"{signal.Signals(stopped.signum).name}: stopped after step {stopped.step}, which {stopped.checkpoint} holds; "
        f"go on by\n  aio fit --config {folder / 'config.yaml'} --ckpt_dir {folder} --resume_from last"
    )


def _say(text: str) -> None:
    """To the terminal past Python's buffer, which the interrupted thread may be writing to."""
    os.write(2, f"\n{text}\n".encode())
