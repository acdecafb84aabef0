"""The average of the weights: closed form, faults, and what a checkpoint holds."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from aio.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from aio.callbacks.ema import EMA, refuse_lost_average
from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.task import RestorationTask
from training import batch_of, loader, tiny, trainer_for

pytestmark = [
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings(
        "ignore:Be aware that when using `ckpt_path`, callbacks"
    ),  # resumed to look, not to keep
]
KEY = "net.output.weight"


class Weights(L.Callback):
    """Raw weights after every step, and those in place during validation and at the end."""

    def __init__(self, rest_at: int | None = None) -> None:
        self.raw: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []
        self.rest_at = rest_at

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self.raw.append(pl_module.state_dict()[KEY].clone())

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.rest_at:
            pl_module.zero_grad()

    def on_validation_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not trainer.sanity_checking:
            self.validated.append(pl_module.state_dict()[KEY].clone())


def train(ema: EMA | None, *others: L.Callback, steps: int = 6, **arguments: Any) -> tuple[RestorationTask, L.Trainer]:
    task = RestorationTask(net=tiny(), lr=1e-2)
    trainer = trainer_for(callbacks=[*([ema] if ema else []), *others], max_epochs=1, **arguments)
    batches = loader([batch_of(1, seed=step) for step in range(steps)])
    trainer.fit(task, batches, loader([batch_of(1)]))
    return task, trainer


def by_hand(weights: list[torch.Tensor], decay: float) -> torch.Tensor:
    """The first weights are the average; from then on min(decay, (1 + n) / (10 + n)) of it is kept."""
    average = weights[0].double()
    for n, new in enumerate(weights[1:], start=1):
        kept = min(decay, (1 + n) / (10 + n))
        average = kept * average + (1 - kept) * new.double()
    return average


@pytest.mark.parametrize("decay", [0.999, 0.3])
def test_the_average_is_the_closed_form(decay):
    """With 0.3 the warm-up ends within the run, at n = 3. Validated and left behind is the average."""
    seen = Weights()
    task, _ = train(EMA(decay=decay), seen)
    expected = by_hand(seen.raw, decay)
    assert len(seen.raw) == 6
    assert torch.allclose(seen.validated[0].double(), expected, atol=1e-6)
    assert torch.equal(task.net.output.weight, seen.validated[0])
    assert not torch.allclose(expected.float(), seen.raw[-1], atol=1e-4)


def test_accumulated_batches_are_one_update():
    seen = Weights()
    task, _ = train(EMA(decay=0.3), seen, accumulate_grad_batches=2)
    assert torch.allclose(task.net.output.weight.double(), by_hand(seen.raw[1::2], 0.3), atol=1e-6)


def test_a_step_without_gradients_is_no_update():
    seen = Weights(rest_at=3)
    task, _ = train(EMA(decay=0.3), seen)
    assert torch.equal(seen.raw[3], seen.raw[2])
    assert torch.allclose(task.net.output.weight.double(), by_hand([*seen.raw[:3], *seen.raw[4:]], 0.3), atol=1e-6)


class Counting(RestorationNet):
    """Batch norm has a counter, which cannot be averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Conv2d(3, 3, kernel_size=1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, image: torch.Tensor, task: torch.Tensor | None = None) -> torch.Tensor:
        return self.norm(self.output(image))


def test_statistics_are_averaged_and_counters_copied():
    task = RestorationTask(net=Counting())
    batches = loader([batch_of(2, seed=step) for step in range(5)])
    trainer_for(callbacks=[EMA(decay=0.3)], max_epochs=1).fit(task, batches)
    assert task.net.norm.num_batches_tracked.item() == 5
    assert 0 < task.net.norm.running_mean.abs().max() < 1


def test_the_average_lives_where_the_model_trains():
    """At this hook the module is still on the CPU."""
    task = RestorationTask(net=tiny())
    trainer = SimpleNamespace(callbacks=[], strategy=SimpleNamespace(root_device=torch.device("meta")))
    for ema, device in ((EMA(), "meta"), (EMA(device="cpu"), "cpu")):
        ema.setup(trainer, task, "fit")
        assert {p.device.type for p in ema._average_model.parameters()} == {device}
    assert task.device.type == "cpu"


def test_checkpoints_of_raw_weights_alone_are_refused():
    keep = ModelCheckpoint(save_weights_only=True)
    trainer = SimpleNamespace(callbacks=[keep])
    with pytest.raises(InputError, match="save_weights_only=True"):
        EMA().setup(trainer, RestorationTask(net=tiny()), "fit")


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_impossible_decay_is_named(decay):
    with pytest.raises(InputError, match=f"--ema_decay {decay}"):
        EMA(decay=decay)


def test_it_can_be_pickled_and_copied():
    ema = EMA(decay=0.25)
    train(ema, steps=1)
    for again in (pickle.loads(pickle.dumps(ema)), copy.deepcopy(ema)):
        assert again.decay == 0.25
        averages = [torch.zeros(2)]
        again._kwargs["multi_avg_fn"](averages, [torch.ones(2)], 1000)
        assert averages[0].tolist() == [0.75, 0.75]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Of a training with the average and of one without, and the raw weights of the former."""
    seen, folders = Weights(), {}
    for name, ema in (("with", EMA(decay=0.9)), ("without", None)):
        folders[name] = tmp_path_factory.mktemp(name)
        keep = Checkpoints()
        keep.dirpath = str(folders[name])
        io = {"plugins": [AtomicCheckpointIO()], "default_root_dir": folders[name]}
        train(ema, *([seen] if ema else []), keep, keep.last(), steps=3, enable_checkpointing=True, **io)
    return folders["with"] / "last.ckpt", folders["without"] / "last.ckpt", seen.raw


def test_the_state_dict_of_a_checkpoint_is_the_average(checkpoints):
    stored = torch.load(checkpoints[0], weights_only=True)
    assert torch.allclose(stored["state_dict"][KEY].double(), by_hand(checkpoints[2], 0.9), atol=1e-6)
    assert torch.equal(stored["current_model_state"][KEY], checkpoints[2][-1])
    assert stored["averaging_state"]["n_averaged"].item() == 3
    assert stored["ema_decay"] == 0.9


def test_resuming_takes_up_average_and_raw_weights(checkpoints):
    seen = Weights()
    task = RestorationTask(net=tiny(), lr=1e-2)
    trainer = trainer_for(callbacks=[EMA(decay=0.9), seen], max_epochs=2)
    data = loader([batch_of(1, seed=step) for step in range(3)])
    trainer.fit(task, data, loader([batch_of(1)]), ckpt_path=checkpoints[0], weights_only=True)
    assert len(seen.raw) == 3
    assert torch.allclose(seen.validated[0].double(), by_hand([*checkpoints[2], *seen.raw], 0.9), atol=1e-6)


def test_resuming_without_the_average_is_refused(checkpoints):
    with_average, without, _ = (torch.load(path, weights_only=True) for path in (*checkpoints[:2], checkpoints[1]))
    with pytest.raises(InputError, match=r"--use_ema true --ema_decay 0\.9"):
        refuse_lost_average(with_average, has_ema=False)
    refuse_lost_average(with_average, has_ema=True)
    refuse_lost_average(without, has_ema=False)


def test_resuming_with_an_average_that_the_checkpoint_lacks_is_refused(checkpoints):
    trainer = trainer_for(callbacks=[EMA()], max_epochs=2)
    with pytest.raises(InputError, match=r"holds no averaged weights.*--use_ema false"):
        trainer.fit(RestorationTask(net=tiny()), loader([batch_of(1)]), ckpt_path=checkpoints[1], weights_only=True)
