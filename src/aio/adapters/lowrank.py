"""LoRA (Hu et al., ICLR 2022): a frozen weight W becomes W + alpha / rank * B A, where B A is of low rank.

Of a convolution, A is a k x k convolution to `rank` channels and B a 1x1 convolution after it: together one k x k
kernel. Adapted are dense convolutions of 1x1 and 3x3 and linear layers; depthwise and grouped ones are left out, since
their kernels have no rank to save.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from aio.errors import InputError
from aio.vocabulary import TASK_ID, Degradation

_KERNELS: Final = ((1, 1), (3, 3))


@dataclass(frozen=True)
class LoRA:
    """What an adapter is: its rank, and alpha, so that the product counts `alpha / rank`."""

    rank: int
    alpha: float

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise InputError(f"rank {self.rank!r} of an adapter: expected a whole number of at least 1")
        if not isinstance(self.alpha, int | float) or not 0 < self.alpha < math.inf:
            raise InputError(f"alpha {self.alpha!r} of an adapter: expected a number above 0")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


Plan = dict[Degradation, LoRA]


def read_plan(value: object, source: str | Path) -> Plan:
    """`{"derain": {"rank": 8, "alpha": 8.0}, ...}`, as files hold it, checked.

    Raises:
        InputError: naming `source`, when it is of another form or names no degradation.
    """
    if not isinstance(value, dict) or not all(isinstance(fields, dict) for fields in value.values()):
        raise InputError(f"{source}: expected rank and alpha of each adapter, but it says {value!r}")
    unknown = next((name for name in value if name not in TASK_ID), None)
    if unknown is not None:
        raise InputError(f"{source}: an adapter for {unknown!r}: expected one of {', '.join(TASK_ID)}")
    try:
        return {name: LoRA(rank=fields.get("rank"), alpha=fields.get("alpha")) for name, fields in value.items()}
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


class LowRank(nn.Module):
    """The change `scale * B A` of one weight `(out, in)` or `(out, in, k, k)`: none at first, as B is zero.

    A weight of a lower full rank has that one instead.
    """

    def __init__(self, weight: Tensor, *, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight.shape[1:].numel()
        rank = min(rank, outputs, inputs)
        self.scale = scale
        self.A = nn.Parameter(weight.new_empty(rank, *weight.shape[1:]))
        self.B = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The effective weight, in the precision of `weight` also under autocast."""
        with torch.autocast(weight.device.type, enabled=False):
            change = self.B @ self.A.flatten(1)
            return torch.add(weight, change.view(weight.shape), alpha=self.scale)


class Adapter(nn.ModuleDict):
    """One low-rank change for each of `weights`, under the name of its layer with strokes for dots."""

    def __init__(self, weights: Mapping[str, Tensor], lora: LoRA) -> None:
        low_ranks = {name: LowRank(weight, rank=lora.rank, scale=lora.scale) for name, weight in weights.items()}
        super().__init__({_key(name): low_rank for name, low_rank in low_ranks.items()})
        self.lora = lora

    def forward(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The effective weights by the names of the frozen ones."""
        return {name: self[_key(name)](weight) for name, weight in weights.items()}


def _key(name: str) -> str:
    """`encoder/0/qkv` of `encoder.0.qkv.weight`: a dot has no place in the name of a module."""
    return name.removesuffix(".weight").replace(".", "/")


def adapted_weights(net: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of `net` that adapters change, by name, each once."""
    found: dict[nn.Parameter, str] = {}
    for name, module in net.named_modules():
        dense = isinstance(module, nn.Conv2d) and module.groups == 1 and module.kernel_size in _KERNELS
        if dense or isinstance(module, nn.Linear):
            found.setdefault(module.get_parameter("weight"), f"{name}.weight")
    return {name: weight for weight, name in found.items()}
