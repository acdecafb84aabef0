"""Which nets see the whole image from every pixel is data of theirs; here it is searched for."""

from __future__ import annotations

import pytest
import torch

from aio.adapters.lowrank import LoRA
from aio.adapters.net import add_adapters
from aio.nets.nafnet import with_local_pooling
from tiny_nets import TINY, build

WIDTH = 1024
# Below are rounding, as of running sums, and what is left of a local net's reach after many of its blocks.
NOTHING = 2e-6


@torch.no_grad()
def sees_far(net):
    """Whether other pixels in the left quarter change what is 512 pixels away, and as far from where borders meet."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, net.in_channels, max(16, net.multiple_of), WIDTH, generator=generator)
    other = image.clone()
    other[..., : WIDTH // 4] = other[..., : WIDTH // 4] ** 4
    change = (net(image) - net(other)).abs().amax(dim=(0, 1, 2))
    near, far = change[: WIDTH // 4 * net.scale], change[WIDTH * 3 // 4 * net.scale : WIDTH * 7 // 8 * net.scale]
    assert near.max() > 0.1
    return far.max().item() > NOTHING


@pytest.mark.parametrize("name", TINY)
def test_a_net_says_whether_it_has_global_statistics(name):
    net = build(name)
    assert sees_far(net) == net.global_statistics


def test_local_pooling_and_adapters_say_what_is_true_of_them():
    net = build("nafnet")
    local = with_local_pooling(net, 64)
    assert (sees_far(net), sees_far(local)) == (net.global_statistics, local.global_statistics) == (True, False)
    assert add_adapters(build("nafnet"), {"dehaze": LoRA(rank=1, alpha=1.0)}).global_statistics
    assert not add_adapters(build("airnet"), {"dehaze": LoRA(rank=1, alpha=1.0)}).global_statistics
