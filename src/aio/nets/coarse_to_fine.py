"""Coarse to fine: a glance at the whole photograph gives it light and contrast, then convolutions clean its detail.

The coarse half is the flagship's gated attention over cells of 8 x 8 pixels. It says whether the light is to change,
gives every cell a gain and an offset (what undoes haze, as the scattering equation has it, and darkness), and chooses
the experts of the fine half. Each of these is FFDNet's (Zhang et al., TIP 2018, section III): plain convolutions on
squares of 2 x 2 pixels, in the blocks of EDSR. An expert learns its own degradation alone, so that the large errors of
one do not drown the small ones of another; that of motion blur undoes the kernel first (`aio.nets.shake`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aio.colour import luma, to_linear, to_srgb
from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.nets.blocks import LayerNorm, ResidualBlock
from aio.nets.lora import pointwise
from aio.nets.lora_restormer import GatedBlock, GatedBlocks
from aio.nets.shake import find_kernel, unshaken
from aio.vocabulary import DEGRADATIONS, TASK_ID, Degradation, expand

_CELL: Final = 8  # pixels along a side of what the coarse half sees as one
_FOLD: Final = 2  # ... and the fine half
_LARGEST: Final = 3.0  # natural logarithm of the largest gain: 20 times
_DARKEST: Final = 0.02  # of 1: what is darker looks much the same
_DETAIL: Final = 12.0  # brings what lies between neighbours to the size of the image itself
_PRICES: Final = (0.1, 1.0)  # of departing from a blurred image: boldly and gently
_NOBODY: Final = -1
_BLUR: Final[Degradation] = "deblur"


class Expert(nn.Module):
    """What to add to an image `(B, 3, H, W)`, whose cells the coarse half has seen as `(B, C, H / 8, W / 8)`."""

    def __init__(self, coarse_dim: int, dim: int, num_blocks: int, images: int = 1) -> None:
        super().__init__()
        self.context = nn.Conv2d(coarse_dim, dim, kernel_size=1)
        self.fold = nn.Conv2d(3 * images * _FOLD**2, dim, kernel_size=3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(dim) for _ in range(num_blocks)))
        self.output = nn.Conv2d(dim, 3 * _FOLD**2, kernel_size=3, padding=1)
        for parameter in (*self.context.parameters(), *self.output.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, lit: Tensor, coarse: Tensor) -> Tensor:
        folded = F.pixel_unshuffle(lit, _FOLD).contiguous(memory_format=torch.channels_last)
        x = self.fold(folded) + _enlarged(self.context(coarse), _CELL // _FOLD)
        return F.pixel_shuffle(self.output(self.blocks(x)), _FOLD)


class BlurExpert(Expert):
    """The expert of motion blur: its kernel is found and undone, boldly and gently; convolutions choose and mend.

    A graph is too small for the search: there, as of too few pixels, no kernel is found.
    """

    def __init__(self, coarse_dim: int, dim: int, num_blocks: int) -> None:
        super().__init__(coarse_dim, dim, num_blocks, images=1 + len(_PRICES))
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, lit: Tensor, coarse: Tensor) -> Tensor:
        found = [lit.clamp(0, 1)] * len(_PRICES) if torch.compiler.is_exporting() else deblurred(lit)
        sharp = [image.to(lit.dtype) for image in found]
        return self.share * (sharp[-1] - lit) + super().forward(torch.cat([lit, *sharp], dim=1), coarse)


def deblurred(image: Tensor) -> list[Tensor]:
    """`image` `(B, 3, H, W)` without the blur that is found in it, once boldly and once gently; in [0, 1], float32."""
    light = to_linear(image.float().clamp(0, 1))
    return [to_srgb(sharp) for sharp in unshaken(light, find_kernel(luma(light)), _PRICES)]


class Choice(nn.Module):
    """Logits `(B, K)`: which expert an image `(B, 3, H, W)` asks for, by how strongly small filters answer on the mean.

    What tells noise from rain lies between neighbouring pixels, of which cells know little; haze and darkness are in
    the mean of the cells `(B, C)`.
    """

    def __init__(self, coarse_dim: int, experts: int) -> None:
        super().__init__()
        self.filters = nn.Sequential(
            nn.Conv2d(6 * _FOLD**2, 48, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 64, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.logits = nn.Linear(64 + coarse_dim, experts)

    def forward(self, image: Tensor, cells: Tensor) -> Tensor:
        detail = image - F.avg_pool2d(image, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        folded = F.pixel_unshuffle(torch.cat([image - 0.5, _DETAIL * detail], dim=1), _FOLD)
        answers = self.filters(folded).mean(dim=(2, 3))
        return self.logits(torch.cat([answers, cells], dim=1))


class CoarseToFine(RestorationNet):
    """lit = image * gain + offset, by gated attention over cells of 8 x 8 pixels; then lit + what the experts add.

    Gain and offset are bilinear between the cells' centres. One number of the whole image, its `presence` between 0 and
    1, scales their distance from 1 and 0, so that a photograph whose light is right keeps it. Before training the
    network returns its input.

    It restores blind, by the likeliest expert alone. In training it may be told the task: that task's expert then
    learns from the sample, and the choice learns which it was (cross-entropy, the term `routing`). Untold, all mix.

    Args:
        coarse_dim: width of the coarse half.
        coarse_blocks: its blocks.
        coarse_heads: of their attention; divides `coarse_dim`.
        ffn_expansion_factor: hidden width of GDFN over its input width.
        dim: width of an expert.
        num_blocks: its blocks, of two convolutions each.
        experts: for each, the degradations it is for; on samples of others all experts train, by their shares. One for
            `deblur` alone finds and undoes the kernel of the blur (`aio.nets.shake`).

    Raises:
        InputError: there is no expert, two are for one degradation, there is no such degradation, or the heads do not
            divide the width.
    """

    multiple_of = _CELL
    global_statistics = True
    own_losses = ("routing",)
    left_out_of_graphs = "the search for the kernel of a blur: as of an image of few pixels, none is found"
    expert_of: Tensor

    def __init__(
        self,
        *,
        coarse_dim: int = 128,
        coarse_blocks: int = 4,
        coarse_heads: int = 8,
        ffn_expansion_factor: float = 2.66,
        dim: int = 64,
        num_blocks: int = 6,
        experts: Sequence[Sequence[str]] = (
            ("denoise", "denoise_blind", "clean"),
            ("derain",),
            ("dehaze", "lowlight"),
            ("deblur",),
        ),
    ) -> None:
        super().__init__()
        if coarse_heads < 1 or coarse_dim % coarse_heads:
            raise InputError(f"coarse_heads {coarse_heads}: expected a divisor of coarse_dim {coarse_dim}")
        self.register_buffer("expert_of", torch.tensor(_experts_of_tasks(experts)), persistent=False)
        self.cells = nn.Conv2d(6, coarse_dim, kernel_size=_CELL, stride=_CELL)
        self.coarse = GatedBlocks(
            GatedBlock(coarse_dim, coarse_heads, ffn_expansion_factor, "headwise", pointwise, pointwise, None)
            for _ in range(coarse_blocks)
        )
        self.norm = LayerNorm(coarse_dim)
        self.presence = nn.Linear(coarse_dim, 1)
        self.light = nn.Conv2d(coarse_dim, 6, kernel_size=1)
        nn.init.zeros_(self.light.weight)
        nn.init.zeros_(self.light.bias)  # type: ignore[arg-type]
        self.choice = Choice(coarse_dim, len(experts))
        self.experts = nn.ModuleList(
            BlurExpert(coarse_dim, dim, num_blocks) if _named(words) == [_BLUR] else Expert(coarse_dim, dim, num_blocks)
            for words in experts
        )
        self._routing: Tensor | None = None

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        image = image.contiguous(memory_format=torch.channels_last)
        told = torch.zeros(image.shape[0], dtype=torch.long, device=image.device)
        exposure = torch.log(image.clamp(min=0) + _DARKEST)  # a gain is a difference of these
        centred = torch.cat([image - 0.5, exposure + 1], dim=1)
        coarse = self.norm(self.coarse(self.cells(centred), told))
        whole = coarse.mean(dim=(2, 3))
        presence = torch.sigmoid(self.presence(whole))[..., None, None]
        gain, offset = _enlarged(presence * self.light(coarse), _CELL).chunk(2, dim=1)
        lit = image * torch.exp(_LARGEST * torch.tanh(gain / _LARGEST)) + offset
        return lit + self._residual(lit, coarse, self._shares(self.choice(image, whole), task))

    def extra_losses(self, second_view: Tensor | None = None) -> dict[str, Tensor]:
        """`routing`: the cross-entropy of the choice, once after a forward pass in training that was told the task."""
        routing, self._routing = self._routing, None
        return {} if routing is None else {"routing": routing}

    def _shares(self, logits: Tensor, task: Tensor | None) -> Tensor:
        """What each expert `(B, K)` contributes to each image: the likeliest alone, or in training the one told."""
        logits = logits.float()
        if not self.training:
            return F.one_hot(logits.argmax(dim=-1), len(self.experts)).to(logits.dtype)
        shares = logits.softmax(dim=-1)
        if task is None:
            return shares
        expert = self.expert_of[task]
        known = expert != _NOBODY
        losses = F.cross_entropy(logits, expert, ignore_index=_NOBODY, reduction="sum")
        self._routing = losses / known.sum().clamp(min=1)
        return torch.where(known[:, None], F.one_hot(expert.clamp(min=0), len(self.experts)).to(shares.dtype), shares)

    def _residual(self, lit: Tensor, coarse: Tensor, shares: Tensor) -> Tensor:
        """The experts' sum. In a graph, whose way no value may change, all of them look at all images."""
        if torch.compiler.is_exporting():
            added = [expert(lit, coarse) * shares[:, k, None, None, None] for k, expert in enumerate(self.experts)]
            return torch.stack(added).sum(dim=0)
        residual = torch.zeros_like(lit)
        for expert, share in zip(self.experts, shares.unbind(dim=1), strict=True):
            asked = share.nonzero()[:, 0]
            if len(asked):
                added = expert(lit[asked], coarse[asked]) * share[asked, None, None, None]
                residual = residual.index_add(0, asked, added.to(residual.dtype))
            elif self.training:
                # DistributedDataParallel waits for a gradient of every parameter: an idle expert's is zero.
                residual = residual + 0 * sum(parameter.sum() for parameter in expert.parameters())
        return residual


def _experts_of_tasks(experts: Sequence[Sequence[str]]) -> list[int]:
    """By task id the number of its expert, or none."""
    if not experts:
        raise InputError("experts: expected at least one")
    numbers = [_NOBODY] * len(DEGRADATIONS)
    for number, words in enumerate(experts):
        for degradation in _named(words):
            if numbers[TASK_ID[degradation]] != _NOBODY:
                raise InputError(f"experts: {degradation} stands twice; expected one expert for it")
            numbers[TASK_ID[degradation]] = number
    return numbers


def _named(words: Sequence[str]) -> list[Degradation]:
    try:
        return expand(words) if words else []
    except ValueError as error:
        raise InputError(f"experts: {error}") from error


def _enlarged(fields: Tensor, times: int) -> Tensor:
    return F.interpolate(fields, scale_factor=times, mode="bilinear", align_corners=False)
