"""Adapts a trained net by LoRA: all of it stays frozen, one adapter per degradation trains and is saved alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, cast

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from aio.adapters import AdaptedNet, LoRA, add_adapters, save_adapters
from aio.errors import InputError
from aio.nets.base import RestorationNet, count_parameters
from aio.task import RestorationTask
from aio.vocabulary import Degradation
from aio.weights import open_net

ADAPTER_FILE: Final = "adapter.safetensors"


class Adapt(L.Callback):
    """Trains adapters in the place of the net that `fine_tune_from` names; leaves `adapter.safetensors` of the best.

    Args:
        rank: of the adapters; 0 trains the net itself.
        alpha: the product of an adapter counts `alpha / rank`; by default once.
    """

    def __init__(self, *, rank: int = 0, alpha: float | None = None) -> None:
        if rank < 0:
            raise InputError(f"--lora_rank {rank}: expected a whole number of at least 0")
        self.rank = rank
        self.lora = LoRA(rank=rank, alpha=float(rank) if alpha is None else alpha) if rank else None

    def wrap(self, task: RestorationTask, degradations: Sequence[Degradation]) -> None:
        """Gives the net of `task` an adapter for each of `degradations`, and tells it which is which.

        Adapters that its checkpoint brought for other degradations stay as they are; those for these go on training.

        Raises:
            InputError: such an adapter is of another rank or alpha; or there are adapters, and the rank is 0.
        """
        there = task.net.plan if isinstance(task.net, AdaptedNet) else {}
        if self.lora is None:
            if there:
                raise InputError(f"the checkpoint holds adapters for {', '.join(there)}: train more by --lora_rank R")
            return
        for name in degradations:
            if there.get(name, self.lora) != self.lora:
                raise InputError(f"the checkpoint's adapter for {name} is {there[name]}, but this fit's is {self.lora}")
        net = add_adapters(task.net, {name: self.lora for name in degradations if name not in there})
        net.train_only(degradations)
        task.net, task.tell_task = net, True
        plan = {str(name): asdict(lora) for name, lora in net.plan.items()}
        task.save_hyperparameters({"adapters": plan}, logger=False)

    @rank_zero_only
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        net = cast(RestorationTask, pl_module).net
        trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
        Console().print(f"adapters of rank {self.rank}: {trained:,} of {count_parameters(net):,} parameters train")

    @rank_zero_only
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        net = cast(AdaptedNet, _best(trainer) or cast(RestorationTask, pl_module).net)
        path = Path(trainer.default_root_dir) / ADAPTER_FILE
        save_adapters(net, path)
        Console().print(f"adapters for {', '.join(net.plan)}: {path.name}, {path.stat().st_size / 1024:,.0f} KiB")


def _best(trainer: L.Trainer) -> RestorationNet | None:
    """The net of `best.ckpt`, where there is one."""
    checkpoints = trainer.checkpoint_callback
    path = checkpoints.best_model_path if isinstance(checkpoints, ModelCheckpoint) else ""
    return open_net(path) if path and Path(path).is_file() else None
