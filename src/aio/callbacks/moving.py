"""What the forward pass of a training itself changes: batch statistics, queues of features, encoders that follow."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Moving:
    """Keeps the buffers of `module`, and those frozen weights that its forward pass moves, as they are now.

    Which weights these are shows after the first step; for that one all frozen weights are kept.
    """

    def __init__(self, module: nn.Module) -> None:
        self._buffers = list(module.buffers())
        self._frozen = [p for p in module.parameters() if not p.requires_grad]
        self._copies: list[Tensor] = []
        self._versions: list[int] | None = None

    def keep(self) -> None:
        """Before the first batch of a step."""
        if self._versions is None:
            self._versions = [p._version for p in self._frozen]
        else:
            self._forget_still()
        self._copies = self._copies or [torch.empty_like(tensor) for tensor in self._tensors()]
        _copy(self._tensors(), self._copies)

    def restore(self) -> None:
        """As they were when they were kept."""
        self._forget_still()
        _copy(self._copies, self._tensors())

    def _forget_still(self) -> None:
        """After the first step: the frozen weights that it left as they were."""
        if self._versions:
            moved = [p._version != version for p, version in zip(self._frozen, self._versions, strict=True)]
            self._frozen = [p for p, moves in zip(self._frozen, moved, strict=True) if moves]
            copies = zip(self._copies[len(self._buffers) :], moved, strict=True)
            self._copies = self._copies[: len(self._buffers)] + [copy for copy, moves in copies if moves]
            self._versions = []

    def _tensors(self) -> list[Tensor]:
        return [*self._buffers, *(p.detach() for p in self._frozen)]


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    if sources:
        torch._foreach_copy_(targets, sources)
