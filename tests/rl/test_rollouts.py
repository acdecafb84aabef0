"""Rollouts against passes one by one, and where actions lead."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aio.rl.actions import ACTIONS, REFINE, STOP, passed, sequences
from aio.rl.observation import LOOKS, SIZE, changes, looks, observe
from aio.rl.rollouts import psnr_of, roll_out, transitions
from rl.test_actions import tiny

COSTS = [0, 0.4, 0.9, 0.9, 1, 0.4]


@pytest.fixture(scope="module")
def rolled():
    torch.manual_seed(1)
    net, degraded, clean = tiny(), torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32)
    return net, degraded, clean, roll_out(net, degraded, clean, costs=COSTS, tasks=[0, 1, 2], steps=2, batch=2)


def test_every_node_is_what_the_passes_give(rolled):
    net, degraded, clean, rollouts = rolled
    for node, path in enumerate(sequences(2)):
        estimate = degraded
        for action in path:
            estimate = passed(net, action, degraded, estimate)
        expected = (estimate - clean).square().mean(dim=(1, 2, 3))
        np.testing.assert_allclose(rollouts.errors[:, node], expected, rtol=1e-5)
        np.testing.assert_allclose(rollouts.looks[:, node], looks(estimate), atol=1e-4)
        np.testing.assert_allclose(rollouts.changes[:, node], changes(degraded, estimate), atol=1e-4)


def test_progress_is_told(rolled):
    net, degraded, clean, _ = rolled
    done = []
    roll_out(net, degraded, clean, costs=COSTS, tasks=[0] * 3, steps=1, batch=2, progress=done.append)
    assert done == [2, 3]


@given(st.lists(st.integers(0, len(ACTIONS) - 1), max_size=4))
def test_actions_lead_where_their_passes_do(path):
    table, nodes = transitions(4), sequences(4)
    node, expected = 0, ()
    for action in path:
        node = table[node, action]
        if action == REFINE:
            expected = (*expected, REFINE) if expected else (1,)
        elif action != STOP:
            expected = (action,)
    assert nodes[node] == expected


def test_psnr_ends_where_nobody_sees_more():
    np.testing.assert_allclose(psnr_of(np.array([0.01, 1e-9, 0.0], np.float32)), [20, 50, 50], rtol=1e-6)


def test_an_observation_is_finite_and_of_its_size():
    flat = torch.zeros(2, 3, 16, 16)
    spent, last = torch.zeros(2), torch.full((2,), STOP)
    seen = observe(flat, flat + 1, steps=1, spent=spent, last=last)
    assert seen.shape == (2, SIZE)
    assert torch.isfinite(seen).all()


def test_noise_is_seen():
    torch.manual_seed(0)
    flat = torch.full((1, 3, 64, 64), 0.5)
    noisy = [flat + torch.randn_like(flat) * sigma for sigma in (0.02, 0.08)]
    weak, strong = (looks(image)[0, 10] for image in noisy)  # Immerkaer's estimate of the luma's noise
    luma_share = (0.299**2 + 0.587**2 + 0.114**2) ** 0.5
    assert 10**weak == pytest.approx(0.02 * luma_share, rel=0.05)
    assert 10**strong == pytest.approx(0.08 * luma_share, rel=0.05)
    assert looks(flat).shape == (1, LOOKS)
