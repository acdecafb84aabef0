"""DFRG: its gates and its experts computed by hand, and what the task id does."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aio.nets.dfrg import DFRG, NUM_EXPERTS, UNKNOWN_TASK
from aio.nets.lora import SpatialLowRankConv, pointwise

BLIND = torch.full((3,), UNKNOWN_TASK)


def vector(conv, x):
    y = x @ conv.weight[:, :, 0, 0].T
    return y if conv.bias is None else y + conv.bias


def squeezed(net, x):
    return F.relu(vector(net.fc1, torch.cat([x.mean((2, 3)), x.flatten(2).max(2).values], 1)))


def spatial_gate(net, x):
    statistics = torch.stack([x.mean(1), x.max(1).values], 1)
    return torch.sigmoid(F.conv2d(statistics, net.spatial_gate[0].weight, padding=3))


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.randn(3, 16, 9, 8)


def randomised(**arguments):
    net = DFRG(16, num_tasks=7, **arguments)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    return net


def test_seed_has_two_gates_and_idle_experts(image):
    net = randomised(use_experts=False)
    channel = torch.sigmoid(vector(net.fc2, squeezed(net, image)))[:, :, None, None]
    expected = image * channel * spatial_gate(net, image)
    torch.testing.assert_close(net(image, BLIND), expected)
    torch.testing.assert_close(net(image, torch.tensor([0, 1, 2])), expected)
    idle = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert idle == {"expert_selector.0.weight", "expert_selector.0.bias"}


@pytest.mark.parametrize("task", [(-1, -1, -1), (0, 6, 3), (4, -1, 4)])
def test_experts_are_mixed_by_features_and_task(image, task):
    net = randomised()
    hidden = squeezed(net, image)
    expected = []
    for i, t in enumerate(task):
        logits = vector(net.expert_selector[0], hidden[i])
        if t >= 0:
            logits = logits + net.task_logits[t]
        mixed = sum(weight * expert for weight, expert in zip(logits.softmax(0), net.experts, strict=True))
        channel = 2 * torch.sigmoid(vector(net.fc2, hidden[i]) + mixed[:16])
        gated = image[i] * channel[:, None, None] * 2 * spatial_gate(net, image)[i]
        expected.append(gated + mixed[16:, None, None])
    torch.testing.assert_close(net(image, torch.tensor(task)), torch.stack(expected))


def test_low_rank_reaches_the_seed_only():
    conv = partial(pointwise, kind="seed", ratio=0.8)
    assert isinstance(DFRG(64, use_experts=False, conv=conv).fc1, SpatialLowRankConv)
    net = DFRG(64, conv=conv)
    assert {type(net.fc1), type(net.fc2), type(net.expert_selector[0])} == {nn.Conv2d}


def test_starts_near_identity_and_at_it_without_experts(image):
    net = DFRG(16)
    assert (net(image, BLIND) - image).abs().max() < 0.2
    nn.init.zeros_(net.experts)
    torch.testing.assert_close(net(image, BLIND), image)


def test_each_task_starts_with_an_expert_of_its_own():
    favourites = DFRG(16, num_tasks=8).task_logits.argmax(1).tolist()
    assert favourites == [t % NUM_EXPERTS for t in range(8)]
