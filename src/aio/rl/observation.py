"""What an agent sees of a patch: few numbers about how it is degraded, and what the passes so far have changed.

Nothing here needs the clean image. The estimate of noise is Immerkaer's (1996); the dark channel is that of He et al.
(CVPR 2009) without its minimum filter.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.colour import luma
from aio.rl.actions import ACTIONS

_QUANTILES: Final = (0.02, 0.25, 0.75, 0.98)
_NOISE: Final = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
LOOKS: Final = 15  # numbers about an image
PROGRESS: Final = 2 + len(ACTIONS)  # steps, spent, the last action
SIZE: Final = 2 * LOOKS + 2 + PROGRESS


def looks(images: Tensor) -> Tensor:
    """`(B, 3, H, W)` in [0, 1] to `(B, LOOKS)`: tones, noise, edges, haze."""
    gray = luma(images)
    across, down = gray.diff(dim=-1).abs(), gray.diff(dim=-2).abs()
    kernel = torch.tensor(_NOISE, device=images.device)[None, None]
    curvature = F.conv2d(gray, kernel).abs()
    tones = torch.tensor(_QUANTILES, device=images.device)
    columns = [
        images.mean(dim=(2, 3)),
        images.std(dim=(2, 3)),
        torch.quantile(gray.flatten(1), tones, dim=1).t(),
        _log(curvature.mean(dim=(1, 2, 3)) * math.sqrt(math.pi / 2) / 6),
        _log(curvature.flatten(1).median(dim=1).values),
        _log(across.mean(dim=(1, 2, 3))),
        _log(down.mean(dim=(1, 2, 3))),
        images.amin(dim=1).mean(dim=(1, 2)),
    ]
    return torch.cat([column if column.ndim == 2 else column[:, None] for column in columns], dim=1)


def changes(degraded: Tensor, estimate: Tensor) -> Tensor:
    """`(B, 2)`: how far the estimate is from the degraded patch, on average and at most of its pixels."""
    apart = (estimate - degraded).abs().flatten(1)
    return torch.stack([_log(apart.mean(dim=1)), _log(apart.median(dim=1).values)], dim=1)


def progress(steps: int, spent: Tensor, last: Tensor) -> Tensor:
    """`(B, PROGRESS)`: passes so far, what they cost `(B,)`, and the action before `(B,)`."""
    taken = F.one_hot(last, len(ACTIONS)).float()
    return torch.cat([torch.full_like(spent, steps)[:, None], spent[:, None], taken], dim=1)


def observe(degraded: Tensor, estimate: Tensor, *, steps: int, spent: Tensor, last: Tensor) -> Tensor:
    """`(B, SIZE)` for patches `(B, 3, H, W)`; `last` is STOP before the first pass."""
    seen = [looks(degraded), looks(estimate), changes(degraded, estimate), progress(steps, spent, last)]
    return torch.cat(seen, dim=1)


def _log(positive: Tensor) -> Tensor:
    return (positive + 1e-4).log10()
