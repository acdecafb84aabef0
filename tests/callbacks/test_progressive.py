"""Progressive learning: each epoch has its stage's patches, batches and tasks; the rate knows; a resumed run too."""

from __future__ import annotations

import lightning as L
import pytest
import torch

from aio.callbacks.progressive import Progressive, Stage
from aio.cli import AioCLI
from aio.errors import InputError
from aio.task import WarmupCosine
from aio.vocabulary import DEGRADATIONS

STAGES = """\
progressive:
  stages:
    - {epochs: 1, patch_size: 8, batch_size: 4, de_type: [denoise_25]}
    - {epochs: 2, patch_size: 16, batch_size: 2}
    - {epochs: 1, patch_size: 24, batch_size: 1}
"""


class Watch(L.Callback):
    """Notes (epoch, side, batch size, tasks, rate) of every batch."""

    def __init__(self):
        self.seen, self.rates = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        tasks = {DEGRADATIONS[task] for task in batch["task"].tolist()}
        self.seen.append((trainer.current_epoch, batch["clean"].shape[-1], len(batch["task"]), tasks))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.fixture
def staged(tmp_path, short_fit):
    (tmp_path / "stages.yaml").write_text(STAGES)

    def build(*words):
        start = ["--config", str(tmp_path / "stages.yaml"), *short_fit, "--patch_size", "24", "--epochs", "4"]
        return AioCLI([*start, "--ckpt_dir", str(tmp_path / "run"), *words])

    return build


def test_every_epoch_is_of_its_stage(staged):
    cli, watch = staged(), Watch()
    cli.trainer.callbacks.append(watch)
    cli.fit()
    kinds = {(epoch, side, size) for epoch, side, size, _ in watch.seen}
    assert kinds == {(0, 8, 4), (1, 16, 2), (2, 16, 2), (3, 24, 1)}
    assert [sum(seen[0] == epoch for seen in watch.seen) for epoch in range(4)] == [1, 2, 2, 4]  # 4 samples each
    assert set().union(*(tasks for epoch, *_, tasks in watch.seen if epoch == 0)) == {"denoise_25"}
    assert set().union(*(tasks for epoch, *_, tasks in watch.seen if epoch > 0)) == {"denoise_25", "dehaze"}
    assert set(cli.model.scores.means()) == {"denoise_25", "dehaze"}  # validation is of all


def test_the_rate_falls_over_the_steps_of_all_stages(staged):
    cli, watch = staged("--warmup_epochs", "1.5", "--lr", "0.01"), Watch()
    cli.trainer.callbacks.append(watch)
    cli.fit()
    expected = WarmupCosine(warmup=2, total=9, floor=cli.model.min_lr / 0.01)  # one step, and half of two
    assert watch.rates == pytest.approx([0.01 * expected(step) for step in range(9)])


def test_a_resumed_run_is_in_the_stage_where_it_stopped(staged, tmp_path):
    whole = staged("--ckpt_dir", str(tmp_path / "whole"))
    whole.fit()
    staged("--trainer.limit_val_batches", "1", "--epochs", "2").fit()
    resumed, watch = staged("--resume_from", "last"), Watch()
    resumed.trainer.callbacks.append(watch)
    resumed.fit()
    assert {(epoch, side, size) for epoch, side, size, _ in watch.seen} == {(2, 16, 2), (3, 24, 1)}
    assert resumed.trainer.global_step == whole.trainer.global_step == 9


def test_without_stages_nothing_changes(staged, short_fit, tmp_path):
    weights = []
    for words in ([], ["--progressive.stages", "[{epochs: 2}]"]):
        cli = AioCLI([*short_fit, "--ckpt_dir", str(tmp_path / str(len(words))), *words])
        cli.fit()
        weights.append(cli.model.net.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ("[{epochs: 1, patch_size: 64}]", "stage 1: patch_size 64 exceeds --patch_size 24"),
        ("[{epochs: 1}, {epochs: 1, de_type: [derain]}]", "stage 2: derain is not in --de_type"),
        ("[{epochs: 1, de_type: [fog]}]", "stage 1: unknown degradation 'fog'"),
        ("[{epochs: 1, batch_size: 99}]", "do not fill a batch of 99"),
    ],
)
def test_impossible_stages_are_refused_before_training(staged, tmp_path, stages, says):
    with pytest.raises(InputError, match=says):
        staged("--progressive.stages", stages).fit()
    assert not (tmp_path / "run").exists()


def test_stages_and_degradations_do_not_both_choose_the_patch_size(staged):
    with pytest.raises(InputError, match=r"stage 1: patch_size 8 and data\.patch_sizes: give one of them"):
        staged('--data.patch_sizes={"dehaze": 16}').fit()


def test_a_stage_of_some_degradations_has_their_counts_and_patch_sizes(staged):
    """Twelve samples of noise; then with haze, whose three of another size fill one batch of two."""
    stages = "[{epochs: 1, de_type: [denoise_25]}, {epochs: 2}]"
    options = ['--data.counts={"denoise_25": 12, "dehaze": 3}', '--data.patch_sizes={"dehaze": 16}']
    cli, watch = staged("--data.samples_per_epoch", "null", *options, "--progressive.stages", stages), Watch()
    cli.trainer.callbacks.append(watch)
    cli.fit()
    assert [sum(seen[0] == epoch for seen in watch.seen) for epoch in range(4)] == [6, 7, 7, 7]
    assert {(side, tasks.copy().pop()) for _, side, _, tasks in watch.seen} == {(24, "denoise_25"), (16, "dehaze")}
    assert cli.model.steps_of_epochs == [6, 7, 7, 7]


def test_a_stage_lasts_at_least_one_epoch():
    with pytest.raises(InputError, match="epochs 0, expected a whole number of at least 1"):
        Stage(epochs=0)
    callback = Progressive(stages=[Stage(epochs=2), Stage(epochs=3)])
    assert [callback.stages.index(callback.stage_of(epoch)) for epoch in range(7)] == [0, 0, 1, 1, 1, 1, 1]
