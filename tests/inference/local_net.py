"""Nets of known reach, and one that runs out of memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aio.nets.base import RestorationNet

OVERFLOW = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"


class Local(RestorationNet):
    """Two 3x3 convolutions: nothing further than two pixels away matters; above `limit` pixels `fault` is raised."""

    def __init__(self, *, scale: int = 1, channels: int = 3, multiple_of: int = 1, limit: int | None = None) -> None:
        super().__init__()
        self.scale, self.limit, self.multiple_of = scale, limit, multiple_of
        self.in_channels = self.out_channels = channels
        self.fault: Exception = torch.OutOfMemoryError("too large")
        self.seen: list[tuple[int, int]] = []
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.Conv2d(4, channels, 3, padding=1))

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        height, width = image.shape[-2:]
        self.seen.append((height, width))
        if self.limit is not None and height * width > self.limit:
            raise self.fault
        out = 0.5 + 0.1 * self.body(image)
        return out.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


class Strided(RestorationNet):
    """A U-net of one level: its result depends on where a tile's even rows and columns lie."""

    multiple_of = 4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down, self.up = nn.Conv2d(3, 4, 4, stride=4), nn.ConvTranspose2d(4, 3, 4, stride=4)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        return 0.5 + 0.1 * self.up(self.down(image))


class Marking(RestorationNet):
    """Gives back a tile that is told from its neighbours: all of one value, another for each."""

    def __init__(self) -> None:
        super().__init__()
        self.weightless, self.count = nn.Parameter(torch.empty(0)), 0

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        self.count += 1
        return torch.full_like(image, self.count % 2)


class Identity(RestorationNet):
    """Gives back what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.weightless = nn.Parameter(torch.empty(0))

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        return image


class Brightening(Local):
    """Takes the mean of what it sees to one half: every pixel depends on all others."""

    global_statistics = True

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        brighter = image + 0.5 - mean
        return brighter.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)
