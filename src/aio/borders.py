"""What lies beyond an image's borders: the image, mirrored."""

from __future__ import annotations

import torch
from torch import Tensor


def mirrored(side: int, first: int, last: int, device: torch.device) -> Tensor:
    """Indices `first` to `last`, that excluded, of a line of `side` pixels; the edge pixel itself is not repeated.

    As `F.pad(mode="reflect")`, but the margins may be wider than the image.
    """
    period = max(2 * (side - 1), 1)
    index = torch.arange(first, last, device=device).abs() % period
    return torch.minimum(index, period - index) if side > 1 else torch.zeros_like(index)
