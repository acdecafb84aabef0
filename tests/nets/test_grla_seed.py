"""The published GRLA re-implementation, with and without its layer norms."""

import pytest
import torch

from aio.nets.base import count_parameters, restore_any_size
from aio.nets.grla_seed import GRLASeed
from support import assert_official


@pytest.mark.parametrize(
    ("name", "layer_norm", "parameters"),
    [("grla_seed_x4", False, 863_556), ("grla_seed_x4_layernorm", True, 865_536)],
)
def test_equals_the_official_release(name, layer_norm, parameters):
    net = GRLASeed(layer_norm=layer_norm)
    assert count_parameters(net) == parameters
    assert_official(net, name)


@pytest.mark.parametrize(("scale", "parameters"), [(2, 536_196), (3, 672_596)])
def test_parameters_by_scale(scale, parameters):
    with torch.device("meta"):
        assert count_parameters(GRLASeed(scale=scale)) == parameters


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 10), (16, 8)])
def test_enlarges_any_size_by_scale(scale, size):
    net = GRLASeed(scale=scale, dim=8, num_blocks=1, num_heads=2).eval()
    assert (net.in_channels, net.out_channels) == (1, 1)
    assert restore_any_size(net, torch.rand(2, 1, *size)).shape == (2, 1, scale * size[0], scale * size[1])


def test_mixed_precision_stays_close():
    torch.manual_seed(0)
    net = GRLASeed(dim=10, num_blocks=2).eval()
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = net(image).float()
    torch.testing.assert_close(mixed, net(image), atol=0.03, rtol=0)
