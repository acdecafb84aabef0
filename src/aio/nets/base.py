"""The contract of every network: one image batch in, one image batch out.

A net declares what a caller must know (`multiple_of`, `scale`, channels, `pad_mode`) as data;
`restore_any_size` is the one place where an image is padded to that rule.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from aio.borders import mirrored
from aio.nets.pretrained import Pretrained

# What a net that stands for another one takes over from it.
CONTRACT: Final = (
    "multiple_of",
    "scale",
    "in_channels",
    "out_channels",
    "pad_mode",
    "global_statistics",
    "left_out_of_graphs",
    "config",
)


class RestorationNet(Pretrained):
    """Base of all architectures.

    `forward(image, task=None)` takes float images `(B, in_channels, H, W)` in [0, 1] whose sides are
    multiples of `multiple_of`, and task ids `(B,)` int64 that a blind net ignores; it returns
    `(B, out_channels, scale * H, scale * W)`, not clamped.

    Constructors take keyword arguments of plain types only. They are kept in `config`, so that a
    checkpoint, or the folder of `save_pretrained`, can name the net it holds.
    """

    multiple_of: int = 1
    wants_second_view: bool = False  # training needs another crop of the same degraded images beside each batch
    own_losses: tuple[str, ...] = ()  # the names of what `extra_losses` gives in training
    scale: int = 1
    in_channels: int = 3
    out_channels: int = 3
    pad_mode: ClassVar[Literal["reflect", "zeros"]] = "reflect"
    global_statistics: bool = False  # every pixel sees the whole image: the means, maxima or products of its features
    left_out_of_graphs: ClassVar[str] = ""  # what an exported graph does not compute, and what it does instead
    cost_period: ClassVar[int] = 32  # where both sides are multiples of it, the cost is linear in the pixels

    def __new__(cls, *args: Any, **kwargs: Any) -> RestorationNet:
        net = object.__new__(cls)  # past the mixin, which would keep a second, incomplete copy of the arguments
        class_path = f"{cls.__module__}.{cls.__qualname__}"
        object.__setattr__(net, "config", {"class_path": class_path, "init_args": kwargs})
        return net

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def extra_losses(self, second_view: Tensor | None = None) -> dict[str, Tensor]:
        """Weighted loss terms which the last forward pass in training mode left behind, by name: once per step.

        `second_view (B, C, H, W)` is there for nets which want it.
        """
        return {}


def restore_any_size(net: RestorationNet, image: Tensor, task: Tensor | None = None) -> Tensor:
    """`net` on `image (B, C, H, W)` of any size: padded right and below to `multiple_of`, then cropped back."""
    if image.ndim != 4 or image.shape[1] != net.in_channels:
        raise ValueError(
            f"{type(net).__name__} takes images (B, {net.in_channels}, H, W), but got shape {tuple(image.shape)}"
        )
    height, width = image.shape[-2:]
    padded = pad_to_multiple(image, net.multiple_of, net.pad_mode)
    return net(padded, task)[..., : height * net.scale, : width * net.scale]


def pad_to_multiple(image: Tensor, multiple: int, mode: Literal["reflect", "zeros"] = "reflect") -> Tensor:
    """`image (..., H, W)` grown on the right and below until both sides are multiples of `multiple`.

    Reflection repeats as often as it must, so that a single pixel can be padded too.
    """
    height, width = image.shape[-2:]
    # Positive terms alone: ONNX divides towards zero.
    below, right = ((size + multiple - 1) // multiple * multiple - size for size in (height, width))
    if not torch.compiler.is_exporting() and not (below or right):  # a graph for every size cannot know
        return image
    if mode == "zeros":
        return nn.functional.pad(image, (0, right, 0, below))
    rows = mirrored(height, 0, height + below, image.device)
    columns = mirrored(width, 0, width + right, image.device)
    return image.index_select(-2, rows).index_select(-1, columns)


def count_parameters(net: nn.Module) -> int:
    """All parameters of `net`, trainable or not."""
    return sum(p.numel() for p in net.parameters())
