"""The loss as options: which terms, with which weights, and that its networks stay out of the task."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import timm
import torch

from aio.callbacks.mixed_loss import MixedLoss
from aio.errors import InputError
from aio.losses.edge import EdgeDifference, EdgeWeighted
from aio.losses.perceptual import Perceptual
from aio.losses.pixel import L1, L2, Charbonnier
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


@pytest.mark.parametrize(("loss_type", "kind"), [("l1", L1), ("l2", L2), ("charbonnier", Charbonnier)])
def test_weights_of_zero_leave_a_term_out_and_load_no_vgg(loss_type, kind):
    terms = MixedLoss(loss_type=loss_type, pixel_weight=2.0, perceptual_weight=0, edge_weight=0).build().terms
    assert [(name, type(term), weight) for name, (term, weight) in terms.items()] == [(loss_type, kind, 2.0)]


def test_the_edge_can_be_multiplied():
    terms = MixedLoss(perceptual_weight=0, edge_mode="multiply").build().terms
    assert isinstance(terms["edge"][0], EdgeWeighted)


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
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    loss.setup(trainer, task, "validate")
    assert "perceptual" not in task.criterion.terms
    loss.setup(trainer, task, "fit")
    assert {p.device.type for p in task.criterion.terms["perceptual"][0].parameters()} == {"meta"}
