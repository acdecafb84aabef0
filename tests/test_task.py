"""RestorationTask: schedule, steps and scores against hand computations, on nets and batches made here."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from aio.errors import InputError
from aio.metrics import find_protocol
from aio.nets.base import RestorationNet
from aio.nets.restormer import Restormer
from aio.task import RestorationTask, WarmupCosine
from training import batch_of, loader, tiny, trainer_for

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")


class Colour(RestorationNet):
    """One 1x1 convolution, at first the identity; remembers the task ids and views it was given, adds 0.25 of loss."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 3, kernel_size=1)
        nn.init.dirac_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)
        self.told: list[Any] = []
        self.views: list[Any] = []

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        self.told.append(task)
        return self.mix(image)

    def extra_losses(self, second_view: Tensor | None = None) -> dict[str, Tensor]:
        self.views.append(second_view)
        return {"extra": torch.tensor(0.25)}


def part(batch: dict[str, Any], wanted: slice) -> dict[str, Any]:
    return {key: value[wanted] for key, value in batch.items()}


class Recorder(L.Callback):
    """What the optimiser saw: learning rates, gradients after clipping, and the losses."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.gradients: list[Tensor] = []
        self.losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.optimizers[0].register_step_post_hook(lambda optimizer, *_: self._record(optimizer))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"].item())

    def _record(self, optimizer: torch.optim.Optimizer) -> None:
        (group,) = optimizer.param_groups
        self.rates.append(group["lr"])
        self.gradients.append(torch.cat([p.grad.detach().flatten().clone() for p in group["params"]]))


def fitted(task: RestorationTask, batches: list[dict[str, Any]], **arguments: Any) -> Recorder:
    recorder = Recorder()
    trainer_for(callbacks=[recorder], **arguments).fit(task, train_dataloaders=loader(batches))
    return recorder


def test_warmup_cosine_by_hand():
    factor = WarmupCosine(warmup=4, total=12, floor=0.1)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [factor(step) for step in (4, 8, 12)] == pytest.approx([1.0, 0.55, 0.1])
    assert factor(6) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)
    assert factor(99) == pytest.approx(0.1)


def test_warmup_of_a_part_of_a_step_and_of_none():
    assert WarmupCosine(warmup=1.5, total=10, floor=0.0)(0) == 0.5
    assert WarmupCosine(warmup=0, total=10, floor=0.0)(0) == 1.0


def test_warmup_cosine_without_an_end_stays_at_its_height():
    factor = WarmupCosine(warmup=2, total=math.inf, floor=0.1)
    assert [factor(step) for step in (0, 1, 2, 10**9)] == [0.5, 1.0, 1.0, 1.0]


def restormers(step: int) -> float:
    """Restormer's rate: two cosines, of 92,000 steps from 3e-4 to 3e-4 and of 208,000 from there to 1e-6."""
    length, floor, start = (92_000, 3e-4, 0) if step < 92_000 else (208_000, 1e-6, 92_000)
    return floor + 0.5 * (3e-4 - floor) * (1 + math.cos(math.pi * (step - start) / length))


def test_a_held_rate_is_that_of_restormer():
    factor = WarmupCosine(warmup=0, hold=92_000, total=300_000, floor=1e-6 / 3e-4)
    steps = [0, 1, 91_999, 92_000, 92_001, 150_000, 196_000, 299_999, 300_000]
    assert [3e-4 * factor(step) for step in steps] == pytest.approx([restormers(step) for step in steps], rel=1e-12)
    assert WarmupCosine(warmup=2, hold=3, total=9, floor=0.0)(4) == 1.0
    assert WarmupCosine(warmup=2, hold=3, total=9, floor=0.0)(7) == pytest.approx(0.5)
    assert WarmupCosine(warmup=2, hold=99, total=9, floor=0.0)(8) == 1.0  # held beyond the end


@pytest.mark.parametrize(
    ("arguments", "factors"),
    [
        ({"max_epochs": 3}, [0.5, 1, 1, 1, 1, 0.9619, 0.8536, 0.6913, 0.5, 0.3087, 0.1464, 0.03806]),
        ({"max_epochs": 3, "accumulate_grad_batches": 2}, [1, 1, 1, 0.8536, 0.5, 0.1464]),
    ],
    ids=["epochs", "accumulated"],
)
def test_the_rate_is_held_after_the_warmup(arguments, factors):
    """Half an epoch of warm-up, half of holding, two of falling."""
    task = RestorationTask(net=Colour(), lr=1e-3, min_lr=0.0, warmup_epochs=0.5, hold_epochs=0.5)
    recorder = fitted(task, [batch_of(1)] * 4, **arguments)
    assert recorder.rates == pytest.approx([1e-3 * factor for factor in factors], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "factors"),
    [
        ({"max_epochs": 2}, [0.25, 0.5, 0.75, 1.0, 1.0, 0.8535, 0.5, 0.1465]),
        ({"max_epochs": 2, "accumulate_grad_batches": 2}, [0.5, 1.0, 1.0, 0.5]),
        ({"max_steps": 6}, [0.25, 0.5, 0.75, 1.0, 1.0, 0.5]),
        ({"max_epochs": 120, "max_steps": 6}, [0.25, 0.5, 0.75, 1.0, 1.0, 0.5]),
    ],
    ids=["epochs", "accumulated", "steps", "steps_before_epochs"],
)
def test_one_epoch_of_warmup_is_one_epoch_of_steps(arguments, factors):
    task = RestorationTask(net=Colour(), lr=1e-3, min_lr=0.0, warmup_epochs=1)
    recorder = fitted(task, [batch_of(1)] * 4, **arguments)
    assert recorder.rates == pytest.approx([1e-3 * factor for factor in factors], rel=1e-3)


def test_endless_training_warms_up_and_stays():
    task = RestorationTask(net=Colour(), lr=1e-3, warmup_epochs=0.5)

    class Stop(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            trainer.should_stop = trainer.global_step == 5

    recorder = Recorder()
    trainer_for(callbacks=[recorder, Stop()], max_epochs=-1).fit(task, train_dataloaders=loader([batch_of(1)] * 4))
    assert recorder.rates == pytest.approx([0.5e-3, 1e-3, 1e-3, 1e-3, 1e-3])


def test_loss_is_the_criterion_and_what_the_net_adds():
    batch = batch_of(2)
    task = RestorationTask(net=Colour())
    recorder = fitted(task, [batch], max_epochs=1)
    assert recorder.losses == pytest.approx([(batch["degraded"] - batch["clean"]).abs().mean().item() + 0.25], rel=1e-6)


def test_the_net_is_given_the_second_view_once_where_there_is_one():
    net, batch = Colour(), batch_of(2)
    task = RestorationTask(net=net)
    fitted(task, [batch, batch | {"second_view": batch["clean"]}], max_epochs=1)
    assert [view if view is None else view.tolist() for view in net.views] == [None, batch["clean"].tolist()]


@pytest.mark.parametrize("tell_task", [False, True])
def test_the_net_is_told_the_task_on_demand_alone(tell_task):
    net, batch = Colour(), batch_of(2)
    task = RestorationTask(net=net, tell_task=tell_task)
    task.validation_step(batch, 0)
    fitted(task, [batch], max_epochs=1)
    assert [told is not None and told.tolist() == batch["task"].tolist() for told in net.told] == [tell_task] * 2


def test_training_loss_falls_on_one_batch():
    task = RestorationTask(net=tiny(), lr=1e-3)
    losses = fitted(task, [batch_of(2)] * 30, max_epochs=1).losses
    assert losses[-1] < 0.7 * losses[0]


def test_bfloat16_stays_finite_and_learns_as_float32_does():
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        recorder = fitted(RestorationTask(net=tiny(), lr=1e-3), [batch_of(2)] * 5, max_epochs=1, precision=precision)
        assert all(gradient.isfinite().all() for gradient in recorder.gradients)
        losses[precision] = recorder.losses
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)


def test_channels_last_gives_the_same_outputs():
    batch = batch_of(2, side=20)
    plain, last = (RestorationTask(net=tiny(), channels_last=flag) for flag in (False, True))
    last.setup("fit")
    assert last.net.patch_embed.proj.weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(plain(batch["degraded"]), last(batch["degraded"]), atol=1e-6)


def test_the_net_is_compiled_in_place_and_keeps_its_keys(monkeypatch):
    compiled = []
    monkeypatch.setattr(Restormer, "compile", lambda net: compiled.append(net))
    task = RestorationTask(net=tiny(), compile_net=True)
    assert not compiled
    task.setup("fit")
    assert compiled == [task.net]
    assert all(key.startswith("net.") for key in task.state_dict())


def test_two_accumulated_batches_are_one_of_twice_the_size():
    batch = batch_of(4)
    whole = fitted(RestorationTask(net=tiny()), [batch], max_epochs=1)
    halves = [part(batch, slice(0, 2)), part(batch, slice(2, 4))]
    accumulated = fitted(RestorationTask(net=tiny()), halves, max_epochs=1, accumulate_grad_batches=2)
    assert len(accumulated.gradients) == 1
    scale = whole.gradients[0].abs().max()
    assert (accumulated.gradients[0] - whole.gradients[0]).abs().max() < 1e-5 * scale


def test_gradients_are_clipped_by_their_norm():
    free = fitted(RestorationTask(net=tiny()), [batch_of(2)], max_epochs=1).gradients[0]
    limit = free.norm().item() / 2
    clipped = fitted(RestorationTask(net=tiny()), [batch_of(2)], max_epochs=1, gradient_clip_val=limit).gradients[0]
    assert clipped.norm().item() == pytest.approx(limit, rel=1e-4)
    assert torch.allclose(clipped, free / 2, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_optimiser_takes_what_is_trainable(name, kind):
    net = tiny()
    net.patch_embed.requires_grad_(False)
    task = RestorationTask(net=net, optimizer=name, betas=(0.8, 0.9), weight_decay=0.01)
    trainer = trainer_for(max_epochs=1)
    trainer.fit(task, train_dataloaders=loader([batch_of(1)]))
    (optimizer,) = trainer.optimizers
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["betas"], group["weight_decay"]) == ((0.8, 0.9), 0.01)
    assert len(group["params"]) == len(list(net.parameters())) - 1


@pytest.mark.parametrize("protocol", ["aio", "promptir"])
def test_scores_are_those_of_the_metrics(protocol):
    """Per image, before and after; their means per degradation, and the mean of these, as logged."""
    net = tiny()
    task = RestorationTask(net=net, protocol=protocol)
    batches = [
        batch_of(1, side=21, seed=seed, tasks=(name,)) for seed, name in enumerate(["derain", "dehaze", "derain"])
    ]
    trainer = trainer_for()
    trainer.validate(task, dataloaders=loader(batches), verbose=False)
    named = find_protocol(protocol)
    after = []
    for batch, row in zip(batches, sorted(task.scores.rows, key=lambda row: row.name), strict=True):
        degraded, clean = named.crop(batch["degraded"]), named.crop(batch["clean"])
        with torch.no_grad():
            restored = task(degraded).clamp(0, 1)
        assert [tuple(row[2:4])] == [tuple(score) for score in named.scores(degraded, clean)]
        assert [tuple(row[4:6])] == [tuple(score) for score in named.scores(restored, clean)]
        after.append(row.psnr)
    rain, haze = (after[0] + after[2]) / 2, after[1]
    logged = {key: value.item() for key, value in trainer.callback_metrics.items()}
    assert logged["val/derain/psnr"] == pytest.approx(rain, rel=1e-12)
    assert logged["val/dehaze/psnr"] == haze
    assert logged["val/psnr"] == pytest.approx((rain + haze) / 2, rel=1e-12)


def test_validation_returns_images_within_range():
    net = Colour()
    nn.init.constant_(net.mix.bias, 0.8)
    restored = RestorationTask(net=net).validation_step(batch_of(2), 0)
    assert (restored.min() >= 0, restored.max()) == (True, 1)


def test_fine_tuning_starts_from_the_weights(tmp_path):
    torch.save({"params": tiny(1).state_dict()}, tmp_path / "weights.pth")
    task = RestorationTask(net=tiny(0), fine_tune_from=str(tmp_path / "weights.pth"))
    assert torch.equal(task.net.output.weight, tiny(1).output.weight)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"lr": 0.0}, "--lr 0.0"),
        ({"lr": 1e-7}, "min_lr 1e-06"),
        ({"warmup_epochs": -1.0}, "--warmup_epochs -1.0"),
        ({"hold_epochs": -0.5}, "--model.hold_epochs -0.5"),
        ({"protocol": "best"}, "unknown protocol 'best'"),
    ],
)
def test_bad_values_are_named(arguments, says):
    with pytest.raises(InputError, match=says):
        RestorationTask(net=Colour(), **arguments)
