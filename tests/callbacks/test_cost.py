"""Parameters and multiply-accumulates: by hand, and against fvcore at the full size."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from aio.callbacks.cost import Cost
from aio.nets.base import RestorationNet
from aio.nets.cost import count_macs
from aio.task import RestorationTask
from training import tiny


class Gated(RestorationNet):
    """A 3x3 convolution per pixel and a linear map per image; sides in multiples of 48."""

    multiple_of = 48

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, kernel_size=3, padding=1)
        self.gate = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        return self.drop(self.body(image)) * self.gate(image.mean(dim=(2, 3)))[..., None, None]


def test_macs_by_hand_at_a_size_that_is_never_run():
    net = Gated()
    assert count_macs(net) == 3 * 3 * 9 * 256**2 + 3 * 3
    assert count_macs(net, side=512) == 3 * 3 * 9 * 512**2 + 3 * 3


def test_a_restormer_counts_as_fvcore_counts_it_at_256():
    net = tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fvcore's tracing
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(net.eval(), torch.zeros(1, 3, 256, 256))
        whole = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    assert count_macs(net) == whole


def test_counting_leaves_the_net_as_it_is():
    net = Gated().to(torch.bfloat16).train()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    count_macs(net)
    assert net.training
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert net.body.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("steps_done", [0, 3])
def test_the_cost_is_printed_always_and_logged_by_the_first_start_alone(capsys, steps_done):
    logged = []
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.append((values, step)))
    trainer, cost = SimpleNamespace(loggers=[logger], global_step=steps_done), Cost()
    cost.setup(trainer, RestorationTask(net=Gated()), "fit")
    assert logged == []
    cost.on_train_start(trainer, RestorationTask(net=Gated()))
    expected = ({"cost/parameters": 84 + 12, "cost/gmacs": (81 * 256**2 + 9) / 1e9}, 0)
    assert logged == ([] if steps_done else [expected])
    assert "Gated: 96 parameters, 0.01 GMACs at 256 x 256" in capsys.readouterr().out
