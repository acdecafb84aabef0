"""`metrics.csv` in the run folder itself; a resumed run appends to it, after what the checkpoint knew of."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from aio.files import write_text


class MetricsCSV(CSVLogger):
    """Lightning's CSV logger, which would otherwise number its folders and delete what an earlier run wrote.

    Args:
        folder: of the run.
        resumed_at: optimiser steps of the checkpoint that a run goes on from; what was logged later is taken out, as
            these steps are done again.
    """

    def __init__(self, folder: str | Path, *, resumed_at: int | None = None) -> None:
        super().__init__(save_dir=folder, name="", version="", flush_logs_every_n_steps=50)
        self.resumed_at = resumed_at

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if not isinstance(self._experiment, _AppendingWriter):
            self._experiment = _AppendingWriter(self.log_dir)
            if self.resumed_at is not None:
                self._experiment.forget_from(self.resumed_at)
        return self._experiment


class _AppendingWriter(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def forget_from(self, step: int) -> None:
        """Takes out the rows of `step` and later ones, and one that a kill cut short."""
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        kept = [row for row in rows if None not in row.values() and int(row["step"]) < step]
        if len(kept) < len(rows):
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(kept)
            write_text(path, text.getvalue())
