"""A weighted sum of loss terms by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aio.errors import InputError


class Mixture:
    """`name -> (term, weight)`; a call gives the unweighted value of every term, `total` their weighted sum.

    `factor` scales the sum and nothing else; at 0 a backward pass still reaches all that the terms depend on.

    It is no module, and a copy of it is itself: the frozen networks in it stay out of the state dict of whoever
    holds it, out of their averaged copies, and out of the parameters of DDP.
    """

    def __init__(self, **terms: tuple[nn.Module, float]) -> None:
        self.factor = 1.0
        self.terms = {name: (term, weight) for name, (term, weight) in terms.items() if weight}
        if not self.terms:
            raise InputError("a loss needs at least one term whose weight is not 0")

    def __call__(self, restored: Tensor, clean: Tensor) -> dict[str, Tensor]:
        return {name: term(restored, clean) for name, (term, _) in self.terms.items()}

    def total(self, values: dict[str, Tensor]) -> Tensor:
        """Weighted sum of what a call returned, times `factor`."""
        return self.factor * torch.stack([self.terms[name][1] * value for name, value in values.items()]).sum()

    def to(self, device: torch.device) -> Mixture:
        """Moves every term to `device`, in place."""
        for term, _ in self.terms.values():
            term.to(device)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Mixture:
        return self
