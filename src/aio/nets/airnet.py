"""AirNet: All-In-One Image Restoration for Unknown Corruption (Li et al., CVPR 2022).

A contrastive encoder (CBDE) learns what degrades the image, a restorer (DGRN) deforms and modulates its
maps by it. Keys and outputs are those of the official release, github.com/XLearning-SCU/2022-CVPR-AirNet.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from aio.nets.base import RestorationNet

SLOPE = 0.1  # of every LeakyReLU


def _conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


class ResBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a 1x1 shortcut; both ways take the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.backbone(x) + self.shortcut(x), SLOPE)


class ResEncoder(nn.Module):
    """`(B, 3, H, W) -> (B, 4 * dim)`. The maps of `E_pre` steer the restorer, the vector is only contrasted."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        width = dim * 4
        self.E_pre = ResBlock(3, dim)
        self.E = nn.Sequential(
            ResBlock(dim, dim * 2, stride=2), ResBlock(dim * 2, width, stride=2), nn.AdaptiveAvgPool2d(1)
        )
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width))

    def forward(self, image: Tensor) -> Tensor:
        return self.embed(self.E_pre(image))

    def embed(self, maps: Tensor) -> Tensor:
        """The vector of the maps `(B, dim, H, W)` that `E_pre` gave."""
        return self.mlp(self.E(maps).flatten(1))


class MoCo(nn.Module):
    """Momentum contrast (He et al., CVPR 2020): each query finds its key among the keys of earlier batches.

    `encoder_k` follows `encoder_q` as a moving average and takes no gradient; `queue (4 * dim, queue_length)`
    is a ring of the newest keys, `queue_ptr` the place of the next one.
    """

    queue: Tensor
    queue_ptr: Tensor

    def __init__(self, dim: int, queue_length: int, momentum: float, temperature: float) -> None:
        super().__init__()
        self.momentum, self.temperature = momentum, temperature
        self.encoder_q = ResEncoder(dim)
        self.encoder_k = ResEncoder(dim).requires_grad_(False)
        for query, key in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
            key.data.copy_(query.data)
        self.register_buffer("queue", F.normalize(torch.randn(dim * 4, queue_length), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """The contrastive loss of the maps of `encoder_q.E_pre` and of other views of the same images.

        As in the official code, the key encoder moves before it sees the keys.
        """
        queries = F.normalize(self.encoder_q.embed(query).float(), dim=1)
        with torch.no_grad():
            self._follow()
            keys = F.normalize(self.encoder_k(key).float(), dim=1)
        loss = self._cross_entropy(queries, keys)
        self._enqueue(keys)
        return loss

    def _cross_entropy(self, queries: Tensor, keys: Tensor) -> Tensor:
        with torch.autocast(queries.device.type, enabled=False):
            positive = (queries * keys).sum(dim=1, keepdim=True)
            negative = queries @ self.queue.float().clone()  # a copy, as the queue changes before the backward pass
            logits = torch.cat([positive, negative], dim=1) / self.temperature
            return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))

    @torch.no_grad()
    def _follow(self) -> None:
        for query, key in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
            key.lerp_(query, 1 - self.momentum)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        length = self.queue.shape[1]
        if len(keys) > length:
            raise ValueError(f"a batch of {len(keys)} keys does not fit a queue of length {length}: raise queue_length")
        places = (self.queue_ptr + torch.arange(len(keys), device=keys.device)) % length
        self.queue[:, places] = keys.T.to(self.queue.dtype)
        self.queue_ptr.add_(len(keys)).remainder_(length)


class CBDE(nn.Module):
    """Contrastive-based degradation encoder: `(B, 3, H, W) -> (B, dim, H, W)`.

    The restorer reads the first block of the query encoder alone, so that the deeper ones run for the loss only.
    """

    def __init__(self, dim: int, queue_length: int, momentum: float, temperature: float) -> None:
        super().__init__()
        self.E = MoCo(dim, queue_length, momentum, temperature)

    def forward(self, image: Tensor) -> Tensor:
        return self.E.encoder_q.E_pre(image)


class DCN(nn.Module):
    """Modulated deformable 3x3 convolution whose offsets and mask come from the maps and the degradation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        bound = (dim * 9) ** -0.5
        self.weight = nn.Parameter(torch.empty(dim, dim, 3, 3).uniform_(-bound, bound))
        self.conv_offset_mask = _conv3x3(dim * 2, 27)
        for parameter in self.conv_offset_mask.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, degradation: Tensor) -> Tensor:
        steer = self.conv_offset_mask(torch.cat([x, degradation], dim=1)).float()
        offset, mask = steer.split([18, 9], dim=1)
        with torch.autocast(x.device.type, enabled=False):
            return deform_conv2d(x.float(), offset, self.weight.float(), padding=1, mask=mask.sigmoid()).to(x.dtype)


class SFT(nn.Module):
    """Spatial feature transform: scale and shift each pixel by the degradation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_gamma = self._branch(dim)
        self.conv_beta = self._branch(dim)

    @staticmethod
    def _branch(dim: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(dim, dim, kernel_size=1, bias=False),
        )

    def forward(self, x: Tensor, degradation: Tensor) -> Tensor:
        return x * self.conv_gamma(degradation) + self.conv_beta(degradation)


class DGM(nn.Module):
    """Degradation-guided module: x + DCN(x) + SFT(x)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dcn = DCN(dim)
        self.sft = SFT(dim)

    def forward(self, x: Tensor, degradation: Tensor) -> Tensor:
        return x + self.dcn(x, degradation) + self.sft(x, degradation)


class DGB(nn.Module):
    """Degradation-guided block: two modules, each followed by a convolution, with a residual round them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dgm1 = DGM(dim)
        self.dgm2 = DGM(dim)
        self.conv1 = _conv3x3(dim, dim)
        self.conv2 = _conv3x3(dim, dim)

    def forward(self, x: Tensor, degradation: Tensor) -> Tensor:
        y = F.leaky_relu(self.dgm1(x, degradation), SLOPE)
        y = F.leaky_relu(self.conv1(y), SLOPE)
        y = F.leaky_relu(self.dgm2(y, degradation), SLOPE)
        return x + self.conv2(y)


class DGG(nn.Module):
    """Degradation-guided group: blocks and a convolution, with a residual round them."""

    def __init__(self, dim: int, num_blocks: int) -> None:
        super().__init__()
        self.body = nn.ModuleList([*(DGB(dim) for _ in range(num_blocks)), _conv3x3(dim, dim)])

    def forward(self, x: Tensor, degradation: Tensor) -> Tensor:
        *blocks, conv = self.body
        y = x
        for block in blocks:
            y = block(y, degradation)
        return x + conv(y)


class DGRN(nn.Module):
    """Degradation-guided restoration network; the image itself is not added to its output."""

    def __init__(self, dim: int, num_groups: int, num_blocks: int) -> None:
        super().__init__()
        self.head = nn.Sequential(_conv3x3(3, dim))
        self.body = nn.ModuleList([*(DGG(dim, num_blocks) for _ in range(num_groups)), _conv3x3(dim, dim)])
        self.tail = nn.Sequential(_conv3x3(dim, 3))

    def forward(self, image: Tensor, degradation: Tensor) -> Tensor:
        *groups, conv = self.body
        shallow = x = self.head(image)
        for group in groups:
            x = group(x, degradation)
        return self.tail(shallow + conv(x))


class AirNet(RestorationNet):
    """Restorer `R` steered by the degradation encoder `E`; any image size.

    The paper trains by the contrastive loss alone for 100 epochs, then by L1 plus a tenth of it.

    Args:
        dim: width of the restorer and of the encoder's first block; the contrasted vector is 4 * dim wide.
        num_groups: groups of the restorer.
        num_blocks: blocks per group.
        queue_length: keys remembered for the contrastive loss; a release has 256 for each degradation it was
            trained on, thus 1280 for five, 768 for denoising alone, 256 for rain or haze alone.
        momentum: share of the key encoder that stays in each step.
        temperature: of the contrastive softmax.
        contrastive_weight: weight of the contrastive loss; 0 trains without it, and freezes what serves it alone.
    """

    def __init__(
        self,
        *,
        dim: int = 64,
        num_groups: int = 5,
        num_blocks: int = 5,
        queue_length: int = 1280,
        momentum: float = 0.999,
        temperature: float = 0.07,
        contrastive_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if contrastive_weight < 0:
            raise ValueError(f"contrastive_weight {contrastive_weight}: expected a number of at least 0")
        self.contrastive_weight, self.wants_second_view = contrastive_weight, contrastive_weight > 0
        self.own_losses = ("contrastive",) if self.wants_second_view else ()
        self._query: Tensor | None = None
        self.R = DGRN(dim, num_groups, num_blocks)
        self.E = CBDE(dim, queue_length, momentum, temperature)
        if not self.wants_second_view:  # every parameter that can be trained takes part in the output
            self.E.E.encoder_q.E.requires_grad_(False)
            self.E.E.encoder_q.mlp.requires_grad_(False)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        degradation = self.E(image)
        self._query = degradation if self.training and self.wants_second_view else None
        return self.R(image, degradation)

    def extra_losses(self, second_view: Tensor | None = None) -> dict[str, Tensor]:
        """The weighted contrastive loss of the last training batch and of `second_view`, other crops of its images.

        Each training pass is contrasted once: the call moves the key encoder by one step of momentum and puts the
        batch's keys into the queue, which must be at least as long as the batch.

        Raises:
            ValueError: there is not one second view for each image, or more of them than the queue has places.
        """
        query, self._query = self._query, None
        if query is None:
            return {}
        if second_view is None or len(second_view) != len(query):
            given = "none" if second_view is None else str(len(second_view))
            raise ValueError(
                f"AirNet with contrastive_weight {self.contrastive_weight} trains on two crops of each image: expected "
                f"{len(query)} second views, got {given}; have the data give them, or train with contrastive_weight 0"
            )
        return {"contrastive": self.contrastive_weight * self.E.E(query, second_view)}

    def __getstate__(self) -> dict[str, Any]:
        # The maps belong to a graph, which can be neither copied nor pickled.
        return self.__dict__ | {"_query": None}
