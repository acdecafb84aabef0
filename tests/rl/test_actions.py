"""Passes with few or many windows: what they compute, what they cost, and that the net stays as it was."""

import pytest
import torch

from aio.errors import InputError
from aio.nets.cost import traced_macs
from aio.nets.hybrid_stoformer import HybridStoformer
from aio.nets.restormer import Restormer
from aio.nets.stoformer import StochasticBlock
from aio.rl.actions import ACTIONS, DEAREST, FOUR, REFINE, STOP, macs_of_actions, passed, sequences, windows_of
from tiny_nets import TINY


def tiny(**changes):
    torch.manual_seed(0)
    net = HybridStoformer(**TINY["hybrid_stoformer"][1] | changes).eval()
    for block in net.modules():
        if isinstance(block, StochasticBlock):
            torch.nn.init.normal_(block.relative_position_bias_table)
    return net


def offsets(net):
    return [block.eval_offsets for block in net.modules() if isinstance(block, StochasticBlock)]


@pytest.mark.parametrize("action", range(1, len(ACTIONS)))
def test_a_pass_is_that_of_a_net_built_with_these_windows(action):
    net, built = tiny(), tiny(eval_windows=ACTIONS[action].windows)
    built.load_state_dict(net.state_dict())
    degraded, estimate = torch.rand(2, 3, 32, 64), torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        expected = built(estimate if action == REFINE else degraded).clamp(0, 1)
    torch.testing.assert_close(passed(net, action, degraded, estimate), expected, rtol=0, atol=0)


def test_windows_are_given_back():
    net = tiny()
    before = offsets(net)
    with windows_of(net, FOUR):
        assert offsets(net) == [FOUR] * len(before)
    assert offsets(net) == before
    with pytest.raises(ValueError, match="windows are"), windows_of(net, [(9, 9)]):
        pass
    assert offsets(net) == before


def test_a_net_without_windows_is_refused():
    with pytest.raises(InputError, match="Restormer has no stochastic windows"), windows_of(Restormer(dim=8), "all"):
        pass


def test_to_stop_is_no_pass():
    with pytest.raises(ValueError, match="'stop' is no pass"):
        passed(tiny(), STOP, torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))


def test_costs_are_those_of_the_passes():
    net = tiny()
    stop, one, four, nine, every, refine = macs_of_actions(net, 64)
    with windows_of(net, FOUR):
        assert four == traced_macs(net, 64)
    assert stop == 0 < one < four <= nine <= every
    assert refine == one


@pytest.mark.slow
def test_the_cost_of_many_windows_on_small_maps_is_that_of_their_pass():
    net = tiny()
    with windows_of(net, "all"):
        assert macs_of_actions(net, 64)[DEAREST] == traced_macs(net, 64)


def test_sequences_are_a_pass_and_refinements():
    assert sequences(1) == [(), (1,), (2,), (3,), (4,)]
    assert (4, REFINE, REFINE) in sequences(3)
    assert len(sequences(3)) == 1 + 4 * 3
