"""AdaIR: the official release, sizes from `dim`, the frequency split, precision, and which parameters learn."""

import numpy as np
import pytest
import torch

from aio.nets.adair import AdaIR, FreModule
from aio.nets.base import count_parameters
from golden.fill import fill_state_dict, golden_input
from support import assert_official

UNUSED = {"conv.weight", "score_gen.weight", "score_gen.bias"}
WITHOUT_GRADIENT = UNUSED | {"rate_conv.0.weight", "rate_conv.2.weight"}
QUERIES_OF_THE_LOW_BAND = {f"channel_cross_h.{name}" for name in ("temperature", "q.weight", "q_dwconv.weight")}


def small(**arguments):
    return AdaIR(**{"dim": 12, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1} | arguments)


def fre_module(dim=8, rate=1.0):
    """A module whose rates spread as `rate` grows."""
    module = FreModule(dim, num_heads=4)
    module.load_state_dict(fill_state_dict(module.state_dict()))
    with torch.no_grad():
        module.rate_conv[2].weight.mul_(rate)
    return module


def images(batch, height, width, channels=8):
    """Feature maps with a different mean in every channel, so that every image chooses its own rates."""
    generator = torch.Generator().manual_seed(height)
    mean = 3 * torch.randn(batch, channels, 1, 1, generator=generator)
    return mean + torch.randn(batch, channels, height, width, generator=generator)


def split_one_by_one(module, features):
    """The release's steps in NumPy: centred spectrum, a rectangle per image, two inverse transforms."""
    with torch.no_grad():
        rates = module.rate_conv(features.mean(dim=(2, 3), keepdim=True)).sigmoid()[..., 0, 0].numpy()
    height, width = features.shape[-2:]
    low, high, edges = [], [], []
    for image, (rate_y, rate_x) in zip(features.numpy(), rates, strict=True):
        a, b = int(height // 128 * rate_y), int(width // 128 * rate_x)
        mask = np.zeros((height, width))
        mask[height // 2 - a : height // 2 + a, width // 2 - b : width // 2 + b] = 1
        spectrum = np.fft.fftshift(np.fft.fft2(image), axes=(-2, -1))
        bands = [np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum * m, axes=(-2, -1)))) for m in (mask, 1 - mask)]
        low.append(bands[0])
        high.append(bands[1])
        edges.append((a, b))
    return np.stack(low), np.stack(high), edges


def test_equals_the_official_release():
    net = AdaIR()
    assert count_parameters(net) == 28_784_824
    assert_official(net, "adair")


@pytest.mark.parametrize("dim", [24, 96])
def test_every_width_follows_dim(dim):
    with torch.device("meta"):
        paper = small(dim=48)
    net = small(dim=dim)
    with torch.no_grad():
        assert net(torch.rand(1, 3, 8, 16)).shape == (1, 3, 8, 16)
    for key, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.in_channels > 3 and ".ffn." not in key:
            assert layer.in_channels * 48 == paper.get_submodule(key).in_channels * dim, key


@pytest.mark.parametrize("dim", [4, 8, 10])
def test_narrow_nets_run(dim):
    assert small(dim=dim)(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_other_channels_in_and_out():
    net = small(inp_channels=1, out_channels=1)
    assert net.in_channels == net.out_channels == 1
    assert net(torch.rand(1, 1, 8, 16)).shape == (1, 1, 8, 16)


@pytest.mark.parametrize("size", [(300, 517), (260, 384), (400, 130), (127, 400)])
def test_split_of_a_batch_equals_one_image_at_a_time(size):
    module, features = fre_module(rate=6.0), images(6, *size)
    low, high, edges = split_one_by_one(module, features)
    if min(size) >= 256:
        assert len(set(edges)) >= 3, "the images should choose different bands"
        assert low.any()
    with torch.no_grad():
        ours = module.split(features)
    for band, expected in zip(ours, (low, high), strict=True):
        np.testing.assert_allclose(band.numpy(), expected, atol=5e-5)


def test_below_128_pixels_all_is_high_band():
    low, high = fre_module().split(images(1, 127, 16))
    assert not low.any()
    torch.testing.assert_close(high, images(1, 127, 16).abs())


def test_fourier_transform_is_float32_under_autocast(monkeypatch):
    module, seen = fre_module(), []
    for name in ("fft2", "ifft2"):
        original = getattr(torch.fft, name)

        def spy(x, original=original):
            seen.append(x.dtype)
            return original(x)

        monkeypatch.setattr(torch.fft, name, spy)
    features = images(1, 256, 256)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mixed = module.split(features)
        assert module(torch.rand(1, 3, 128, 128), features).isfinite().all()
    assert seen == [torch.float32, torch.complex64] * 2
    with torch.no_grad():
        for band, expected in zip(mixed, module.split(features), strict=True):
            assert band.dtype == torch.float32
            assert torch.equal(band, expected)


def test_every_parameter_that_a_gradient_can_reach_learns():
    module = fre_module(dim=16, rate=6.0)
    module.rate_conv[2].weight[1] = module.rate_conv[2].weight[0]  # a band is empty where one of its edges is 0
    image, features = images(2, 256, 256, channels=3), images(2, 256, 256, channels=16)
    low, _ = module.split(module.conv1(image))
    assert low.any()
    module(image, features).square().mean().backward()
    assert {name for name, p in module.named_parameters() if p.grad is None} == WITHOUT_GRADIENT
    assert {name for name, p in module.named_parameters() if not p.requires_grad} == WITHOUT_GRADIENT
    assert [name for name, p in module.named_parameters() if p.grad is not None and not p.grad.any()] == []


def test_on_patches_only_the_queries_of_the_empty_band_rest():
    net = small()
    net.load_state_dict(fill_state_dict(net.state_dict()))
    net(golden_input((2, 3, 16, 16))).square().mean().backward()
    blocks = ("fre1", "fre2", "fre3")
    gradients = {name: p.grad for name, p in net.named_parameters()}
    without = {name for name, gradient in gradients.items() if gradient is None}
    assert without == {f"{block}.{name}" for block in blocks for name in WITHOUT_GRADIENT}
    resting = {name for name, gradient in gradients.items() if gradient is not None and not gradient.any()}
    assert resting == {f"{block}.{name}" for block in blocks for name in QUERIES_OF_THE_LOW_BAND}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_an_empty_band_stay_finite_in_half_precision(dtype):
    module = fre_module()
    with torch.autocast("cpu", dtype):
        out = module(golden_input((1, 3, 16, 16)), images(1, 16, 16))
    (out.float().abs().mean() * 2**16).backward()
    assert [name for name, p in module.named_parameters() if p.requires_grad and not p.grad.isfinite().all()] == []
