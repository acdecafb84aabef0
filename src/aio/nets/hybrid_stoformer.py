"""Hybrid Stoformer: a ResNet encoder, fused features, Stoformer's stochastic window blocks as bottleneck and decoder.

Keys and outputs are those of the code of Neural-Ninja/Hybrid-Stoformer-AIP. The decoder ends at half resolution; its
residual is enlarged by bilinear interpolation. Evaluation averages every block over all 64 window offsets;
`fast` are the nine that the code offers beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.nets.stoformer import OutputProj, Stage, Upsample, Windows

Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101"]


class FeatureFusion(nn.Module):
    """Five maps of a ResNet, each projected to `dim`, brought to the last one's size and summed."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.init_conv_proj = nn.Conv2d(channels[0], dim, kernel_size=1)
        self.layer1_proj = nn.Conv2d(channels[1], dim, kernel_size=1)
        self.layer2_proj = nn.Conv2d(channels[2], dim, kernel_size=1)
        self.layer3_proj = nn.Conv2d(channels[3], dim, kernel_size=1)
        self.layer4_proj = nn.Conv2d(channels[4], dim, kernel_size=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        *finer, last = maps
        projections = (self.init_conv_proj, self.layer1_proj, self.layer2_proj, self.layer3_proj)
        fused = self.layer4_proj(last)
        for projection, x in zip(projections, finer, strict=True):
            fused = fused + _resized(projection(x), last)
        return fused


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class HybridStoformer(RestorationNet):
    """A ResNet sees the image, Stoformer's blocks restore it; the net predicts the residual to its input.

    Args:
        backbone: the ResNet.
        backbone_channels: widths of its four stages, a quarter of their output where blocks are bottlenecks.
        pretrained: starts the ResNet from torchvision's ImageNet weights, which timm downloads (standard widths only).
        dim: the bottleneck is 16 times as wide, the decoder's stages 16, 8, 4 and 2 times.
        num_blocks: blocks of the bottleneck, then of the decoder's four stages.
        heads: attention heads of the same five stages.
        drop_path_rate: rate at which branches are dropped in the bottleneck; it falls linearly along the decoder.
        train_windows: window offsets from which training draws one per block, as in `Stoformer`.
        eval_windows: window offsets over which evaluation averages every block, in the same words.
    """

    multiple_of = 32
    cost_period = 256  # the bottleneck, at 1/32, has windows of 8 x 8

    def __init__(
        self,
        *,
        backbone: Backbone = "resnet34",
        backbone_channels: Sequence[int] = (64, 128, 256, 512),
        pretrained: bool = False,
        dim: int = 32,
        num_blocks: Sequence[int] = (2, 8, 8, 2, 1),
        heads: Sequence[int] = (16, 16, 8, 4, 2),
        drop_path_rate: float = 0.1,
        train_windows: Windows = "all",
        eval_windows: Windows = "all",
    ) -> None:
        super().__init__()
        self.config["init_args"].pop("pretrained", None)  # a checkpoint brings its own weights
        self.cnn_extractor = cnn = _resnet(backbone, backbone_channels, pretrained)
        channels = [info["num_chs"] for info in cnn.feature_info]
        bottleneck, *decoder = num_blocks
        rates = torch.linspace(drop_path_rate, 0, sum(decoder), device="cpu").tolist()
        drop_paths = [[rates.pop(0) for _ in range(count)] for count in decoder]

        def stage(width: int, num_heads: int, drop_paths: Sequence[float]) -> Stage:
            return Stage(width, num_heads, drop_paths, train_windows, eval_windows)

        self.feature_fusion = FeatureFusion(channels, dim * 16)
        self.conv = stage(dim * 16, heads[0], [drop_path_rate] * bottleneck)
        self.upsample_0 = Upsample(dim * 16, dim * 8)
        self.decoderlayer_0 = stage(dim * 16, heads[1], drop_paths[0])
        self.upsample_1 = Upsample(dim * 16, dim * 4)
        self.decoderlayer_1 = stage(dim * 8, heads[2], drop_paths[1])
        self.upsample_2 = Upsample(dim * 8, dim * 2)
        self.decoderlayer_2 = stage(dim * 4, heads[3], drop_paths[2])
        self.upsample_3 = Upsample(dim * 4, dim)
        self.decoderlayer_3 = stage(dim * 2, heads[4], drop_paths[3])
        self.output_proj = OutputProj(dim * 2)
        self.skip_conv3 = nn.Conv2d(channels[3], dim * 8, kernel_size=1)
        self.skip_conv2 = nn.Conv2d(channels[2], dim * 4, kernel_size=1)
        self.skip_conv1 = nn.Conv2d(channels[1], dim * 2, kernel_size=1)
        self.skip_conv0 = nn.Conv2d(channels[0], dim, kernel_size=1)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        c0, c1, c2, c3, c4 = self._encode(image)
        x = self.conv(_last(self.feature_fusion((c0, c1, c2, c3, c4))))
        x = self.decoderlayer_0(torch.cat([self.upsample_0(x), _last(self.skip_conv3(c3))], dim=-1))
        x = self.decoderlayer_1(torch.cat([self.upsample_1(x), _last(self.skip_conv2(c2))], dim=-1))
        x = self.decoderlayer_2(torch.cat([self.upsample_2(x), _last(self.skip_conv1(c1))], dim=-1))
        x = self.decoderlayer_3(torch.cat([self.upsample_3(x), _last(self.skip_conv0(c0))], dim=-1))
        return image + _resized(self.output_proj(x), image)

    def _encode(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size."""
        cnn: Any = self.cnn_extractor
        c0 = cnn.act1(cnn.bn1(cnn.conv1(image)))
        c1 = cnn.layer1(cnn.maxpool(c0))
        c2 = cnn.layer2(c1)
        c3 = cnn.layer3(c2)
        return c0, c1, c2, c3, cnn.layer4(c3)


def _resnet(name: str, channels: Sequence[int], pretrained: bool) -> Any:
    if name not in get_args(Backbone):
        raise InputError(f"backbone {name!r}: expected one of {', '.join(get_args(Backbone))}")
    if not pretrained:
        return timm.create_model(name, pretrained=False, num_classes=0, channels=tuple(channels))
    try:
        return timm.create_model(f"{name}.tv_in1k", pretrained=True, num_classes=0, channels=tuple(channels))
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the weights of {name} cannot be downloaded or do not fit ({type(error).__name__}); start without them: "
            "--model.net.init_args.pretrained false"
        ) from error


def _last(x: Tensor) -> Tensor:
    """`(B, C, H, W) -> (B, H, W, C)`."""
    return x.permute(0, 2, 3, 1)
