"""Fewer devices gather more batches: every step is of as many samples, in every stage; and the rate that fits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch

from aio.callbacks.accumulation import batches_per_step, scaled_rate
from aio.callbacks.progressive import Progressive, Stage
from aio.cli import AioCLI
from aio.errors import InputError
from aio.presets import conf_dir

HERE = ["--trainer.accelerator", "cpu", "--devices", "1", "--precision", "32-true"]
STAGES = """\
progressive:
  stages:
    - {epochs: 1, patch_size: 8, batch_size: 2, effective_batch: 4}
    - {epochs: 2, patch_size: 16, batch_size: 1, effective_batch: 2}
    - {epochs: 1, patch_size: 16, batch_size: 2}
"""


@pytest.mark.parametrize(
    ("effective", "batch_size", "devices", "batches"), [(64, 8, 8, 1), (64, 8, 1, 8), (32, 4, 2, 4), (6, 2, 3, 1)]
)
def test_batches_make_up_the_effective_batch(effective, batch_size, devices, batches):
    assert batches_per_step(effective, batch_size=batch_size, devices=devices, what="") == batches


@pytest.mark.parametrize(
    ("effective", "devices", "says"),
    [
        (64, 3, "--effective_batch effective batch 64 is no multiple of 24 .* expected 48 or 72"),
        (8, 4, "expected 32, or"),
    ],
)
def test_what_does_not_divide_is_refused_with_what_does(effective, devices, says):
    with pytest.raises(InputError, match=says):
        batches_per_step(effective, batch_size=8, devices=devices, what="--effective_batch")


def test_rates_scale_as_they_are_told():
    assert scaled_rate(1e-3, "none", samples=64, base=None) == 1e-3
    assert scaled_rate(1e-3, "linear", samples=64, base=16) == pytest.approx(4e-3)
    assert scaled_rate(1e-3, "sqrt", samples=64, base=16) == pytest.approx(2e-3)
    for base in (None, 0):
        with pytest.raises(InputError, match="--scale_lr linear: say by --base_batch"):
            scaled_rate(1e-3, "linear", samples=64, base=base)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_restormer_trains_alike_on_fewer_gpus(tmp_path, devices):
    """Zamir et al., 5.1: global batches and iterations of the six stages are those of eight GPUs."""
    path = conf_dir() / "fit/restormer_deraining.yaml"
    with torch.device("meta"):
        cli = AioCLI(
            ["--config", str(path), *HERE, "--data_file_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "r")]
        )
    data, progressive = cli.datamodule, cli.config_init.progressive
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=devices,
        global_rank=0,
        accumulate_grad_batches=1,
        _accelerator_connector=SimpleNamespace(use_distributed_sampler=False),
    )
    stages = progressive.stages
    accumulated = [progressive.batches_per_step(data, stage) for stage in stages]
    samples = [n * devices * stage.batch_size for n, stage in zip(accumulated, stages, strict=True)]
    assert samples == [64, 40, 32, 16, 8, 8]
    assert accumulated == [8 // devices] * 6
    iterations = [stage.epochs * progressive._steps(data, stage) for stage in stages]
    assert iterations == [92_000, 64_000, 48_000, 36_000, 36_000, 24_000]


def test_more_gpus_than_a_stage_can_feed_are_refused(tmp_path):
    progressive = Progressive(effective_batch=8)
    trainer = SimpleNamespace(world_size=3, accumulate_grad_batches=1)
    data: Any = SimpleNamespace(trainer=trainer, batch_size=2)
    with pytest.raises(
        InputError, match=r"--effective_batch effective batch 8 is no multiple of 6 .*: expected 6 or 12"
    ):
        progressive.check(data)
    trainer.accumulate_grad_batches = 4
    with pytest.raises(InputError, match=r"--accum_grad 4 with an effective batch of 8: .* leave --accum_grad out"):
        progressive.check(data)
    with pytest.raises(InputError, match="--effective_batch 0: expected a whole number of at least 1"):
        Progressive(effective_batch=0)


def test_a_stage_that_says_nothing_does_not_take_over_what_another_gathers():
    stages = [Stage(epochs=1, effective_batch=8), Stage(epochs=1)]
    trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=4)  # as the first stage has left it
    data: Any = SimpleNamespace(trainer=trainer, batch_size=2)
    progressive = Progressive(stages=stages)
    assert [progressive.batches_per_step(data, stage) for stage in stages] == [4, 1]
    assert progressive.samples_per_step(data) == 8


class Steps(L.Callback):
    """(epoch, steps done) at the end of every batch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.seen.append((trainer.current_epoch, trainer.global_step))


def steps(cli: AioCLI) -> list[tuple[int, int]]:
    seen = Steps()
    cli.trainer.callbacks.append(seen)
    cli.fit()
    return seen.seen


@pytest.mark.slow
def test_every_stage_has_steps_of_its_own(tmp_path, short_fit):
    """Of eight samples: two steps of two batches; four of two; twice; two of two batches of two. A resumed run too."""
    (tmp_path / "stages.yaml").write_text(STAGES)
    words = ["--config", str(tmp_path / "stages.yaml"), *short_fit, "--epochs", "4", "--data.samples_per_epoch", "8"]
    words += ["--effective_batch", "4", "--checkpoint.every_n_steps", "1", "--trainer.limit_val_batches", "1"]
    whole = AioCLI([*words, "--ckpt_dir", str(tmp_path / "whole")])
    counted = steps(whole)
    ends = [max(step for epoch, step in counted if epoch == n) for n in range(4)]
    assert ends == [2, 6, 10, 12]
    assert whole.model.steps_of_epochs == [2, 4, 4, 2]
    assert [sum(epoch == n for epoch, _ in counted) for n in range(4)] == [4, 8, 8, 4]
    parts = AioCLI([*words, "--ckpt_dir", str(tmp_path / "parts"), "--trainer.max_steps", "4"])
    assert steps(parts) == counted[: 4 + 4]
    resumed = AioCLI(
        [*words, "--ckpt_dir", str(tmp_path / "parts"), "--resume_from", "last", "--trainer.max_steps", "-1"]
    )
    assert steps(resumed) == counted[8:]


def test_gathered_batches_train_as_one_of_their_size(tmp_path, short_fit):
    weights = []
    for name, words in (("one", ["--batch_size", "4"]), ("gathered", ["--batch_size", "2", "--effective_batch", "4"])):
        cli = AioCLI([*short_fit, "--data.samples_per_epoch", "8", *words, "--ckpt_dir", str(tmp_path / name)])
        cli.fit()
        assert cli.trainer.global_step == 4
        weights.append(torch.cat([value.flatten() for value in cli.model.net.state_dict().values()]))
    assert torch.allclose(*weights, atol=1e-4)


def test_the_scaled_rate_is_said(tmp_path, short_fit, capsys):
    words = ["--lr", "1e-3", "--scale_lr", "sqrt", "--base_batch", "1", "--effective_batch", "4", "--epochs", "1"]
    cli = AioCLI([*short_fit, *words, "--ckpt_dir", str(tmp_path)])
    cli.fit()
    assert cli.model.lr == pytest.approx(2e-3)
    assert "learning rate 0.001 for 1 samples per step becomes 0.002 for 4" in capsys.readouterr().out
