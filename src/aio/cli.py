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
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from rich.console import Console

from aio.allocator import keep_freed_memory
from aio.callbacks.accumulation import Scaling, scaled_rate
from aio.callbacks.adapt import Adapt
from aio.callbacks.bad_files import BadFiles
from aio.callbacks.bar import Bar
from aio.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from aio.callbacks.cost import Cost
from aio.callbacks.deployable import Deployable
from aio.callbacks.distributed import Distributed
from aio.callbacks.ema import EMA, refuse_lost_average
from aio.callbacks.gallery import Gallery
from aio.callbacks.launchers import ends_with_launcher
from aio.callbacks.metrics_csv import MetricsCSV
from aio.callbacks.mixed_loss import MixedLoss
from aio.callbacks.mixup import Mixup
from aio.callbacks.non_finite import NonFinite
from aio.callbacks.parts import Parts
from aio.callbacks.progressive import Progressive
from aio.callbacks.report import Report
from aio.callbacks.resuming import checkpoint_to_resume
from aio.callbacks.settings import Change, Settings, changes, note_changes, of_experiment, refuse_in_epoch, settings_in
from aio.callbacks.sharding import refuse_sharded_average
from aio.callbacks.signals import Signals
from aio.callbacks.wandb_run import WandbRun
from aio.callbacks.watch import Watch
from aio.data.datamodule import RestorationData
from aio.errors import InputError
from aio.files import sweep
from aio.flags import translate, trusted_packages
from aio.parsing import parse, plain, trust
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
    "FSDP2-wrapped module .* returned a view tensor",  # on which none of our nets works in place
    "Grad strides do not match bucket view strides",  # they differ in axes of length one alone, where none is copied
)


class AioCLI(LightningCLI):
    """Parses `argv` (short flags, dotted options, `--config` files) and builds task, data and trainer."""

    def __init__(self, argv: Sequence[str]) -> None:
        for name in ("lightning.pytorch", "lightning.fabric"):  # their hints and tips say nothing about this run
            logging.getLogger(name).setLevel(logging.WARNING)
        trust(trusted_packages(argv))
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
        parser.add_argument(
            "--resume_from", type=str | None, default=None, help="Checkpoint to go on from, `last` or `auto`."
        )
        parser.add_argument("--wblogger", type=str | None, default=None, help="Weights & Biases project.")
        parser.add_argument("--scale_lr", type=Scaling, default="none", help="How `--lr` grows with the batch.")
        parser.add_argument("--base_batch", type=int | None, default=None, help="Samples per step it is meant for.")
        parser.add_lightning_class_args(MixedLoss, "loss")
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(Adapt, "adapter")
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(Deployable, "deployable")
        parser.add_lightning_class_args(Gallery, "gallery")
        parser.add_lightning_class_args(Progressive, "progressive")
        parser.add_lightning_class_args(Mixup, "mixup")
        parser.add_lightning_class_args(Parts, "parts")
        parser.add_lightning_class_args(NonFinite, "skip")
        parser.add_lightning_class_args(Distributed, "distributed")
        parser.set_defaults({"model.net": net_preset("restormer")})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """What the run to go on with was told, and over it what is said now.

        The parent warns when arguments come as a list while `sys.argv` holds some too.
        """
        self.config = parse(parser, args)
        self.resume_from = checkpoint_to_resume(self.config.resume_from, self.config.run_dir)
        self.checkpoint: dict[str, Any] = {}
        self.changes: list[Change] = []
        if self.resume_from is not None:
            self.checkpoint = read_checkpoint(self.resume_from)
            stored = settings_in(self.checkpoint, self.resume_from)
            self.config = parse(parser, args, over=stored, source=self.resume_from)
            self.changes = changes(stored, of_experiment(plain(parser, self.config)))

    def before_instantiate_classes(self) -> None:
        rank = self.config.adapter.rank
        if rank and self.config.model.fine_tune_from is None:
            raise InputError(f"--lora_rank {rank}: adapts a trained network; name its checkpoint by --fine_tune_from C")
        began_anew = self.resume_from is None and self.config.resume_from == "auto"  # over one without a checkpoint
        self.resumed: dict[str, Any] = {"global_step": 0} if began_anew else {}
        self.run_dir = _run_dir(self.config, self.resume_from)
        if self.resume_from is not None:
            checkpoint, self.checkpoint = self.checkpoint, {}  # the memory of its weights
            self.resumed = {key: checkpoint.get(key) for key in ("epoch", "global_step", "RestorationData")}
            refuse_lost_average(checkpoint, has_ema=self.config.ema.decay > 0)
            if "adapters" in checkpoint["hyper_parameters"] and not rank:
                raise InputError(f"{self.resume_from}: holds adapters; go on by its run's --config config.yaml")
        self.config.resume_from = None  # the saved file reruns the whole experiment
        self.save_config_kwargs = {"overwrite": True}

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        parts = self.config_init
        # The average is swapped in for validation before, and out after, the others look at the weights.
        callbacks = [parts.ema] if self.config.ema.decay > 0 else []
        callbacks += [parts.parts, Watch(), *self._bar()]  # gradients of what rests are none that others should see
        callbacks += [parts.adapter] if self.config.adapter.rank else []
        callbacks += [parts.mixup] if self.config.mixup.alpha else []
        parts.checkpoint.dirpath = str(self.run_dir.resolve())  # the same for whoever resumes, from wherever
        callbacks += [Settings(of_experiment(plain(self.parser, self.config)))]
        callbacks += [parts.loss, parts.progressive, parts.skip, parts.distributed]
        callbacks += [BadFiles(), Cost(), parts.gallery, Report()]
        self.signals = Signals()
        callbacks += [parts.checkpoint, parts.checkpoint.last(self.signals)]
        callbacks += [] if self.config.adapter.rank else [parts.deployable]  # adapters have a file of their own
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
            InputError: before anything is written, or the disk is full.
            Stopped: a signal ended it; `last.ckpt` holds all of it.
        """
        refuse_sharded_average(self.trainer.strategy, self.config.ema.decay)
        self.config_init.adapter.wrap(self.model, self.datamodule.tasks)
        net = self.model.net
        require_images(net, self.datamodule.scale, views=net.in_channels == 6)
        self.datamodule.second_view, self.datamodule.gray = net.wants_second_view, net.in_channels == 1
        self.datamodule.dual_pixel = net.in_channels == 6
        self.config_init.mixup.check(self.model)
        self._check_data()
        self.config_init.loss.check_start(net, self.trainer.max_epochs)
        self.config_init.loss.build()
        self.config_init.parts.tell(self.model)
        self._scale_rate()
        if self.resume_from is not None:
            self._check_net(self.resume_from)
            note_changes(self.changes, self.run_dir, self.resumed["global_step"])
        self._log_config()
        if self.trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        if self.trainer.is_global_zero:
            sweep(self.run_dir)
        with self.signals.held(self.trainer), ends_with_launcher(self.trainer):
            self.trainer.fit(self.model, self.datamodule, ckpt_path=self.resume_from, weights_only=True)

    def _check_data(self) -> None:
        """Finds every file, and builds both loaders once: they say whether each device gets its share."""
        self.datamodule.trainer = self.trainer
        self.config_init.progressive.check(self.datamodule)
        self.datamodule.setup("fit")
        self.config_init.progressive.enter(self.datamodule, self.resumed.get("epoch") or 0)
        if state := self.resumed.get("RestorationData"):
            self.datamodule.check_resume(state)
            now = self.datamodule.state_dict()
            if self.resume_from is not None and state["batches_done"]:
                refuse_in_epoch(self.changes, self.resume_from)
            names = [name for name in ("devices", "samples_per_epoch") if state[name] != now[name]]
            self.changes += [Change(f"({name})", state[name], now[name]) for name in names]
        self.datamodule.train_dataloader()
        self.datamodule.val_dataloader()

    def _scale_rate(self) -> None:
        rule, samples = self.config.scale_lr, self.config_init.progressive.samples_per_step(self.datamodule)
        lr = scaled_rate(self.model.lr, rule, samples=samples, base=self.config.base_batch)
        if lr < self.model.min_lr:
            raise InputError(f"--scale_lr {rule}: makes {lr:g} of --lr, which is below min_lr {self.model.min_lr:g}")
        if rule != "none" and _is_rank_zero():
            said = f"--scale_lr {rule}: learning rate {self.model.lr:g} for {self.config.base_batch} samples per step"
            Console().print(f"{said} becomes {lr:g} for {samples}")
        self.model.lr = lr

    def _check_net(self, path: Path) -> None:
        """Raises InputError where the weights do not fit; says what is another net than the checkpoint's."""
        try:
            check_weights(self.model.net, path)
        except InputError as error:
            other = "; ".join(str(change) for change in self.changes if change.name.startswith("model.net"))
            raise InputError(f"{error}; {other}" if other else str(error)) from error

    def _bar(self) -> list[L.Callback]:
        """Ours, where the user has none and wants one."""
        own = self.config_init.trainer.callbacks or []
        theirs = any(isinstance(callback, ProgressBar) for callback in (own if isinstance(own, list) else [own]))
        return [] if theirs or self.config_init.trainer.enable_progress_bar is False else [Bar()]

    def _log_config(self) -> None:
        for logger in self.trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(self.config.as_dict())

    def _loggers(self) -> list[Logger]:
        loggers: list[Logger] = [
            MetricsCSV(self.run_dir, resumed_at=self.resumed.get("global_step")),
            # what was logged after the checkpoint is logged again
            TensorBoardLogger(self.run_dir, name="", version="tensorboard", purge_step=self.resumed.get("global_step")),
        ]
        if self.config.wblogger:
            loggers.append(WandbRun(project=self.config.wblogger, folder=self.run_dir))
        return loggers


def _run_dir(config: Any, resume_from: Path | None) -> Path:
    if config.run_dir is not None:
        folder = Path(config.run_dir)
        fresh = resume_from is None and config.resume_from != "auto"
        if fresh and _is_rank_zero() and (folder / "config.yaml").exists():
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
