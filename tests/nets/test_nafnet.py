"""NAFNet, its four published sizes, and the test-time local converter."""

import pytest
import torch

from aio.nets.base import count_parameters
from aio.nets.nafnet import LayerNorm2d, LocalAvgPool2d, NAFBlock, NAFNet, with_local_pooling
from support import assert_official

SIDD = {"middle_blk_num": 12, "enc_blk_nums": [2, 2, 4, 8], "dec_blk_nums": [2, 2, 2, 2]}
GOPRO = {"middle_blk_num": 1, "enc_blk_nums": [1, 1, 1, 28], "dec_blk_nums": [1, 1, 1, 1]}
ONE_LEVEL = {"dim": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}


def awake(**arguments):
    """A net in eval mode whose residual scales are not zero, so that each block acts."""
    torch.manual_seed(0)
    net = NAFNet(**arguments).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("beta", "gamma")):
                parameter.normal_()
    return net


def window_means(x, window):
    """Mean over the window round each pixel, one by one; near an edge that of the nearest pixel with a whole window."""
    height, width = x.shape[-2:]
    rows, columns = min(window, height), min(window, width)
    out = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (height - (height - rows + 1)) // 2, 0), height - rows)
            left = min(max(j - (width - (width - columns + 1)) // 2, 0), width - columns)
            out[..., i, j] = x[..., top : top + rows, left : left + columns].mean(dim=(-2, -1))
    return out


@pytest.mark.parametrize(("name", "blocks"), [("nafnet_sidd_width32", SIDD), ("nafnet_gopro_width32", GOPRO)])
def test_equals_the_official_release(name, blocks):
    assert_official(NAFNet(dim=32, **blocks), name)


@pytest.mark.parametrize(
    ("dim", "blocks", "parameters"),
    [(32, SIDD, 29_159_715), (64, SIDD, 115_982_915), (32, GOPRO, 17_111_907), (64, GOPRO, 67_888_835)],
)
def test_parameters_of_the_published_sizes(dim, blocks, parameters):
    with torch.device("meta"):
        assert count_parameters(NAFNet(dim=dim, **blocks)) == parameters


def test_default_is_the_largest_published_net():
    with torch.device("meta"):
        assert count_parameters(NAFNet()) == 115_982_915


def test_size_rule_follows_the_levels():
    with torch.device("meta"):
        assert NAFNet(dim=2).multiple_of == 16
    assert NAFNet(**ONE_LEVEL).multiple_of == 2
    assert NAFNet.pad_mode == "zeros"


def test_unequal_levels_are_refused():
    with pytest.raises(ValueError, match="equal length"):
        NAFNet(enc_blk_nums=[1, 1], dec_blk_nums=[1])


def test_a_block_starts_as_the_identity():
    x = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(NAFBlock(4)(x), x)


def test_layer_norm_takes_its_statistics_in_float32():
    x = 100 + 10 * torch.randn(1, 8, 2, 2, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    exact = x.float()
    mean, variance = exact.mean(1, keepdim=True), exact.var(1, keepdim=True, unbiased=False)
    expected = (exact - mean) / (variance + 1e-6).sqrt()
    torch.testing.assert_close(LayerNorm2d(8)(exact), expected)
    assert torch.equal(LayerNorm2d(8).bfloat16()(x), LayerNorm2d(8)(exact).bfloat16())


@pytest.mark.parametrize("window", [1, 2, 3, 6, 7, 10])
@pytest.mark.parametrize("size", [(7, 10), (10, 7), (6, 6), (1, 9)])
def test_local_pool_is_the_mean_of_each_window(size, window):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    pooled = LocalAvgPool2d(window)(x)
    assert pooled.shape[-2:] == (size if window < max(size) else (1, 1))
    torch.testing.assert_close(pooled.expand_as(x), window_means(x, window))


def test_local_pool_keeps_type_and_layout():
    x = torch.rand(1, 3, 9, 9).to(torch.bfloat16, memory_format=torch.channels_last)
    pooled = LocalAvgPool2d(3)(x)
    assert pooled.dtype == torch.bfloat16
    assert pooled.is_contiguous(memory_format=torch.channels_last)


def test_local_pool_stays_exact_on_a_large_map():
    x = 5 + torch.rand(1, 1, 600, 600, generator=torch.Generator().manual_seed(0))
    pooled = LocalAvgPool2d(384)(x).double()
    for row, column in [(0, 0), (100, 3), (216, 216)]:
        window = x[..., row : row + 384, column : column + 384].double()
        assert abs(pooled[0, 0, row + 191, column + 191] - window.mean()) < 3e-6


def test_windows_are_one_and_a_half_training_sizes_of_each_level():
    net = with_local_pooling(NAFNet(dim=2, middle_blk_num=1, enc_blk_nums=[1, 2, 1], dec_blk_nums=[1, 1, 2]), 256)
    windows = {name: m.window for name, m in net.named_modules() if isinstance(m, LocalAvgPool2d)}
    assert windows == {
        "encoders.0.0.sca.0": 384,
        "encoders.1.0.sca.0": 192,
        "encoders.1.1.sca.0": 192,
        "encoders.2.0.sca.0": 96,
        "middle_blks.0.sca.0": 48,
        "decoders.0.0.sca.0": 96,
        "decoders.1.0.sca.0": 192,
        "decoders.2.0.sca.0": 384,
        "decoders.2.1.sca.0": 384,
    }


def test_local_pooling_changes_nothing_within_one_and_a_half_training_sizes():
    net, image = awake(**ONE_LEVEL), torch.rand(1, 3, 24, 20)
    assert torch.equal(with_local_pooling(net, 16)(image), net(image))


def test_local_pooling_keeps_far_pixels_apart():
    net = awake(**ONE_LEVEL)
    image = torch.rand(1, 3, 8, 160, generator=torch.Generator().manual_seed(0))
    changed = image.clone()
    changed[..., -1] = 1 - changed[..., -1]
    local = with_local_pooling(net, 16)
    with torch.no_grad():
        assert not torch.allclose(net(image)[..., :40], net(changed)[..., :40], atol=1e-6, rtol=0)
        torch.testing.assert_close(local(image)[..., :40], local(changed)[..., :40], atol=1e-6, rtol=0)
        assert not torch.allclose(local(image)[..., -10:], local(changed)[..., -10:], atol=1e-3, rtol=0)


def test_local_pooling_shares_weights_and_leaves_the_net_alone():
    net, image = awake(**ONE_LEVEL), torch.rand(1, 3, 40, 40)
    before = net(image)
    local = with_local_pooling(net, 16)
    assert all(a is b for a, b in zip(net.parameters(), local.parameters(), strict=True))
    assert local.state_dict().keys() == net.state_dict().keys()
    assert (local.config, local.multiple_of, local.training) == (net.config, net.multiple_of, net.training)
    torch.testing.assert_close(net(image), before)
    torch.testing.assert_close(with_local_pooling(local, 16)(image), local(image))


def test_local_pooling_needs_a_training_size():
    with pytest.raises(ValueError, match="is 0"):
        with_local_pooling(NAFNet(**ONE_LEVEL), 0)
