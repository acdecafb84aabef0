"""How well training samples are restored, per degradation: sums on the net's device, read out now and then."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from aio.metrics.image import psnr

_HIGHEST: Final = 100.0  # dB; a sample restored without any error has infinitely many


class TaskMeans(NamedTuple):
    """Of the samples of one degradation: their number, mean absolute error, and mean PSNR in dB."""

    samples: int
    l1: float
    psnr: float


class TaskErrors:
    """Sums over training samples, by task id. Adding costs no transfer to the host; non-finite samples are left out.

    Args:
        tasks: how many ids there are.
    """

    def __init__(self, tasks: int) -> None:
        self.sums = torch.zeros(3, tasks)

    @torch.no_grad()
    def add(self, restored: Tensor, clean: Tensor, task: Tensor) -> None:
        """Adds images `(B, C, H, W)` in [0, 1], the restored ones not clamped, of the ids `task (B,)`."""
        restored, clean = restored.float(), clean.float()
        l1 = (restored - clean).abs().mean(dim=(1, 2, 3))
        errors = torch.stack([torch.ones_like(l1), l1, psnr(restored, clean).clamp(max=_HIGHEST)])
        if self.sums.device != errors.device:
            self.sums = self.sums.to(errors.device)
        self.sums.index_add_(1, task, torch.where(errors.isfinite().all(dim=0), errors, 0.0))

    def gather(self) -> None:
        """Brings the sums of all ranks together on rank 0, in as many bytes whatever each has seen; a collective."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.sums)
            if dist.get_rank():
                self.sums.zero_()

    def read(self) -> dict[int, TaskMeans]:
        """The means over all ranks of what was added since the last time, by task id; a collective."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.sums)
        sums = self.sums.tolist()
        self.sums.zero_()
        return {
            task: TaskMeans(int(samples), l1 / samples, decibels / samples)
            for task, (samples, l1, decibels) in enumerate(zip(*sums, strict=True))
            if samples
        }
