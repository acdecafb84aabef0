"""Mixup of training batches, as Restormer's denoising has it.

Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018; Zamir et al., Restormer, CVPR 2022.
"""

from __future__ import annotations

from typing import Any, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor

from aio.data.datamodule import RestorationData
from aio.data.seeding import seeded
from aio.errors import InputError
from aio.task import RestorationTask


class Mixup(L.Callback):
    """Every other batch on average, by chance, becomes `m x + (1 - m) x[p]`, degraded and clean images alike.

    `m ~ Beta(alpha, alpha)` and the permutation `p` are drawn once for the batch of each device. All is decided by the
    data's seed, epoch, batch and device, so that a resumed training equals an uninterrupted one. A batch of one image
    stays as it is.

    Args:
        alpha: of the Beta distribution; 0 mixes nothing. Restormer's is 1.2, for noise alone.
    """

    def __init__(self, *, alpha: float = 0.0) -> None:
        if not 0 <= alpha < float("inf"):
            raise InputError(f"mixup.alpha {alpha}: expected a number of at least 0")
        self.alpha = alpha

    def check(self, task: RestorationTask) -> None:
        """Raises InputError where a mixed image would contradict what else the net is given of it."""
        if not self.alpha:
            return
        if task.net.wants_second_view:
            raise InputError(f"mixup.alpha {self.alpha}: {type(task.net).__name__} compares two crops of one image")
        if task.tell_task:
            raise InputError(f"mixup.alpha {self.alpha}: a mixed image has no single degradation to tell the net")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: dict[str, Any], batch_idx: int
    ) -> None:
        seed = cast(RestorationData, trainer.datamodule).seed  # type: ignore[attr-defined]
        drawn = seeded(seed, trainer.current_epoch, batch_idx, trainer.global_rank).initial_seed()
        batch.update(mixed(batch["degraded"], batch["clean"], self.alpha, np.random.default_rng(drawn)))


def mixed(degraded: Tensor, clean: Tensor, alpha: float, generator: np.random.Generator) -> dict[str, Tensor]:
    """Both `(B, C, H, W)`, mixed within the batch by an even chance, else as they are."""
    if generator.random() < 0.5:
        return {"degraded": degraded, "clean": clean}
    share = generator.beta(alpha, alpha)
    order = torch.from_numpy(generator.permutation(len(clean))).to(clean.device)
    return {"degraded": torch.lerp(degraded[order], degraded, share), "clean": torch.lerp(clean[order], clean, share)}
