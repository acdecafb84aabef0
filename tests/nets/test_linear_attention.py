"""The attentions of linear cost, each against its explicit quadratic form (tokens x tokens)."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aio.nets.dctlsa import LinearWindowAttention
from aio.nets.grla import gaussian_linear_attention
from aio.nets.grla_seed import kernel_attention

GAMMA = 0.5 * 55**-0.5


def _quadratic_gaussian(q, k, v, gamma):
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    phi_q, phi_k = (torch.exp(-gamma * t.square().sum(dim=-1)) for t in (q, k))
    kernel = phi_q[:, :, None] * phi_k[:, None, :] * (1 + 2 * gamma * q @ k.mT)
    assert kernel.min() > 0
    return kernel / kernel.sum(dim=-1, keepdim=True) @ v


def _quadratic_features(q, k, v, gamma):
    q, k = (torch.exp(-gamma * t**2) * torch.exp(2 * gamma * t) + 1e-6 for t in (q, k))
    kernel = q @ k.mT
    return kernel @ v / (kernel.sum(dim=-1, keepdim=True) + 1e-6)


def _quadratic_efficient(q, k, v, gamma):
    return q * q.shape[-1] ** -0.5 @ k.softmax(dim=-2).mT @ v


def _efficient(q, k, v, gamma):
    mix = LinearWindowAttention(dim=q.shape[-1], num_heads=1, window_size=1).mix
    return mix(q[:, None], k[:, None], v[:, None])[:, 0]


KERNELS = {
    "GRLA": (gaussian_linear_attention, _quadratic_gaussian),
    "GRLA seed": (kernel_attention, _quadratic_features),
    "DCTLSA": (_efficient, _quadratic_efficient),
}


def _tokens(count: int, dim: int = 55) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, count, dim, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("name", KERNELS)
def test_equals_the_quadratic_form(name):
    linear, quadratic = KERNELS[name]
    q, k, v = _tokens(300)
    expected = quadratic(q.double(), k.double(), v.double(), GAMMA).float()
    torch.testing.assert_close(linear(q, k, v, GAMMA), expected, atol=1e-5, rtol=0)


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor which any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


@pytest.mark.parametrize("name", KERNELS)
def test_makes_no_tensor_of_tokens_by_tokens(name):
    q, k, v = _tokens(20_000, dim=8)
    with _Largest() as largest:
        KERNELS[name][0](q, k, v, GAMMA)
    assert largest.elements == v.numel()


@pytest.mark.parametrize("name", KERNELS)
def test_sums_in_float32_under_autocast(name):
    q, k, v = _tokens(1000)
    expected = KERNELS[name][0](q, k, v, GAMMA)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(KERNELS[name][0](q, k, v, GAMMA), expected)


def test_first_order_is_close_to_the_gaussian_kernel():
    """On unit vectors the exact kernel is softmax attention; the paper bounds the error of a weight by 1%."""
    q, k, v = _tokens(300)
    exact = F.scaled_dot_product_attention(F.normalize(q, dim=-1), F.normalize(k, dim=-1), v, scale=2 * GAMMA)
    off = (gaussian_linear_attention(q, k, v, GAMMA) - exact).abs()
    average = v.mean(dim=1, keepdim=True)
    assert off.mean() < 0.1 * (exact - average).abs().mean()


@pytest.mark.parametrize("gamma", [GAMMA, 0.49])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_weights_stay_positive_however_large_the_features(gamma, size):
    """The result is then a mean of the values: it leaves their range once weights or their sum turn negative."""
    q, k, v = _tokens(300)
    k[:, :200] = -q[:, :1]
    out = gaussian_linear_attention(size * q, size * k, v, gamma)
    assert (out >= v.amin(dim=1, keepdim=True)).all()
    assert (out <= v.amax(dim=1, keepdim=True)).all()


def test_seed_kernel_survives_large_features():
    """The two exponentials of the release, taken apart, are infinity times zero here."""
    q, k, v = (1000 * t for t in _tokens(50))
    assert torch.isfinite(kernel_attention(q, k, v, 0.5)).all()
