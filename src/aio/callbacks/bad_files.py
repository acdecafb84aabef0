"""Damaged images met in training: named, counted over all ranks, and too many of them stop it."""

from __future__ import annotations

from typing import Any, Final, cast

import lightning as L
import torch.distributed as dist
from lightning.pytorch.utilities.types import STEP_OUTPUT
from rich.console import Console

from aio.data.datamodule import RestorationData
from aio.errors import InputError

_MOST: Final = 0.01  # of the samples, and of the files
_FEWEST_SAMPLES: Final = 1000  # before which a share of them says little
_EXCHANGE_EVERY: Final = 50  # batches; ranks tell each other of their files by messages
_SHOWN: Final = 10


class BadFiles(L.Callback):
    """Reads the batches' `bad` entries, in which the loader names what it could not read and replaced.

    Prints each file once, logs `data/bad_files`, their number, from the first one on. A resumed training goes on
    counting.
    """

    def __init__(self) -> None:
        self.samples, self.replaced = 0, 0
        self.files: dict[str, None] = {}
        self._seen: list[str] = []
        self._since = 0
        self._all_files = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data = cast(RestorationData, trainer.datamodule)  # type: ignore[attr-defined]
        groups = (group for source in data.sources("train") for group in source.files())
        self._all_files = len({path for group in groups for path in group})

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        self._since += len(batch["bad"])
        self._seen += [entry for entry in batch["bad"] if entry]
        if trainer.world_size == 1 or (batch_idx + 1) % _EXCHANGE_EVERY == 0:
            self._settle()
        if self.files:
            pl_module.log("data/bad_files", float(len(self.files)), batch_size=1)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._settle()

    def state_dict(self) -> dict[str, Any]:
        return {"samples": self.samples, "replaced": self.replaced, "files": list(self.files)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.samples, self.replaced = state_dict["samples"], state_dict["replaced"]
        self.files = dict.fromkeys(state_dict["files"])

    def _settle(self) -> None:
        """Adds up what all ranks saw since the last time, so that all of them stop at once if any does.

        Raises:
            InputError: too many samples or files are damaged; names the first ten.
        """
        seen = [(self._since, self._seen)]
        if dist.is_available() and dist.is_initialized():
            seen = [(0, [])] * dist.get_world_size()
            dist.all_gather_object(seen, (self._since, self._seen))
        self._since, self._seen = 0, []
        for samples, entries in seen:
            self.samples += samples
            self.replaced += len(entries)
            for file in (file for entry in entries for file in entry.split("\0")):
                self._name(file)
        self._stop_if_too_many()

    def _name(self, file: str) -> None:
        if file not in self.files:
            self.files[file] = None
            if not dist.is_available() or not dist.is_initialized() or dist.get_rank() == 0:
                Console(soft_wrap=True).print(
                    f"cannot be decoded, replaced: {file} ({len(self.files)} so far)", markup=False
                )

    def _stop_if_too_many(self) -> None:
        of_samples = self.samples >= _FEWEST_SAMPLES and self.replaced > _MOST * self.samples
        if of_samples or len(self.files) > _MOST * self._all_files:
            listed = "\n".join(list(self.files)[:_SHOWN])
            raise InputError(
                f"{len(self.files)} of {self._all_files} training files cannot be decoded, and {self.replaced} of "
                f"{self.samples} samples were replaced: expected at most 1 % of either; the first are\n{listed}"
            )
