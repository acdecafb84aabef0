"""Craap SR: window and channel attention in turn."""

import pytest
import torch

from aio.nets.base import count_parameters, restore_any_size
from aio.nets.davit_sr import ChannelAttention, DaViTSR, WindowAttention
from support import assert_official


def test_equals_the_official_release():
    net = DaViTSR()
    assert count_parameters(net) == 12_753_968
    assert_official(net, "davit_sr_x4")


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 10), (8, 4)])
def test_enlarges_any_size_by_scale(scale, size):
    net = DaViTSR(scale=scale, dim=8, num_blocks=1, num_heads=2)
    assert restore_any_size(net, torch.rand(2, 3, *size)).shape == (2, 3, scale * size[0], scale * size[1])


def test_sizes_follow_from_dim():
    half, full = (DaViTSR(dim=dim, num_blocks=1, num_heads=2).state_dict() for dim in (8, 16))
    for key, shape in ((key, tensor.shape) for key, tensor in half.items() if key.startswith("layers.1")):
        assert full[key].shape == tuple(2 * n for n in shape)


def test_window_attention_stays_in_its_window():
    torch.manual_seed(0)
    attention = WindowAttention(dim=8, num_heads=2, window_size=4)
    image = torch.randn(1, 8, 8, 8)
    changed = image.clone()
    changed[0, 5, 2] += 1  # in the window of rows 4 to 7, columns 0 to 3
    differs = (attention(image) != attention(changed)).any(dim=-1)[0]
    assert differs[4:, :4].all()
    assert differs.sum() == 16


def test_channel_attention_does_not_know_where_a_pixel_is():
    torch.manual_seed(0)
    attention = ChannelAttention(dim=8, num_heads=2).double()
    image = torch.randn(1, 4, 6, 8, dtype=torch.float64)
    shuffle = torch.randperm(24)
    shuffled = image.flatten(1, 2)[:, shuffle].unflatten(1, (4, 6))
    expected = attention(image).flatten(1, 2)[:, shuffle].unflatten(1, (4, 6))
    torch.testing.assert_close(attention(shuffled), expected)


def test_mixed_precision_stays_close():
    torch.manual_seed(0)
    net = DaViTSR(dim=16, num_blocks=2, num_heads=2).eval()
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = net(image).float()
    torch.testing.assert_close(mixed, net(image), atol=0.03, rtol=0)
