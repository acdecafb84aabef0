"""Patches for an agent: crops of the training photographs to learn from, all of the held-out ones to be measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from aio.data.datamodule import RestorationData
from aio.errors import InputError


class Patches(NamedTuple):
    """`degraded` and `clean (N, 3, side, side)` in [0, 1], and the ids of their degradations."""

    degraded: Tensor
    clean: Tensor
    tasks: list[int]


def training_patches(data: RestorationData, progress: Callable[[int], None] = lambda done: None) -> Patches:
    """An epoch of `data`, which has been set up: what a training would see."""
    degraded: list[Tensor] = []
    clean: list[Tensor] = []
    tasks: list[int] = []
    for batch in data.train_dataloader():
        degraded.append(batch["degraded"])
        clean.append(batch["clean"])
        tasks += batch["task"].tolist()
        progress(len(tasks))
    return Patches(torch.cat(degraded), torch.cat(clean), tasks)


def held_out_patches(data: RestorationData, side: int) -> Patches:
    """The validation photographs of `data` cut into patches, side by side; the rest of a photograph is left out.

    Raises:
        InputError: none of them is as large as one patch.
    """
    degraded: list[Tensor] = []
    clean: list[Tensor] = []
    tasks: list[int] = []
    for batch in data.val_dataloader():
        parts = cut(batch["degraded"][0], side)
        degraded.append(parts)
        clean.append(cut(batch["clean"][0], side))
        tasks += batch["task"].tolist() * len(parts)
    if not tasks:
        raise InputError(f"--patch_size {side}: no photograph to be measured on is as large")
    return Patches(torch.cat(degraded), torch.cat(clean), tasks)


def cut(image: Tensor, side: int) -> Tensor:
    """The patches that `image (C, H, W)` holds, row by row: `(n, C, side, side)`; none of a smaller image."""
    if min(image.shape[1:]) < side:
        return image.new_empty(0, image.shape[0], side, side)
    patches = image.unfold(1, side, side).unfold(2, side, side)
    return patches.permute(1, 2, 0, 3, 4).flatten(0, 1)
