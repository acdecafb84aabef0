"""`model.safetensors` beside `best.ckpt`: the weights to use, and which net they are of, in one file for others."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from aio.data.datamodule import RestorationData
from aio.errors import InputError
from aio.nets.base import count_parameters
from aio.nets.deployable import write_deployable
from aio.nets.folder import WEIGHTS as MODEL_FILE
from aio.task import RestorationTask
from aio.weights import UNSTATED, describe_net, open_net


class Deployable(Checkpoint):
    """Writes the file anew, whole or not at all, whenever `best.ckpt` has become another.

    It holds the weights of `best.ckpt`, that is their moving average where there is one, and nothing of the training's
    state. Its header says class and arguments of the net, its preset where it is one, the degradations, the licence,
    and how it was trained. A resumed training mends what a kill between both files may have left.

    As a `Checkpoint` it comes after the callbacks that write checkpoints.

    Args:
        licence: of the weights, as their users are to be told.
    """

    def __init__(self, *, licence: str = UNSTATED) -> None:
        self.licence = licence
        self._seen: tuple[int, int] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._seen = None
        self._follow(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._follow(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._follow(trainer)

    @rank_zero_only
    def _follow(self, trainer: L.Trainer) -> None:
        checkpoints = cast(ModelCheckpoint, trainer.checkpoint_callback)
        best = Path(checkpoints.best_model_path)
        if not best.is_file() or checkpoints.best_model_score is None:  # of another folder's best the score is unknown
            return
        state = best.stat()
        stamp = (state.st_mtime_ns, state.st_size)
        if stamp != self._seen:
            self._write(best, trainer)
            self._seen = stamp

    def _write(self, best: Path, trainer: L.Trainer) -> None:
        target = best.with_name(MODEL_FILE)
        with torch.random.fork_rng(devices=[]):  # the training's next draws must not depend on this
            net = open_net(best)
        tasks = cast(RestorationData, trainer.datamodule).tasks  # type: ignore[attr-defined]
        about = {**describe_net(net), "licence": self.licence, "parameters": f"{count_parameters(net)}"}
        try:
            write_deployable(net, target, tasks=tasks, about=about | _training(best, trainer))
        except OSError as error:
            raise InputError(
                f"{target}: not written ({error.strerror or error}); what was there before is whole"
            ) from error


def _training(best: Path, trainer: L.Trainer) -> dict[str, str]:
    """How the weights in `best` came to be, in words."""
    stored = torch.load(best, map_location="cpu", weights_only=True, mmap=True)  # reads no weights
    checkpoints = cast(ModelCheckpoint, trainer.checkpoint_callback)
    score = float(cast(Tensor, checkpoints.best_model_score))
    protocol = cast(RestorationTask, trainer.lightning_module).protocol.name
    return {
        "epoch": str(stored["epoch"]),
        "step": str(stored["global_step"]),
        "score": f"{checkpoints.monitor} {score:.4f} by protocol {protocol}",
        "weights": f"moving average, decay {stored['ema_decay']}" if "ema_decay" in stored else "as trained",
    }
