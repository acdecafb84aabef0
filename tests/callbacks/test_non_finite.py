"""A step that went wrong leaves no trace but its row: weights, moments, average and statistics as without it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from aio.callbacks.ema import EMA
from aio.callbacks.mixed_loss import MixedLoss
from aio.callbacks.moving import Moving
from aio.callbacks.non_finite import NonFinite
from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.task import RestorationTask
from training import batch_of, loader, tiny, trainer_for

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
NAN, INF = float("nan"), float("inf")


class Normed(RestorationNet):
    """Has statistics, and a frozen weight that follows another in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.output = nn.BatchNorm2d(3), nn.Conv2d(3, 3, kernel_size=1)
        self.follower = nn.Parameter(torch.zeros(3), requires_grad=False)
        self.still = nn.Parameter(torch.zeros(3), requires_grad=False)

    def forward(self, image: torch.Tensor, task: torch.Tensor | None = None) -> torch.Tensor:
        with torch.no_grad():
            self.follower.lerp_(self.output.bias, 0.1)
        return self.output(self.norm(image))


class Spoil(L.Callback):
    """Makes a gradient NaN before step number `at`."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == self.at:
            next(p.grad for p in pl_module.parameters() if p.grad is not None).view(-1)[0] = NAN


def spoilt(batch: dict[str, Any], value: float) -> dict[str, Any]:
    degraded = batch["degraded"].clone()
    degraded[0, 0, 0, 0] = value
    return {**batch, "degraded": degraded}


def train(
    batches: list[dict[str, Any]],
    folder: Any,
    *callbacks: L.Callback,
    net: RestorationNet | None = None,
    **options: Any,
) -> tuple[dict[str, Any], NonFinite]:
    """The end of a training at a constant rate: weights, average and moments; and what was skipped."""
    torch.manual_seed(0)
    task = RestorationTask(net=net() if net else tiny(), lr=1e-2, min_lr=1e-2, weight_decay=0.1)
    skip, ema = NonFinite(), EMA(decay=0.3)
    trainer = trainer_for(callbacks=[ema, *callbacks, skip], max_epochs=1, default_root_dir=folder, **options)
    raw: dict[str, Any] = {}
    keep = L.pytorch.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, module, *__: raw.update(
            {key: value.clone() for key, value in module.state_dict().items()}
        )
    )
    trainer.callbacks.append(keep)
    trainer.fit(task, loader(batches))
    moments = trainer.optimizers[0].state_dict()["state"]
    return {"raw": raw, "average": dict(task.state_dict()), "moments": moments}, skip


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())


def rows(folder: Any) -> list[dict[str, str]]:
    with (folder / "skipped.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def good(*seeds: int) -> list[dict[str, Any]]:
    return [batch_of(2, seed=seed) for seed in seeds]


@pytest.mark.parametrize("at", [0, 2], ids=["first", "third"])
@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("net", [None, Normed], ids=["restormer", "normed"])
def test_a_skipped_step_is_as_if_it_had_not_been(tmp_path, at, value, net):
    batches = good(0, 1, 2, 3)
    whole, _ = train(batches, tmp_path, net=net)
    batches.insert(at, spoilt(batch_of(2, seed=9), value))
    parts, skip = train(batches, tmp_path, net=net)
    assert same(parts, whole)
    assert skip.skipped == 1
    assert [(row["step"], row["reason"], row["task"], row["name"]) for row in rows(tmp_path)] == [
        (str(at), "loss", "derain", "image9_0"),
        (str(at), "loss", "dehaze", "image9_1"),
    ]


def test_without_a_fault_nothing_changes(tmp_path):
    """Also the same as a training without the callback, to the bit; and no file."""
    task = RestorationTask(net=tiny(), lr=1e-2, min_lr=1e-2, weight_decay=0.1)
    trainer_for(max_epochs=1).fit(task, loader(good(0, 1, 2)))
    ended, skip = train(good(0, 1, 2), tmp_path)
    assert same(dict(task.state_dict()), ended["raw"])
    assert skip.skipped == 0
    assert skip.norm > 0
    assert not (tmp_path / "skipped.csv").exists()


def test_gradients_alone_may_go_wrong(tmp_path):
    whole, _ = train(good(0, 1, 3), tmp_path)
    parts, _ = train(good(0, 1, 2, 3), tmp_path, Spoil(at=2))
    assert same(parts, whole)
    assert {(row["step"], row["reason"]) for row in rows(tmp_path)} == {("2", "gradient")}


def test_of_accumulated_batches_the_whole_step_is_skipped_and_the_guilty_named(tmp_path):
    whole, _ = train(good(0, 1, 4, 5), tmp_path, accumulate_grad_batches=2)
    batches = [*good(0, 1), spoilt(batch_of(2, seed=2), NAN), *good(3, 4, 5)]
    parts, skip = train(batches, tmp_path, accumulate_grad_batches=2)
    assert same(parts, whole)
    assert skip.skipped == 1
    assert {row["name"] for row in rows(tmp_path)} == {"image2_0", "image2_1"}


class Infinite(nn.Module):
    """Its loss overflows where its gradient does not."""

    def forward(self, restored: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        return (restored - clean).mean() + 3e38 * (1 + clean.detach().flatten()[0] * 0) * 10


def test_an_infinite_loss_with_finite_gradients_is_seen():
    skip = NonFinite()
    task = RestorationTask(net=tiny())
    loss = Infinite()(task(torch.rand(1, 3, 8, 8)), torch.rand(1, 3, 8, 8))
    assert loss.isinf()
    skip.on_before_backward(trainer_for(), task, loss)
    loss.backward()
    assert all(p.grad.isnan().all() for p in task.net.output.parameters())


@pytest.mark.parametrize("words", [{}, {"frequency_weight": 0.1}, {"edge_mode": "multiply"}, {"loss_type": "psnr"}])
def test_every_loss_shows_a_damaged_image(tmp_path, words):
    loss = MixedLoss(perceptual_weight=0, **words)
    _, skip = train([*good(0), spoilt(batch_of(2, seed=1), NAN)], tmp_path, loss)
    assert skip.skipped == 1


class Scaler(torch.amp.GradScaler):
    """One that works on the CPU, and begins too high."""

    def __init__(self) -> None:
        super().__init__("cpu", init_scale=2.0**40, backoff_factor=2.0**-12, growth_interval=10_000)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # which torch says of any skipped first step
def test_what_a_scaler_skips_while_it_looks_for_its_scale_is_no_fault(tmp_path):
    """With 2 ^ 40 gradients are infinite in float16. The average rests, too; a damaged image is still reported."""
    batches = [*good(0, 1, 2, 3, 4, 5, 6, 7), spoilt(batch_of(2, seed=8), NAN)]
    plugin = MixedPrecision("16-mixed", "cpu", scaler=Scaler())
    ended, skip = train(batches, tmp_path, plugins=[plugin])
    assert skip.skipped == 1
    assert {row["name"] for row in rows(tmp_path)} == {"image8_0", "image8_1"}
    assert all(value.isfinite().all() for part in ("raw", "average") for value in ended[part].values())
    assert 0 < ended["moments"][0]["step"] < len(batches) - 1


def test_too_many_end_the_training_and_say_what_to_do(tmp_path):
    """Three of the last thirty steps; the good ones between them do not help."""
    bad = spoilt(batch_of(2), NAN)
    batches = [bad, *good(1, 2), bad, *good(3), bad, *good(4)]
    task, skip = RestorationTask(net=tiny()), NonFinite(max_skipped=3)
    with pytest.raises(InputError, match=r"3 of the last 6 steps were not finite \(--max_skipped 3\); .*skipped\.csv"):
        trainer_for(callbacks=[skip], max_epochs=1, default_root_dir=tmp_path).fit(task, loader(batches))
    assert all(value.isfinite().all() for value in task.state_dict().values())


def test_few_among_many_do_not(tmp_path):
    bad = spoilt(batch_of(2), NAN)
    skip = NonFinite(max_skipped=1)
    assert skip._recent.maxlen == 1
    skip = NonFinite(max_skipped=2)
    batches = [bad, *good(*range(20)), bad, *good(21)]
    trainer_for(callbacks=[skip], max_epochs=1, default_root_dir=tmp_path).fit(
        RestorationTask(net=tiny()), loader(batches)
    )
    assert skip.skipped == 2


def test_a_resumed_training_goes_on_counting_and_forgets_what_it_does_again(tmp_path):
    bad = spoilt(batch_of(2), NAN)
    _, skip = train([*good(1), bad, *good(2), bad], tmp_path)
    again = NonFinite(max_skipped=7)
    again.load_state_dict(skip.state_dict())
    assert (again.skipped, list(again._recent)) == (2, [1, 3])
    trainer = trainer_for(default_root_dir=tmp_path, max_epochs=1)
    trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed = 2
    again.on_train_start(trainer, RestorationTask(net=tiny()))
    assert {row["step"] for row in rows(tmp_path)} == {"1"}


def test_frozen_weights_are_kept_no_longer_than_it_takes_to_see_that_they_rest():
    net = Normed()
    moving = Moving(net)
    for _ in range(2):
        moving.keep()
        net(torch.rand(2, 3, 4, 4))
    assert len(moving._copies) == 3 + 1  # the buffers of the norm, and the follower


def test_an_impossible_limit_is_named():
    with pytest.raises(InputError, match="--max_skipped 0: expected a whole number of at least 1"):
        NonFinite(max_skipped=0)


# Lightning starts this file again for the second rank.
TWO_RANKS = """\
import sys
import lightning as L
import torch
from aio.cli import AioCLI

class Spoil(L.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 1 and trainer.global_rank == 1:
            batch["degraded"][0, 0, 0, 0] = float("nan")

class Note(L.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, module, *_):
        moments = {i: dict(state) for i, state in trainer.optimizers[0].state_dict()["state"].items()}
        average = cli.trainer.callbacks[0]._average_model.state_dict()
        now = {"weights": dict(module.state_dict()), "moments": moments, "average": dict(average)}
        self.seen.append(torch.utils._pytree.tree_map(lambda value: value.clone(), now))

cli, note = AioCLI(sys.argv[2:]), Note()
cli.trainer.callbacks.insert(1, Spoil())
cli.trainer.callbacks.append(note)
cli.fit()
ended = {"seen": note.seen, "skipped": cli.config_init.skip.skipped}
torch.save(ended, f"{sys.argv[1]}/rank{cli.trainer.global_rank}.pt")
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--accum_grad", "2"], ["--distributed.compression", "fp16"]], ids=str)
def test_a_rank_that_alone_goes_wrong_is_followed_by_all(tmp_path, short_fit, words):
    (tmp_path / "train.py").write_text(TWO_RANKS)
    length = ["--data.samples_per_epoch", "24", "--epochs", "1", "--num_gpus", "2", "--ckpt_dir", str(tmp_path / "run")]
    command = [sys.executable, str(tmp_path / "train.py"), str(tmp_path), *short_fit, *length, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, env={**os.environ}, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    assert [rank["skipped"] for rank in ranks] == [1, 1]
    assert same(ranks[0]["seen"][-1], ranks[1]["seen"][-1])
    of_step = 2 if "--accum_grad" in words else 1  # batches
    before, at = of_step - 1, 2 * of_step - 1  # those that end the first and the second step
    for seen in (rank["seen"] for rank in ranks):
        assert same(seen[at], seen[before])
        assert not same(seen[-1]["weights"], seen[at]["weights"])
    wrong = rows(tmp_path / "run")
    assert {row["rank"] for row in wrong} == {"1"}
    assert len(wrong) == 2 * of_step
