"""The command line of a training: LightningCLI over RestorationTask and RestorationData, and the run's folder.

The only place where options are read. `config.yaml` in the run's folder reruns the experiment.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from aio.callbacks.adapt import Adapt
from aio.callbacks.bad_files import BadFiles
from aio.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from aio.callbacks.cost import Cost
from aio.callbacks.ema import EMA, refuse_lost_average
from aio.callbacks.gallery import Gallery
from aio.callbacks.metrics_csv import MetricsCSV
from aio.callbacks.mixed_loss import MixedLoss
from aio.callbacks.mixup import Mixup
from aio.callbacks.progressive import Progressive
from aio.callbacks.report import Report
from aio.data.datamodule import RestorationData
from aio.errors import InputError
from aio.flags import translate
from aio.presets import net_preset
from aio.task import RestorationTask
from aio.weights import check_weights, read_checkpoint, require_images

_TRAINER_DEFAULTS = {
    "max_epochs": 120,
    "log_every_n_steps": 10,
    "use_distributed_sampler": False,  # RestorationData gives each rank its own part
    "enable_model_summary": False,  # Cost says it in two numbers
}
_EXPECTED_WARNINGS = (
    "Checkpoint directory .* exists and is not empty",  # a resumed run's is
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own call
    "You're resuming from a checkpoint that ended before the epoch ended",  # RestorationData's loader does go on there
    r"It is recommended to use `self\.log\('val/",  # the task has gathered these scores already
    "Grad strides do not match bucket view strides",  # they differ in axes of length one alone, where none is copied
)


class AioCLI(LightningCLI):
    """Parses `argv` (short flags, dotted options, `--config` files) and builds task, data and trainer."""

    def __init__(self, argv: Sequence[str]) -> None:
        for name in ("lightning.pytorch", "lightning.fabric"):  # their hints and tips say nothing about this run
            logging.getLogger(name).setLevel(logging.WARNING)
        super().__init__(
            RestorationTask,
            RestorationData,
            run=False,
            args=translate(argv),
            parser_kwargs={"prog": "aio fit"},
            seed_everything_default=0,
            trainer_defaults=_TRAINER_DEFAULTS,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # weights.open_net rebuilds the net from plain data
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--run_dir", type=str | None, default=None, help="Folder of the run; runs/NET-TIME by default."
        )
        parser.add_argument(
            "--base", type=str | list[str] | None, default=None, help="Files which a configuration file builds on."
        )
        parser.add_argument("--resume_from", type=str | None, default=None, help="Checkpoint to go on from, or `last`.")
        parser.add_argument("--wblogger", type=str | None, default=None, help="Weights & Biases project.")
        parser.add_lightning_class_args(MixedLoss, "loss")
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(Adapt, "adapter")
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(Gallery, "gallery")
        parser.add_lightning_class_args(Progressive, "progressive")
        parser.add_lightning_class_args(Mixup, "mixup")
        parser.set_defaults({"model.net": net_preset("restormer")})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """As the parent, which warns when arguments come as a list while `sys.argv` holds some too."""
        self.config = parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        rank = self.config.adapter.rank
        if rank and self.config.model.fine_tune_from is None:
            raise InputError(f"--lora_rank {rank}: adapts a trained network; name its checkpoint by --fine_tune_from C")
        self.resume_from = _checkpoint_to_resume(self.config.resume_from, self.config.run_dir)
        self.resumed: dict[str, Any] = {}
        self.run_dir = _run_dir(self.config, self.resume_from)
        if self.resume_from is not None:
            checkpoint = read_checkpoint(self.resume_from)
            self.resumed = {key: checkpoint.get(key) for key in ("epoch", "global_step", "RestorationData")}
            _refuse_other_rate(checkpoint, self.resume_from, self.config.model.lr)
            refuse_lost_average(checkpoint, has_ema=self.config.ema.decay > 0)
            if "adapters" in checkpoint["hyper_parameters"] and not rank:
                raise InputError(f"{self.resume_from}: holds adapters; go on by its run's --config config.yaml")
            self.config.resume_from = None  # the saved file reruns the whole experiment
        self.save_config_kwargs = {"overwrite": True}

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        parts = self.config_init
        # The average is swapped in for validation before, and out after, the others look at the weights.
        callbacks = [parts.ema] if self.config.ema.decay > 0 else []
        callbacks += [parts.adapter] if self.config.adapter.rank else []
        callbacks += [parts.mixup] if self.config.mixup.alpha else []
        parts.checkpoint.dirpath = str(self.run_dir.resolve())  # the same for whoever resumes, from wherever
        callbacks += [parts.loss, parts.progressive, BadFiles(), Cost(), parts.gallery, Report()]
        callbacks += [parts.checkpoint, parts.checkpoint.last()]
        config = {
            **parts.trainer,
            "default_root_dir": str(self.run_dir),
            "logger": self._loggers() if parts.trainer.logger is None else parts.trainer.logger,
            "plugins": [AtomicCheckpointIO(), *(parts.trainer.plugins or [])],
            **kwargs,
        }
        return self._instantiate_trainer(config, callbacks)

    def fit(self) -> None:
        """Checks data, loss and checkpoint, then trains.

        Raises:
            InputError: before anything is written.
        """
        self.config_init.adapter.wrap(self.model, self.datamodule.tasks)
        net = self.model.net
        require_images(net, self.datamodule.scale, views=net.in_channels == 6)
        self.datamodule.second_view, self.datamodule.gray = net.wants_second_view, net.in_channels == 1
        self.datamodule.dual_pixel = net.in_channels == 6
        self.config_init.mixup.check(self.model)
        self._check_data()
        self.config_init.loss.check_start(net, self.trainer.max_epochs)
        self.config_init.loss.build()
        if self.resume_from is not None:
            check_weights(self.model.net, self.resume_from)
        self._log_config()
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        self.trainer.fit(self.model, self.datamodule, ckpt_path=self.resume_from, weights_only=True)

    def _check_data(self) -> None:
        """Finds every file, and builds both loaders once: they say whether each device gets its share."""
        self.datamodule.trainer = self.trainer
        self.config_init.progressive.check(self.datamodule)
        self.datamodule.setup("fit")
        self.config_init.progressive.enter(self.datamodule, self.resumed.get("epoch") or 0)
        if state := self.resumed.get("RestorationData"):
            self.datamodule.check_resume(state)
        self.datamodule.train_dataloader()
        self.datamodule.val_dataloader()

    def _log_config(self) -> None:
        for logger in self.trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(self.config.as_dict())

    def _loggers(self) -> list[Logger]:
        loggers: list[Logger] = [
            MetricsCSV(self.run_dir, resumed_at=self.resumed.get("global_step")),
            TensorBoardLogger(self.run_dir, name="", version="tensorboard"),
        ]
        if self.config.wblogger:
            loggers.append(self._wandb_logger())
        return loggers

    def _wandb_logger(self) -> WandbLogger:
        import wandb  # takes a second, and only this logger needs it

        chosen = wandb.setup().settings.mode  # what WANDB_MODE says
        mode = "offline" if chosen == "online" and not wandb.login(prompt=False, verify=False) else chosen
        return WandbLogger(project=self.config.wblogger, save_dir=self.run_dir, name=self.run_dir.name, mode=mode)


def _checkpoint_to_resume(resume_from: str | None, run_dir: str | None) -> Path | None:
    if resume_from is None:
        return None
    if resume_from == "last":
        if run_dir is None:
            raise InputError("--resume_from last: say of which run with --ckpt_dir DIR")
        resume_from = str(Path(run_dir) / "last.ckpt")
    if not Path(resume_from).is_file():
        raise InputError(f"--resume_from {resume_from}: no such file; expected a checkpoint of an earlier run")
    return Path(resume_from)


def _refuse_other_rate(checkpoint: dict[str, Any], path: Path, lr: float) -> None:
    """A resumed optimiser keeps the rate that it had; another one would be dropped in silence."""
    kept = checkpoint.get("hyper_parameters")
    if not isinstance(kept, dict) or "lr" not in kept or "optimizer_states" not in checkpoint:
        raise InputError(f"{path}: holds no training to go on with; start from its weights by --fine_tune_from")
    if kept["lr"] != lr:
        raise InputError(f"--lr {lr}: {path} goes on at {kept['lr']}; start from its weights by --fine_tune_from")


def _run_dir(config: Any, resume_from: Path | None) -> Path:
    if config.run_dir is not None:
        folder = Path(config.run_dir)
        if resume_from is None and _is_rank_zero() and (folder / "config.yaml").exists():
            raise InputError(
                f"{folder}: holds a run already; give another --ckpt_dir, or go on with it by --resume_from last"
            )
        return folder
    if resume_from is not None:
        return resume_from.parent
    net = config.model.net.class_path.rpartition(".")[2].lower()
    return Path("runs") / f"{net}-{datetime.now():%Y%m%d-%H%M%S}"


def _is_rank_zero() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0
