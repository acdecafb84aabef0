"""Ranks end with the process that started them, in the place of waiting for it or training on alone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import lightning as L
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

_LOOK_EVERY: Final = 1.0  # seconds


def is_child_of_lightning(trainer: L.Trainer) -> bool:
    """Whether rank 0 started this one, as with `--devices 2` and no launcher."""
    environment = trainer._accelerator_connector.cluster_environment
    return isinstance(environment, LightningEnvironment) and environment.local_rank() > 0


@contextmanager
def ends_with_launcher(trainer: L.Trainer) -> Iterator[None]:
    """Within the block this process exits with 1 a second after rank 0, or torchrun, which started it, is gone.

    A communication need not notice: NCCL waits for a dead rank until its timeout. An error in rank 0 ends the ranks
    which Lightning started with it, also those that hang.
    """
    elastic = isinstance(trainer._accelerator_connector.cluster_environment, TorchElasticEnvironment)
    ended = threading.Event()
    if elastic or is_child_of_lightning(trainer):
        threading.Thread(target=_watch, args=(os.getppid(), ended), daemon=True).start()
    try:
        yield
    except Exception:
        if isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
            trainer.strategy.launcher.kill(signal.SIGKILL)
        raise
    finally:
        ended.set()


def _watch(parent: int, ended: threading.Event) -> None:
    while not ended.wait(_LOOK_EVERY):
        if os.getppid() != parent:
            os.write(2, f"\nprocess {parent}, which started this rank, is gone: ends\n".encode())
            os._exit(1)
