"""Restormer, its four official variants, and its blocks in strips against the paper's order on whole maps."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aio.nets import blocks
from aio.nets.base import count_parameters
from aio.nets.blocks import GDFN, MDTA
from aio.nets.cost import count_macs
from aio.nets.restormer import Restormer
from support import assert_official
from training import tiny

VARIANTS = {
    "restormer": ({}, 26_126_644),
    "restormer_color_biasfree": ({"LayerNorm_type": "BiasFree"}, 26_111_668),
    "restormer_gray_biasfree": ({"LayerNorm_type": "BiasFree", "inp_channels": 1, "out_channels": 1}, 26_109_076),
    "restormer_dual_pixel": ({"inp_channels": 6, "dual_pixel_task": True}, 26_132_548),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_the_official_release(name):
    arguments, parameters = VARIANTS[name]
    net = Restormer(**arguments)
    assert count_parameters(net) == parameters
    assert_official(net, name)


def mdta_by_hand(net, x):
    maps = net.qkv_dwconv(net.qkv(x)).chunk(3, dim=1)
    q, k, v = (rearrange(t, "b (n c) h w -> b n c (h w)", n=net.num_heads) for t in maps)
    cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
    out = (cosine * net.temperature).softmax(-1) @ v
    return net.project_out(rearrange(out, "b n c (h w) -> b (n c) h w", h=x.shape[2]))


def gdfn_by_hand(net, x):
    gate, value = net.dwconv(net.project_in(x)).chunk(2, dim=1)
    return net.project_out(F.gelu(gate) * value)


BLOCKS = {
    "mdta": (partial(MDTA, 8, 2), ("qkv", "qkv_dwconv"), mdta_by_hand),
    "gdfn": (partial(GDFN, 8), ("project_in", "dwconv"), gdfn_by_hand),
}


def count_strips(block, names, x):
    return len(list(blocks.strips(x, *(getattr(block, name) for name in names))))


@pytest.fixture
def small_strips(monkeypatch):
    """Maps are cut as small as the rule on rows lets them be."""
    monkeypatch.setattr(blocks, "_STRIP", 1)


@pytest.mark.parametrize("name", BLOCKS)
@given(st.integers(1, 2), st.integers(1, 70), st.integers(1, 5), st.booleans(), st.integers(200, 20_000))
def test_blocks_in_strips_equal_the_paper_on_whole_maps(name, batch, height, width, bias, limit):
    make, names, by_hand = BLOCKS[name]
    torch.manual_seed(0)
    block, x = make(bias=bias), torch.randn(batch, 8, height, width)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_STRIP", limit)
        values = batch * getattr(block, names[1]).out_channels * height * width
        assert count_strips(block, names, x) == max(1, min(-(-values // limit), height // 16))
        torch.testing.assert_close(block(x), by_hand(block, x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_of_blocks_equal_those_of_the_paper_on_whole_maps(small_strips, name):
    make, names, by_hand = BLOCKS[name]
    torch.manual_seed(0)
    block, x = make(bias=True), torch.randn(2, 8, 40, 5, requires_grad=True)
    assert count_strips(block, names, x) == 1
    inputs = [x, *block.parameters()]
    ours, theirs = (torch.autograd.grad(run(x).square().sum(), inputs) for run in (block, partial(by_hand, block)))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_attention_to_channels_of_zeros_has_finite_gradients():
    q, k = torch.zeros(1, 6, 4, requires_grad=True), torch.randn(1, 6, 4, requires_grad=True)
    attention = blocks.transposed_attention(q, k, torch.ones(2, 1, 1))
    assert torch.equal(attention, torch.full((1, 2, 2, 2), 0.5))
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(attention.square().sum(), [q, k]))


@torch.no_grad()
def test_a_first_convolution_that_sees_farther_is_given_the_whole_map(small_strips):
    x = torch.randn(1, 4, 64, 4)
    mixing = nn.Sequential(nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Upsample((64, 4)))
    depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    (whole,) = blocks.strips(x, mixing, depthwise)
    assert torch.equal(whole, depthwise(mixing(x)))
    assert len(list(blocks.strips(x, mixing[0], depthwise))) == 4


@torch.no_grad()
def test_multiplications_are_counted_on_whole_maps(small_strips):
    cut = count_macs(tiny())
    with torch.enable_grad():
        assert cut == count_macs(tiny())
