"""The final table per degradation: in the terminal, and as `scores.md` and `scores.csv` in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import lightning as L
from rich.console import Console

from aio.files import write_text
from aio.tables import score_table
from aio.task import RestorationTask


class Report(L.Callback):
    """Writes the table after each validation, and prints it when the fit ends."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        scores = cast(RestorationTask, pl_module).scores
        if trainer.sanity_checking or not trainer.is_global_zero or not len(scores):
            return
        folder = Path(trainer.default_root_dir)
        write_text(folder / "scores.md", scores.to_markdown())
        write_text(folder / "scores.csv", scores.to_csv())

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        scores = cast(RestorationTask, pl_module).scores
        if trainer.is_global_zero and len(scores):
            Console().print(score_table(scores, title=f"validation after {trainer.current_epoch} epochs"))
