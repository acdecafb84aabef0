"""DCTLSA, and GRLA on its skeleton."""

import pytest
import torch
import torch.nn.functional as F

from aio.nets.base import count_parameters, restore_any_size
from aio.nets.dctlsa import DCTLSA
from aio.nets.grla import GRLA, GaussianAttention, SoftmaxWindowAttention
from support import assert_official, official_keys

PARAMETERS = {2: 867_472, 3: 874_912, 4: 885_328}


def test_dctlsa_equals_the_official_release():
    assert_official(DCTLSA(), "dctlsa_x4")


@pytest.mark.parametrize("kind", [DCTLSA, GRLA])
@pytest.mark.parametrize("scale", PARAMETERS)
def test_parameters_by_scale(kind, scale):
    with torch.device("meta"):
        assert count_parameters(kind(scale=scale)) == PARAMETERS[scale]


def test_grla_adds_no_parameter_to_its_skeleton():
    with torch.device("meta"):
        state = GRLA().state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == {
        key: shape for key, (shape, _) in official_keys("dctlsa_x4").items()
    }


@pytest.mark.parametrize("kind", [DCTLSA, GRLA])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 10), (16, 8)])
def test_enlarges_any_size_by_scale(kind, scale, size):
    net = kind(scale=scale, dim=8, num_blocks=2, num_heads=2, window_size=4).eval()
    assert restore_any_size(net, torch.rand(2, 3, *size)).shape == (2, 3, scale * size[0], scale * size[1])


@pytest.mark.parametrize("kind", [DCTLSA, GRLA])
def test_mixed_precision_stays_close(kind):
    torch.manual_seed(0)
    net = kind(dim=10, num_blocks=2, window_size=8).eval()
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = net(image).float()
    torch.testing.assert_close(mixed, net(image), atol=0.05, rtol=0)


def test_window_and_linear_attention_alternate():
    with torch.device("meta"):
        net = GRLA()
    kinds = [type(m) for m in net.modules() if isinstance(m, (SoftmaxWindowAttention, GaussianAttention))]
    assert kinds == [SoftmaxWindowAttention, GaussianAttention] * 12


def test_window_attention_is_softmax_attention():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 4, 2, 16, 5).unbind()
    attention = SoftmaxWindowAttention(dim=10, num_heads=2, window_size=4)
    torch.testing.assert_close(attention.mix(q, k, v), F.scaled_dot_product_attention(q, k, v))


def _reach(attention: torch.nn.Module) -> int:
    """How many pixels of an 8 x 8 map change with its last pixel."""
    image = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    changed = image.clone()
    changed[0, -1, -1] += 1
    return int((attention(image) != attention(changed)).any(dim=-1).sum())


def test_linear_attention_sees_the_whole_image():
    torch.manual_seed(0)
    assert _reach(SoftmaxWindowAttention(dim=8, num_heads=2, window_size=4).eval().double()) == 16
    assert _reach(GaussianAttention(dim=8, gamma=0.5).eval().double()) == 64


@pytest.mark.parametrize("gamma", [-0.5, 0.0, 2.0])
def test_rejects_a_bandwidth_whose_kernel_turns_negative(gamma):
    with pytest.raises(ValueError, match=f"gamma must lie in .* is {gamma}"):
        GRLA(dim=16, num_heads=2, gamma=gamma)
