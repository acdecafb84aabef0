"""A training that a signal meets at a known place: `python failing.py '{"step": 3, "name": "SIGTERM"}' WORDS ...`.

Launchers start this file again for other ranks. Tests within one process use `Fault` alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L

from aio.cli import AioCLI
from aio.commands import run


class Fault(L.Callback):
    """Sends itself the signal `name`, `times` over, as batch `step` of training or of a later validation begins.

    Args:
        step: optimiser steps done by then.
        name: of the signal.
        ranks: which send it, each to itself.
        validation: whether it comes in the validation after that step.
        times: how often.
        note: a file that appears when it comes.
        once: whether it stays away where that file is there already.
    """

    def __init__(
        self,
        *,
        step: int,
        name: str,
        ranks: tuple[int, ...] = (0,),
        validation: bool = False,
        times: int = 1,
        note: str | None = None,
        once: bool = False,
    ) -> None:
        self.step, self.name, self.ranks, self.validation = step, name, ranks, validation
        self.times, self.note, self.once = times, note, once

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if not self.validation and trainer.global_step == self.step:
            self._strike(trainer)

    def on_validation_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if self.validation and trainer.global_step == self.step and not trainer.sanity_checking:
            self._strike(trainer)

    def _strike(self, trainer: L.Trainer) -> None:
        note = Path(self.note) if self.note else None
        if trainer.global_rank not in self.ranks or (self.once and note and note.exists()):
            return
        if note:
            note.touch()
        for _ in range(self.times):
            os.kill(os.getpid(), getattr(signal, self.name))


def start(fault: dict[str, Any], *words: str, launcher: tuple[str, ...] = (), **arguments: Any) -> subprocess.Popen:
    """This file as a process group of its own, its output in pipes."""
    command = [sys.executable, *launcher, str(Path(__file__)), json.dumps(fault), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **{**pipes, **arguments})


def finish(*started: subprocess.Popen, timeout: float = 300) -> list[tuple[int, str]]:
    """Exit code and messages of each; whatever still runs, ranks among it, is killed."""
    try:
        return [(process.returncode, said) for process in started for said in [process.communicate(timeout=timeout)[1]]]
    finally:
        kill(*started)


def kill(*started: subprocess.Popen) -> None:
    """Ends what still runs of their process groups, and closes their pipes."""
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def main(argv: list[str]) -> None:
    cli = AioCLI(argv[1:])
    cli.trainer.callbacks.insert(0, Fault(**json.loads(argv[0])))
    cli.fit()


if __name__ == "__main__":
    run(main)
