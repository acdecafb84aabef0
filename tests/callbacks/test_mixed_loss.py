"""The loss as options: which terms, with which weights, from when, and that its networks stay out of the task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import timm
import torch

from aio.callbacks.mixed_loss import MixedLoss
from aio.errors import InputError
from aio.losses.edge import EdgeDifference, EdgeWeighted
from aio.losses.frequency import Frequency
from aio.losses.perceptual import Perceptual
from aio.losses.pixel import L1, L2, Charbonnier, NegativePSNR
from aio.nets.airnet import AirNet
from aio.task import RestorationTask
from training import batch_of, loader, tiny, trainer_for

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model("vgg16.tv_in1k", features_only=True, out_indices=(3,)).state_dict(), path)
    return str(path)


def test_the_default_is_charbonnier_with_perceptual_and_edge_terms(vgg_file):
    mixture = MixedLoss(vgg_weights=vgg_file).build()
    kinds = {name: (type(term), weight) for name, (term, weight) in mixture.terms.items()}
    assert kinds == {"charbonnier": (Charbonnier, 1.0), "edge": (EdgeDifference, 0.05), "perceptual": (Perceptual, 0.1)}


@pytest.mark.parametrize(
    ("loss_type", "kind"), [("l1", L1), ("l2", L2), ("charbonnier", Charbonnier), ("psnr", NegativePSNR)]
)
def test_weights_of_zero_leave_a_term_out_and_load_no_vgg(loss_type, kind):
    terms = MixedLoss(loss_type=loss_type, pixel_weight=2.0, perceptual_weight=0, edge_weight=0).build().terms
    assert [(name, type(term), weight) for name, (term, weight) in terms.items()] == [(loss_type, kind, 2.0)]


def test_the_edge_can_be_multiplied():
    terms = MixedLoss(perceptual_weight=0, edge_mode="multiply").build().terms
    assert isinstance(terms["edge"][0], EdgeWeighted)


def test_the_frequency_term_has_its_weight():
    terms = MixedLoss(perceptual_weight=0, edge_weight=0, frequency_weight=0.1).build().terms
    assert {name: (type(term), weight) for name, (term, weight) in terms.items()} == {
        "charbonnier": (Charbonnier, 1.0),
        "frequency": (Frequency, 0.1),
    }


def test_the_ceiling_rises_evenly_from_the_first_epoch_to_the_last():
    loss = MixedLoss(loss_type="psnr", psnr_ceiling=20, psnr_ceiling_last=32, perceptual_weight=0, edge_weight=0)
    clean = torch.full((1, 3, 4, 4), 0.5)
    best = []
    for epoch in (0, 1, 4):
        loss.on_train_batch_start(SimpleNamespace(current_epoch=epoch, max_epochs=5), None, None, 0)
        best.append(loss.build()(clean, clean)["psnr"].item())
    assert best == pytest.approx([-20, -23, -32])


@pytest.mark.parametrize(
    ("arguments", "epochs", "message"),
    [
        ({"loss_type": "l1"}, 1, "loss.psnr_ceiling_last 32: l1 has no ceiling"),
        ({"loss_type": "psnr"}, -1, "loss.psnr_ceiling_last 32: it is that of the last epoch: expected --epochs N"),
    ],
)
def test_a_ceiling_that_cannot_rise_is_refused(arguments, epochs, message):
    loss = MixedLoss(psnr_ceiling_last=32, perceptual_weight=0, **arguments)
    trainer = trainer_for(callbacks=[loss], max_epochs=epochs, max_steps=1)
    with pytest.raises(InputError, match=message):
        trainer.fit(RestorationTask(net=tiny()), loader([batch_of(2)]))


def test_all_weights_zero_are_refused():
    with pytest.raises(InputError, match="at least one term"):
        MixedLoss(pixel_weight=0, perceptual_weight=0, edge_weight=0).build()


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"none\.pth: no such file"):
        MixedLoss(vgg_weights="none.pth").build()


def test_training_logs_the_terms_and_their_weighted_sum(vgg_file):
    task = RestorationTask(net=tiny())
    trainer = trainer_for(callbacks=[MixedLoss(vgg_weights=vgg_file)], max_epochs=1)
    trainer.fit(task, loader([batch_of(2)]))
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    weights = {"train/charbonnier": 1.0, "train/edge": 0.05, "train/perceptual": 0.1}
    assert logged["train/loss"] == pytest.approx(sum(logged[name] * weight for name, weight in weights.items()))
    assert not any("vgg" in key for key in task.state_dict())


def test_it_goes_where_the_model_trains(vgg_file):
    """At this hook the module is still on the CPU."""
    task, loss = RestorationTask(net=tiny()), MixedLoss(vgg_weights=vgg_file)
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")), max_epochs=None)
    loss.setup(trainer, task, "validate")
    assert "perceptual" not in task.criterion.terms
    loss.setup(trainer, task, "fit")
    assert {p.device.type for p in task.criterion.terms["perceptual"][0].parameters()} == {"meta"}


class Diary(L.Callback):
    """After each epoch: what was logged, the restorer's and the encoder's weights, and which gradients were missing."""

    def __init__(self, stop_after: int | None) -> None:
        self.stop_after = stop_after
        self.logged: list[dict[str, float]] = []
        self.weights: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.missing: list[str] = []

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.missing += [name for name, p in pl_module.named_parameters() if p.requires_grad and p.grad is None]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.logged.append({name: value.item() for name, value in trainer.callback_metrics.items()})
        net = pl_module.net
        parts = (net.R, net.E.E.encoder_q)
        self.weights.append(tuple(torch.nn.utils.parameters_to_vector(part.parameters()).clone() for part in parts))
        trainer.should_stop = len(self.logged) == self.stop_after


def airnet_task() -> RestorationTask:
    torch.manual_seed(0)
    net = AirNet(dim=2, num_groups=1, num_blocks=1, queue_length=4)
    return RestorationTask(net=net, lr=1e-3, weight_decay=0.1, optimizer="adamw")


def fitted_from(
    start_epoch: int, epochs: int, *, stop_after: int | None = None, ckpt_path: str | None = None
) -> tuple[L.Trainer, Diary]:
    diary = Diary(stop_after)
    loss = MixedLoss(loss_type="l1", perceptual_weight=0, edge_weight=0, start_epoch=start_epoch)
    trainer = trainer_for(callbacks=[loss, diary], max_epochs=epochs)
    batch = batch_of(2) | {"second_view": batch_of(2, seed=1)["degraded"]}
    trainer.fit(airnet_task(), loader([batch] * 2), ckpt_path=ckpt_path, weights_only=True)
    return trainer, diary


def only_own(logged: dict[str, float]) -> bool:
    """Whether the net's own loss alone was trained; the others are logged as they are in either case."""
    assert min(logged["train/l1"], logged["train/contrastive"]) > 0
    full = logged["train/contrastive"] + logged["train/l1"]
    assert logged["train/loss"] in (pytest.approx(full), pytest.approx(logged["train/contrastive"]))
    return logged["train/loss"] != pytest.approx(full)


def test_before_the_start_only_the_nets_own_losses_train():
    """The restorer rests to the bit, though AdamW would shrink its weights; DDP finds every gradient."""
    initial = torch.nn.utils.parameters_to_vector(airnet_task().net.R.parameters())
    _, diary = fitted_from(start_epoch=2, epochs=3)
    assert [only_own(logged) for logged in diary.logged] == [True, True, False]
    (restorer_1, encoder_1), (restorer_2, encoder_2), (restorer_3, _) = diary.weights
    assert torch.equal(restorer_1, initial)
    assert torch.equal(restorer_2, initial)
    assert not torch.equal(encoder_1, encoder_2)
    assert not torch.equal(restorer_3, initial)
    assert diary.missing == []


def test_the_optimiser_counts_the_restorers_steps_from_the_start():
    """After many steps with moments of zero, Adam's first real ones would be up to 6.5 times as long as the rate."""
    trainer, _ = fitted_from(start_epoch=2, epochs=3)
    net = trainer.lightning_module.net
    for part, steps in ((net.R, 2), (net.E.E.encoder_q, 6)):
        assert {int(trainer.optimizers[0].state[p]["step"]) for p in part.parameters()} == {steps}


def test_a_resumed_training_starts_its_loss_when_an_uninterrupted_one_does(tmp_path):
    for done in (1, 3):  # before and after the start
        first, _ = fitted_from(start_epoch=2, epochs=3, stop_after=done)
        first.save_checkpoint(tmp_path / "half.ckpt")
        _, rest = fitted_from(start_epoch=2, epochs=4, ckpt_path=str(tmp_path / "half.ckpt"))
        assert [only_own(logged) for logged in rest.logged] == [True, True, False, False][done:]


@pytest.mark.parametrize(
    ("net", "start_epoch", "epochs", "says"),
    [
        (tiny(), 1, 3, "Restormer has no losses of its own"),
        (AirNet(dim=2, num_groups=1, num_blocks=1, contrastive_weight=0.0), 1, 3, "AirNet has no losses of its own"),
        (AirNet(dim=2, num_groups=1, num_blocks=1), 3, 3, "start_epoch 3 of 3 epochs: expected fewer"),
    ],
)
def test_a_start_that_leaves_nothing_to_train_is_refused(net, start_epoch, epochs, says):
    trainer = trainer_for(callbacks=[MixedLoss(perceptual_weight=0, start_epoch=start_epoch)], max_epochs=epochs)
    with pytest.raises(InputError, match=says):
        trainer.fit(RestorationTask(net=net), loader([batch_of(2)]))


def test_a_start_before_the_first_epoch_is_refused():
    with pytest.raises(InputError, match="start_epoch -1"):
        MixedLoss(start_epoch=-1)
