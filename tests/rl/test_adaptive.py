"""A net under a policy, against the outcomes that were computed beforehand, and in the engine that restores images."""

import numpy as np
import pytest
import torch

from aio.inference.tiles import restore_image
from aio.rl.actions import passed
from aio.rl.adaptive import AdaptiveNet, tile_of
from aio.rl.agent import decisions
from aio.rl.rollouts import roll_out
from rl.test_actions import tiny
from rl.test_policy import COSTS, make_policy


@pytest.fixture(scope="module")
def patches():
    torch.manual_seed(2)
    return torch.rand(6, 3, 32, 32) * torch.linspace(0.1, 1, 6)[:, None, None, None]


@pytest.fixture(scope="module")
def adaptive(patches):
    """A policy that wants different things of these patches."""
    net = tiny()
    rollouts = roll_out(net, patches, patches, costs=[cost / 10 for cost in COSTS], tasks=[0] * 6, steps=3)
    policy = next(policy for policy in map(fickle, range(200)) if len(set(decisions(policy, rollouts)[2])) > 2)
    return AdaptiveNet(net=net, policy=policy).eval(), rollouts


def fickle(seed):
    policy = make_policy(steps=3)
    torch.manual_seed(seed)
    for weights in policy.values.parameters():
        torch.nn.init.normal_(weights, std=2)
    return policy


def test_it_does_what_was_computed_beforehand(adaptive, patches):
    net, rollouts = adaptive
    errors, spent, taken = decisions(net.policy, rollouts)
    net.forget()
    restored = net(patches)
    assert net.chosen == taken
    np.testing.assert_allclose((restored - patches).square().mean(dim=(1, 2, 3)), errors, rtol=1e-4, atol=1e-9)
    assert net.macs == pytest.approx(float(spent.sum()) * max(COSTS), rel=1e-5)


def test_a_batch_is_its_patches_one_by_one(adaptive, patches):
    net, _ = adaptive
    alone = torch.cat([net(patch[None]) for patch in patches])
    torch.testing.assert_close(net(patches), alone, rtol=0, atol=1e-5)


def test_its_passes_are_those_of_the_net(adaptive, patches):
    net, _ = adaptive
    net.chosen = []
    restored = net(patches)
    for number, actions in enumerate(net.chosen):
        estimate = patches[number : number + 1]
        for action in actions:
            estimate = passed(net.net, action, patches[number : number + 1], estimate)
        torch.testing.assert_close(restored[number : number + 1], estimate, rtol=0, atol=1e-5)


def test_images_go_through_it_by_tiles(adaptive):
    net, _ = adaptive
    net.chosen = []
    image = torch.rand(3, 150, 100)
    restored = restore_image(net, image, tile=96, overlap=32)
    assert restored.shape == image.shape
    assert len(net.chosen) > 1


def test_its_config_names_net_and_policy(adaptive):
    net, _ = adaptive
    assert net.config["class_path"] == net.net.config["class_path"]
    assert net.config["policy"]["price"] == net.policy.about.price


def test_a_policy_brings_its_tiles(adaptive):
    net, _ = adaptive
    assert [tile_of(net, tile) for tile in ("auto", "none", 512)] == [32, 32, 512]
    assert tile_of(net.net, "auto") == "auto"
