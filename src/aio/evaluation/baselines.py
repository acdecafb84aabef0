"""Classical methods in the place of a net: rows of a table that every network should beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from aio.errors import InputError
from aio.evaluation import classical
from aio.nets.base import RestorationNet
from aio.resize import bicubic

BASELINES: Final[dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "identity": lambda image: image,
    "nlm": classical.non_local_means,
    "tv": classical.total_variation,
    "dcp": classical.dark_channel_prior,
    "gamma": classical.gamma,
    "clahe": classical.clahe,
    "wiener": classical.wiener,
}
ENLARGING: Final = "bicubic"


class Classical(RestorationNet):
    """A function of one image in the place of a net, computed on the host; bicubic enlarges `scale` times."""

    global_statistics = True

    def __init__(self, *, name: str, scale: int = 1) -> None:
        super().__init__()
        self.name, self.scale = name, scale
        self.weightless = nn.Parameter(torch.empty(0), requires_grad=False)  # says where a net computes

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        if self.name == ENLARGING:
            return bicubic(image, (image.shape[-2] * self.scale, image.shape[-1] * self.scale))
        restored = [BASELINES[self.name](one.permute(1, 2, 0).double().numpy()) for one in image.clamp(0, 1)]
        return torch.from_numpy(np.stack(restored)).permute(0, 3, 1, 2).to(image.dtype)


def baseline(name: str, *, scale: int) -> RestorationNet:
    """The classical method `name`, in eval mode, for images to be enlarged `scale` times.

    Raises:
        InputError: it does not enlarge by that.
    """
    if (name == ENLARGING) == (scale == 1):
        does = "enlarges" if scale == 1 else "keeps the size"
        raise InputError(
            f"--baseline {name}: {does}, but the clean images are {scale} times the size of the degraded ones"
        )
    return Classical(name=name, scale=scale).eval()
