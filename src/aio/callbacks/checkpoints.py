"""Checkpoints: `best.ckpt` by validation PSNR and `last.ckpt`, each whole or not there at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from aio.errors import InputError
from aio.files import atomic_write


class Checkpoints(ModelCheckpoint):
    """Keeps the best by `monitor` as `best.ckpt`; `last` is the callback that keeps the last.

    Args:
        monitor: validation score that decides, higher is better.
        every_n_epochs: epochs between two checkpoints.
    """

    def __init__(self, *, monitor: str = "val/psnr", every_n_epochs: int = 1) -> None:
        super().__init__(
            monitor=monitor,
            mode="max",
            filename="best",
            save_top_k=1,
            every_n_epochs=every_n_epochs,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def last(self) -> ModelCheckpoint:
        """Keeps `last.ckpt` beside `best.ckpt`; Lightning's `save_last` would write it only when a best one is."""
        return ModelCheckpoint(
            dirpath=self.dirpath,
            filename="last",
            every_n_epochs=self.every_n_epochs,
            enable_version_counter=False,
        )


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, replaced only by whole ones; read without executing code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        if storage_options is not None:
            raise InputError(f"{path}: storage options {storage_options!r} mean nothing to a local file")
        with atomic_write(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return super().load_checkpoint(path, map_location, weights_only=True)
