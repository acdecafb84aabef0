"""What the tests of adapters share."""

from __future__ import annotations

import torch
from torch import Tensor

from aio.adapters import AdaptedNet, LoRA, add_adapters
from aio.nets.base import RestorationNet
from aio.vocabulary import TASK_ID, Degradation
from tiny_nets import build


def ids(*names: Degradation) -> Tensor:
    return torch.tensor([TASK_ID[name] for name in names])


def taught(net: RestorationNet, *names: Degradation, rank: int = 2, alpha: float = 2.0) -> AdaptedNet:
    """`net` with adapters that change it, each otherwise."""
    adapted = add_adapters(net, {name: LoRA(rank=rank, alpha=alpha) for name in names})
    for name in names:
        generator = torch.Generator().manual_seed(TASK_ID[name])
        for parameter in adapted.adapters[name].parameters():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return adapted


def taught_tiny(*names: Degradation, rank: int = 2) -> AdaptedNet:
    return taught(build("restormer"), *names, rank=rank)


def image_for(net: RestorationNet, batch: int = 1) -> Tensor:
    side = max(16, min(32, net.multiple_of))  # Stoformer takes less than it declares
    return torch.rand(batch, net.in_channels, side, side, generator=torch.Generator().manual_seed(3))


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in state.items()}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    """Whether all of `theirs` stands in `ours`, to the bit."""
    return all(torch.equal(ours[key], value) for key, value in theirs.items())
