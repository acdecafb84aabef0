"""Under mixed precision, Fourier transforms, softmax, norms and statistics of every net are computed in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tiny_nets import TINY

DELICATE = ("fft", "softmax", "logsumexp", "vector_norm", "var", "std", "rsqrt", "group_norm")


class Delicate(TorchDispatchMode):
    """Notes which of the delicate operations were given what types."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if any(part in name for part in DELICATE):
            tensors = (arg for arg in args if isinstance(arg, torch.Tensor) and arg.dtype.is_floating_point)
            self.seen.setdefault(name, set()).update(tensor.dtype for tensor in tensors)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", TINY)
def test_delicate_operations_are_in_float32(name):
    kind, arguments = TINY[name]
    torch.manual_seed(0)
    net = kind(**arguments).train()
    image = torch.rand(2, net.in_channels, 32, 32)
    with Delicate() as delicate, torch.autocast("cpu", torch.bfloat16):
        net(image, torch.tensor([0, 1]))
        net.extra_losses(torch.rand_like(image) if net.wants_second_view else None)
    assert {name: types for name, types in delicate.seen.items() if types - {torch.float32}} == {}


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_the_norms_of_torch_take_their_statistics_in_float32(kind):
    """They may be given rounded values: mean and deviation are those of these values, unrounded."""
    x = (100 + torch.randn(64, 8, generator=torch.Generator().manual_seed(0))).bfloat16()
    axis = 0 if kind == "batch" else 1
    exact = x.double()
    exact = (exact - exact.mean(axis, keepdim=True)) / exact.var(axis, keepdim=True, unbiased=False).add(1e-5).sqrt()
    if kind == "batch":
        mean = torch.zeros(8)
        found = F.batch_norm(x, mean, torch.ones(8), torch.ones(8), torch.zeros(8), training=True, momentum=1.0)
        assert torch.allclose(mean, x.float().mean(0), rtol=1e-6)
    else:
        found = F.layer_norm(x, (8,), torch.ones(8), torch.zeros(8))
    assert torch.allclose(found.double(), exact, atol=0.02)  # the result is rounded to 8 bits
