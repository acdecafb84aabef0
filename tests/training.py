"""What the tests of training share: a tiny net, batches, and a Trainer that writes nothing."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from aio.nets.restormer import Restormer
from aio.vocabulary import TASK_ID

TINY = {"dim": 8, "num_blocks": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "num_refinement_blocks": 1}


def tiny(seed: int = 0) -> Restormer:
    torch.manual_seed(seed)
    return Restormer(**TINY)


def batch_of(
    size: int, *, side: int = 16, seed: int = 0, tasks: tuple[str, ...] = ("derain", "dehaze")
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(size, 3, side, side, generator=generator)
    ids = [TASK_ID[tasks[i % len(tasks)]] for i in range(size)]
    names = [f"image{seed}_{i}" for i in range(size)]
    noise = 0.1 * torch.randn(clean.shape, generator=generator)
    return {"degraded": clean + noise, "clean": clean, "task": torch.tensor(ids), "name": names}


def loader(batches: list[dict[str, Any]]) -> DataLoader:
    return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


def trainer_for(**arguments: Any) -> L.Trainer:
    quiet = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "log_every_n_steps": 1}
    return L.Trainer(**{**quiet, **arguments})
