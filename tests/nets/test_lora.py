"""Low-rank convolutions: their ranks, and their formulas computed by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aio.nets.lora import LowRankConv, SpatialLowRankConv, pointwise


def dense(conv, x):
    y = torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], x)
    return y if conv.bias is None else y + conv.bias[:, None, None]


def depthwise(conv, x):
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[-2:]
    return sum(
        padded[..., i : i + height, j : j + width] * conv.weight[:, 0, i, j, None, None]
        for i in range(3)
        for j in range(3)
    )


def spatial_by_hand(net, x, normalise, activation):
    first, _, _, last = net.spatial_context
    _, shrink, _, grow, _ = net.global_context
    down = dense(net.conv_down, x)
    context = depthwise(last, F.gelu(normalise(depthwise(first, down))))
    pooled = context.mean(dim=(2, 3), keepdim=True)
    gate = torch.sigmoid(dense(grow, activation(dense(shrink, pooled))))
    return dense(net.conv_up, down + context * gate)


def randomised(net):
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    return net


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.randn(3, 12, 6, 5)


@pytest.mark.parametrize(("kind", "ratio"), [("none", 0.5), ("plain", 0), ("spatial", 0), ("seed", 0), ("plain", 1)])
def test_no_kind_no_rank_or_full_rank_is_a_dense_convolution(kind, ratio):
    conv = pointwise(48, 96, kind, ratio)
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.shape == (96, 48, 1, 1)
    assert conv.bias is None


@pytest.mark.parametrize(
    ("inputs", "outputs", "ratio", "rank"),
    [(48, 192, 0.8, 38), (384, 1536, 0.8, 307), (255, 96, 0.5, 48), (48, 48, 0.01, 4), (12, 5, 0.8, 4)],
)
def test_the_rank_is_a_share_of_the_full_one_and_at_least_four(inputs, outputs, ratio, rank):
    assert pointwise(inputs, outputs, "plain", ratio).conv1.out_channels == rank
    assert pointwise(inputs, outputs, "spatial", ratio).conv_down.out_channels == rank


def test_plain(image):
    net = randomised(LowRankConv(12, 20, rank=5, bias=True))
    expected = dense(net.conv2, F.gelu(depthwise(net.dwconv, dense(net.conv1, image))))
    torch.testing.assert_close(net(image), expected)


def test_seed_normalises_over_the_batch(image):
    net = randomised(SpatialLowRankConv(12, 20, rank=8, bias=True, batch_norm=True))
    norm = net.spatial_context[1]

    def affine(x, mean, var):
        x = (x - mean[:, None, None]) / torch.sqrt(var[:, None, None] + 1e-5)
        return x * norm.weight[:, None, None] + norm.bias[:, None, None]

    running = norm.running_mean.clone().uniform_(-1, 1), norm.running_var.clone().uniform_(0.5, 2)
    norm.running_mean, norm.running_var = (t.clone() for t in running)
    expected = spatial_by_hand(
        net, image, lambda x: affine(x, x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)), F.relu
    )
    torch.testing.assert_close(net(image), expected)
    norm.running_mean, norm.running_var = running
    torch.testing.assert_close(net.eval()(image), spatial_by_hand(net, image, lambda x: affine(x, *running), F.relu))


def test_spatial_normalises_each_pixel(image):
    net = randomised(SpatialLowRankConv(12, 20, rank=8))
    norm = net.spatial_context[1].body

    def over_channels(x):
        x = (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, correction=0, keepdim=True) + 1e-5)
        return x * norm.weight[:, None, None] + norm.bias[:, None, None]

    expected = spatial_by_hand(net, image, over_channels, F.gelu)
    torch.testing.assert_close(net(image), expected)
    torch.testing.assert_close(net.eval()(image), expected)
    torch.testing.assert_close(net(image[:1]), expected[:1])


def test_spatial_starts_as_the_bare_product(image):
    net = pointwise(12, 20, "spatial", 0.7)
    torch.testing.assert_close(net(image), dense(net.conv_up, dense(net.conv_down, image)))
