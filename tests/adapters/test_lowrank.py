"""LoRA's arithmetic: the effective weight against einsum, and against two convolutions in a row."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from adapting import ids
from aio.adapters import AdaptedNet, LoRA, add_adapters, read_plan
from aio.adapters.lowrank import LowRank, adapted_weights
from aio.errors import InputError
from aio.nets.base import RestorationNet


class Single(RestorationNet):
    """One layer."""

    def __init__(self, *, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        return self.layer(image)


def single(layer: nn.Module, rank: int, alpha: float) -> tuple[AdaptedNet, Tensor, Tensor]:
    """The layer with a taught adapter for rain, and that adapter's A and B."""
    net = add_adapters(Single(layer=layer).double(), {"derain": LoRA(rank=rank, alpha=alpha)})
    low_rank = net.adapters["derain"]["layer"]
    low_rank.B.data.normal_()
    return net, low_rank.A.detach(), low_rank.B.detach()


convolutions = st.fixed_dictionaries(
    {
        "in_channels": st.integers(1, 7),
        "out_channels": st.integers(1, 7),
        "kernel_size": st.sampled_from([1, 3]),
        "stride": st.integers(1, 2),
        "padding": st.integers(0, 2),
        "dilation": st.integers(1, 2),
        "bias": st.booleans(),
    }
)


@given(arguments=convolutions, rank=st.integers(1, 9), alpha=st.floats(0.5, 8))
def test_a_convolution_by_hand(arguments, rank, alpha):
    """One k x k kernel W + s B A, which is the frozen convolution plus a k x k one to `rank` and a 1x1 one after it."""
    torch.manual_seed(0)
    conv = nn.Conv2d(**arguments)
    net, a, b = single(conv, rank, alpha)
    image = torch.rand(2, conv.in_channels, 9, 10, dtype=torch.double)
    out = net(image, ids("derain", "derain"))

    place = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    kernel = conv.weight + alpha / rank * torch.einsum("or,rikl->oikl", b, a)
    torch.testing.assert_close(out, F.conv2d(image, kernel, conv.bias, **place))
    two = F.conv2d(F.conv2d(image, a, **place), b[..., None, None])
    torch.testing.assert_close(out, conv(image) + alpha / rank * two)
    assert len(a) == min(rank, conv.out_channels, conv.weight[0].numel())


@given(inputs=st.integers(1, 7), outputs=st.integers(1, 7), rank=st.integers(1, 9), bias=st.booleans())
def test_a_linear_layer_by_hand(inputs, outputs, rank, bias):
    torch.manual_seed(0)
    linear = nn.Linear(inputs, outputs, bias=bias)
    net, a, b = single(linear, rank, 3.0)
    rows = torch.rand(2, 5, inputs, dtype=torch.double)
    matrix = linear.weight + 3 / rank * torch.einsum("or,ri->oi", b, a)
    torch.testing.assert_close(net(rows, ids("derain", "derain")), F.linear(rows, matrix, linear.bias))


def test_only_dense_layers_of_1x1_and_3x3_are_adapted_each_weight_once():
    net = nn.ModuleDict(
        {
            "pointwise": nn.Conv2d(4, 4, 1),
            "dense": nn.Conv2d(4, 4, 3),
            "linear": nn.Linear(4, 4),
            "depthwise": nn.Conv2d(4, 4, 3, groups=4),
            "grouped": nn.Conv2d(4, 4, 1, groups=2),
            "wide": nn.Conv2d(4, 4, 5),
            "oblong": nn.Conv2d(4, 4, (1, 3)),
            "norm": nn.LayerNorm(4),
            "turned": nn.ConvTranspose2d(4, 4, 1),
        }
    )
    net["tied"] = nn.Conv2d(4, 4, 1)
    net["tied"].weight = net["pointwise"].weight
    assert list(adapted_weights(net)) == ["pointwise.weight", "dense.weight", "linear.weight"]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_fresh_change_is_none_to_the_bit_and_keeps_the_memory_format(memory_format):
    weight = torch.randn(6, 5, 3, 3).to(memory_format=memory_format)
    effective = LowRank(weight, rank=4, scale=1.5)(weight)
    assert torch.equal(effective, weight)
    assert effective.stride() == weight.stride()


def test_the_change_is_added_in_full_precision_under_autocast():
    torch.manual_seed(0)
    weight = torch.randn(8, 8)
    low_rank = LowRank(weight, rank=4, scale=1.0)
    low_rank.B.data.normal_()
    with torch.autocast("cpu", torch.bfloat16):
        effective = low_rank(weight)
    torch.testing.assert_close(effective, weight + (low_rank.B.double() @ low_rank.A.double()).float())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1], "expected rank and alpha of each adapter"),
        ({"derain": 4}, "expected rank and alpha of each adapter"),
        ({"fog": {"rank": 4, "alpha": 4.0}}, "an adapter for 'fog'"),
        ({"derain": {"alpha": 4.0}}, "rank None"),
        ({"derain": {"rank": 0, "alpha": 4.0}}, "rank 0"),
        ({"derain": {"rank": True, "alpha": 4.0}}, "rank True"),
        ({"derain": {"rank": 4, "alpha": -1.0}}, r"alpha -1\.0"),
        ({"derain": {"rank": 4, "alpha": math.nan}}, "alpha nan"),
        ({"derain": {"rank": 4, "alpha": "4"}}, "alpha '4'"),
    ],
)
def test_what_is_no_plan_is_named(value, says):
    with pytest.raises(InputError, match=rf"a\.file: .*{says}"):
        read_plan(value, "a.file")
