"""What is logged while a net trains: against plain computations; once, though the training is stopped and resumed."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aio.callbacks import watch
from aio.callbacks.bar import Bar, bar_texts
from aio.callbacks.watch import Watch, gradient_norm, steps_in_all
from aio.cli import AioCLI
from aio.data.loader import TrainingLoader
from aio.task import RestorationTask
from training import batch_of, loader, tiny, trainer_for

# Two epochs of eight steps, logged every fourth; a checkpoint after steps 3, 6, 11 and 14, and after both epochs.
WORDS = ["--data.samples_per_epoch", "16", "--epochs", "2", "--checkpoint.every_n_steps", "3"]
WORDS += ["--trainer.log_every_n_steps", "4"]


class Keep(DummyLogger):
    """Keeps what loggers get."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:  # type: ignore[override]
        self.rows.append((step, dict(metrics)))


def fitted(
    batches: list[dict[str, Any]], task: RestorationTask | None = None, **arguments: Any
) -> list[tuple[int, dict[str, float]]]:
    logger, arguments = Keep(), {"max_epochs": 1, "log_every_n_steps": 2, "limit_val_batches": 0, **arguments}
    trainer = trainer_for(callbacks=[Watch()], logger=logger, **arguments)
    trainer.fit(task or RestorationTask(net=tiny()), loader(batches), loader(batches))
    return logger.rows


def test_every_logged_step_says_rate_gradients_and_errors_of_the_tasks_since_the_last():
    batches = [batch_of(2, seed=0, tasks=("derain",)), batch_of(2, seed=1), batch_of(2, seed=2), batch_of(1, seed=3)]
    rows = fitted(batches, gradient_clip_val=1e-3)
    assert [step for step, _ in rows] == [1, 3]
    for _, values in rows:
        assert {"train/lr", "train/derain/l1", "train/derain/psnr", "train/dehaze/l1", "train/dehaze/psnr"} <= set(
            values
        )
        assert values["train/grad_norm"] > 0.01  # before clipping
        assert values["watch/samples_per_second"] > 0
        assert values["watch/seconds_per_step"] > 0


def test_a_degradation_without_samples_is_not_logged_again():
    both, rain = batch_of(2), batch_of(2, tasks=("derain",))
    first, second = fitted([both, rain, rain, rain])
    assert "train/dehaze/l1" in first[1]
    assert "train/dehaze/l1" not in second[1]
    assert "train/derain/l1" in second[1]


def test_the_errors_are_those_of_the_net_as_it_trains():
    """At a learning rate of nearly nothing the net stays as it is."""
    batches = [batch_of(2, seed=seed) for seed in range(2)]
    task = RestorationTask(net=tiny(), lr=1e-12, min_lr=0)
    ((_, values),) = fitted(batches, task)
    with torch.no_grad():
        rain = [task(batch["degraded"][:1]) - batch["clean"][:1] for batch in batches]
    assert values["train/derain/l1"] == pytest.approx(torch.cat(rain).abs().mean().item(), rel=1e-4)


def test_accumulated_batches_are_one_step():
    rows = fitted([batch_of(1, seed=seed) for seed in range(8)], accumulate_grad_batches=2)
    assert [step for step, _ in rows] == [1, 3]


def test_the_gradient_norm_is_that_of_one_long_vector():
    net = tiny()
    net(torch.rand(1, 3, 16, 16)).square().mean().backward()
    together = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    assert gradient_norm(net).item() == pytest.approx(together.double().norm().item(), rel=1e-4)


def test_speed_and_time_left_by_the_clock(monkeypatch):
    """A step of ten samples in five seconds, of which two were a validation and 0.6 waiting; ten steps in all."""
    clock = iter([100.0, 100.0, 101.0, 103.0, 105.0])
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    waiting = TrainingLoader.__new__(TrainingLoader)
    object.__setattr__(waiting, "waited", 0.6)
    module = SimpleNamespace(steps_of_epochs=[4, 6])
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer = SimpleNamespace(world_size=2, train_dataloader=waiting, strategy=strategy, global_step=1, max_steps=-1)
    trainer.lightning_module = module
    ours = Watch()
    ours.on_train_start(trainer, module)
    ours._first = (0, watch.time.monotonic())
    ours.on_validation_start(trainer, module)
    ours.on_validation_end(trainer, module)
    ours._samples, trainer.global_step = 5, 2
    values = ours._speed(trainer)
    assert values["watch/samples_per_second"] == pytest.approx(10 / 3)
    assert values["watch/seconds_per_step"] == pytest.approx(3)
    assert values["watch/data_wait"] == pytest.approx(0.6 / 3)
    assert values["watch/hours_left"] == pytest.approx(8 * 2.5 / 3600)
    assert waiting.waited == 0


@pytest.mark.parametrize(
    ("epochs", "estimated", "max_steps", "steps"),
    [([3, 4], 99, -1, 7), ([3, 4], 99, 5, 5), (None, 12, -1, 12), (None, float("inf"), -1, float("inf"))],
)
def test_steps_in_all(epochs, estimated, max_steps, steps):
    module = SimpleNamespace(steps_of_epochs=epochs)
    trainer = SimpleNamespace(lightning_module=module, estimated_stepping_batches=estimated, max_steps=max_steps)
    assert steps_in_all(trainer) == steps


def test_the_loader_counts_only_the_time_in_which_it_is_asked(short_fit, tmp_path, monkeypatch):
    from aio.data import loader as module

    cli = AioCLI([*short_fit, "--ckpt_dir", str(tmp_path)])
    data = cli.datamodule
    data.setup("fit")
    clock = iter(range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    batches = data.train_dataloader()
    for _ in batches:
        module.time.monotonic()  # a step that takes a second
    assert batches.waited == 2  # two batches, a tick of the clock each


def test_the_bar_says_it_in_few_words():
    metrics = {"train/loss": 0.12341, "val/psnr": 30.256, "watch/samples_per_second": 41.23, "watch/data_wait": 0.031}
    metrics |= {"watch/hours_left": 26.5, "watch/gpu_gib": 11.26, "train/lr": 1e-3}
    texts = bar_texts(metrics)
    assert texts == {"loss": "0.1234", "PSNR": "30.26", "img/s": "41.2", "data": "3%", "GiB": "11.3"} | {
        "left": str(timedelta(days=1, hours=2, minutes=30))
    }
    assert bar_texts({}) == {}


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ([], 1),
        (["--trainer.enable_progress_bar", "false"], 0),
        (["--trainer.callbacks", "TQDMProgressBar"], 0),
    ],
)
def test_a_bar_of_the_user_takes_the_place_of_ours(short_fit, tmp_path, words, ours):
    quiet = short_fit.index("--trainer.enable_progress_bar")
    kept = [*short_fit[:quiet], *short_fit[quiet + 2 :]]
    cli = AioCLI([*kept, *words, "--ckpt_dir", str(tmp_path)])
    assert sum(isinstance(callback, Bar) for callback in cli.trainer.callbacks) == ours


class StoppedError(Exception):
    """Ends a training."""


class Stop(L.Callback):
    """Raises it before step 13."""

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 13:
            raise StoppedError


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if not name.startswith("watch/")} for row in rows]


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows, by tag, without what depends on the clock."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("watch/")]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_a_resumed_training_logs_what_an_undisturbed_one_does_and_once(short_fit, tmp_path):
    """Stopped after step 13 and resumed from step 11, amid the samples of which step 12 tells."""
    words = [*short_fit, *WORDS]
    AioCLI([*words, "--ckpt_dir", str(tmp_path / "whole")]).fit()
    cli = AioCLI([*words, "--ckpt_dir", str(tmp_path / "parts")])
    cli.trainer.callbacks.insert(0, Stop())
    with pytest.raises(StoppedError):
        cli.fit()
    assert torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)["training_errors"].sum() > 0
    AioCLI([*words, "--ckpt_dir", str(tmp_path / "parts"), "--resume_from", "last"]).fit()
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    ours, theirs = points(tmp_path / "parts"), points(tmp_path / "whole")
    assert ours == theirs
    assert [step for step, _ in ours["train/denoise_25/psnr"]] == [3, 7, 11, 15]
