"""A net as one graph for batches and images of any size, by torch.export: padding and cropping are a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.overrides import TorchFunctionMode

from aio.nets.base import RestorationNet

_TRACED: Final = (3, 2)  # rows and columns of the traced image, in steps of the net
_MORE: Final = (3, 5)  # and pixels beyond: no two sides are alike, and none is a multiple
_LAYOUT: Final = (torch.Tensor.contiguous, torch.Tensor.to)


class AnySize(nn.Module):
    """`restore_any_size` of `net`, told `task`, in operations that hold for every size."""

    def __init__(self, net: RestorationNet, task: int | None) -> None:
        super().__init__()
        self.net, self.task = net, task

    def forward(self, image: Tensor) -> Tensor:
        batch, _, height, width = image.shape
        scale, step = self.net.scale, self.net.multiple_of
        padded = _padded(image, step, zeros=self.net.pad_mode == "zeros")
        told = None if self.task is None else torch.full((batch,), self.task, dtype=torch.int64)
        return self.net(padded, told)[..., : height * scale, : width * scale]


def _padded(image: Tensor, step: int, *, zeros: bool) -> Tensor:
    """`aio.nets.base.pad_to_multiple`, where the sizes are not known yet, the number of images neither."""
    batch, _, height, width = image.shape
    image = image.index_select(0, torch.arange(_unknown(batch)))
    rows, columns = (_unknown((size + step - 1) // step) * step for size in (height, width))
    if zeros:
        return nn.functional.pad(image, (0, columns - width, 0, rows - height))
    return image.index_select(-2, _reflected(height, rows)).index_select(-1, _reflected(width, columns))


def _unknown(size: int) -> int:
    """`size`, as a number of which the trace knows nothing but that it is positive.

    Otherwise every halving in the net would be a fraction to be proved whole, and one image, or a map of one pixel,
    would be a case of its own.
    """
    unknown = cast(int, torch.full((), size, dtype=torch.int64).item())
    torch._check(unknown >= 1)
    return unknown


def _reflected(size: int, padded: int) -> Tensor:
    period = torch.full((), 2 * (size - 1), dtype=torch.int64).clamp_min(1)  # of a single pixel it is 1
    index = torch.arange(padded) % period
    return torch.minimum(index, period - index)


class _PlainLayout(TorchFunctionMode):
    """Leaves out the layouts that nets ask for: they change no number, and tie a trace to its sizes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _LAYOUT:
            kwargs = {name: value for name, value in kwargs.items() if name != "memory_format"}
        return func(*args, **kwargs)


def capture(net: RestorationNet, task: int | None = None) -> ExportedProgram:
    """The graph `image (B, C, H, W) -> restored (B, C', sH, sW)`, float32, for every B, H and W.

    Args:
        net: in eval mode, on the CPU.
        task: the id that the net is told with every image; None leaves it blind.
    """
    sides = (steps * net.multiple_of + more for steps, more in zip(_TRACED, _MORE, strict=True))
    image = torch.zeros(2, net.in_channels, *sides)
    shapes = {"image": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    # Sizes of 0 and 1, which torch would make cases of their own, are as all others.
    oblivious = torch.fx.experimental._config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.no_grad(), _PlainLayout(), oblivious:
        return torch.export.export(AnySize(net, task).eval(), (image,), dynamic_shapes=shapes, strict=False)


def nodes_of(program: ExportedProgram) -> Iterator[torch.fx.Node]:
    """All of `program`, also those of the graphs within its graph."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            yield from module.graph.nodes


def operators_of(program: ExportedProgram) -> list[str]:
    """Modules which bring operators of `program` and have to be imported before it is read: `torchvision`."""
    return ["torchvision"] if any("torchvision" in str(node.target) for node in nodes_of(program)) else []
