"""The W&B logger: one run per folder, resumed as such; whatever happens to it, the training goes on.

Without a key, or where the server cannot be reached at the start, the run is kept offline (`wandb sync` uploads it).
A connection lost later is wandb's own matter: its service keeps all on the disk and tries again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lightning.fabric.loggers.logger import _DummyExperiment, rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_warn

from aio.files import write_text

_ID_FILE: Final = "wandb/aio_run_id"
_LAST_UPLOAD: Final = 300.0  # seconds that the end of a training waits for the server; wandb would wait for ever


class _NoRun(_DummyExperiment):
    """In the place of a run that failed: takes everything."""

    config = _DummyExperiment()


class WandbRun(WandbLogger):
    """Lightning's logger, which would end the training with wandb's first error.

    What is survived, with one warning, after which nothing more is logged: `wandb.Error` (no connection, refused key,
    wrong use); `OSError` (full disk, unwritable folder, wandb's service gone or not answering: connections and
    time-outs are of that kind); what wandb raises when its service refuses, or ends while it is asked.

    Args:
        project: its name at W&B.
        folder: of the run; what wandb writes lies in `wandb/`, and with it the run's id.
    """

    def __init__(self, *, project: str, folder: Path) -> None:
        super().__init__(project=project, save_dir=folder, name=folder.name)
        self.folder, self.lost = folder, False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None and not self.lost:
            with self._survived():
                self._start()
        return _NoRun() if self.lost else self._experiment

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        with self._survived():
            super().log_metrics(metrics, step)

    def log_hyperparams(self, params: Any) -> None:
        with self._survived():
            super().log_hyperparams(params)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        with self._survived():
            super().log_image(key, images, step, **kwargs)

    def _start(self) -> None:
        """Opens the run; offline, where it cannot be opened at the server."""
        import wandb

        settings = wandb.setup().settings
        self._wandb_init |= {"id": _run_id(self.folder), "mode": _mode(settings.mode)}
        if not settings.finish_timeout:
            self._wandb_init["settings"] = wandb.Settings(finish_timeout=_LAST_UPLOAD)
        try:
            _ = super().experiment
        except wandb.Error as error:
            if self._wandb_init["mode"] == "offline":
                raise
            rank_zero_warn(f"W&B cannot be reached, so this run is kept offline: {_first_line(error)}")
            wandb.teardown()  # its service would take the same id for a second run
            self._wandb_init["mode"] = "offline"
            _ = super().experiment

    @contextmanager
    def _survived(self) -> Iterator[None]:
        import wandb
        from wandb.sdk.mailbox.mailbox import MailboxClosedError
        from wandb.sdk.mailbox.mailbox_handle import HandleAbandonedError, ServerResponseError

        try:
            yield
        except (wandb.Error, OSError, MailboxClosedError, HandleAbandonedError, ServerResponseError) as error:
            if not self.lost:
                self.lost = True
                rank_zero_warn(
                    f"W&B failed, and the training goes on without it ({type(error).__name__}: {_first_line(error)}); "
                    "all numbers are in metrics.csv"
                )


def _mode(chosen: str) -> str:
    """What WANDB_MODE says; offline where there is no usable key."""
    import wandb

    if chosen != "online":
        return chosen
    try:
        return chosen if wandb.login(prompt=False, verify=False) else "offline"
    except wandb.Error as error:
        rank_zero_warn(f"W&B refuses the key, so this run is kept offline: {_first_line(error)}")
        return "offline"


def _run_id(folder: Path) -> str:
    """Of the run in `folder`: the one that it had, else a new one."""
    path = folder / _ID_FILE
    if not path.is_file():
        write_text(path, secrets.token_hex(4))
    return path.read_text()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
