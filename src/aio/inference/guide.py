"""The tones of the whole image for tiles of nets with global statistics, which by themselves give each tile others.

The image is reduced until it is as large as a tile and restored at once; the tones that its parts then have, tiles
get: what is smooth in the difference is added to them. Detail stays the tile's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.inference.rows import Rows

_CELL: Final = 32  # pixels over which a difference counts as one of tone


class Guide:
    """A restored image `(C, h, w)`, each pixel of which stands for `step` x `step` pixels of the result."""

    def __init__(self, restored: Tensor, step: int) -> None:
        self._restored, self._step = restored, step

    def tone(self, tile: Tensor, top: int, left: int) -> Tensor:
        """`tile (C, h, w)` of the result, whose corner lies at (top, left), in the tones of the guide's first C."""
        channels, height, width = tile.shape
        difference = (self._part(top, left, height, width)[:channels] - tile)[None]
        cell = max(_CELL, 2 * self._step)
        cells = F.interpolate(difference, (-(-height // cell), -(-width // cell)), mode="area")
        smooth = F.avg_pool2d(F.pad(cells, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return tile + F.interpolate(smooth, (height, width), mode="bicubic", align_corners=False)[0]

    def _part(self, top: int, left: int, height: int, width: int) -> Tensor:
        step = self._step
        rows, columns = slice(top // step, -(-(top + height) // step)), slice(left // step, -(-(left + width) // step))
        enlarged = F.interpolate(self._restored[None, :, rows, columns], scale_factor=step, mode="bilinear")[0]
        down, right = top % step, left % step
        return enlarged[:, down : down + height, right : right + width]


@torch.inference_mode()
def make_guide(source: Rows, restore: Callable[[Tensor], Tensor], step: int) -> Guide:
    """Reads all of `source`, reduces it by means over `step` x `step` pixels, and restores what is left."""
    blocks = []
    for top in range(0, source.height, step):
        rows = source.read(min(step, source.height - top))
        means = F.avg_pool2d(rows[None], (rows.shape[1], step), ceil_mode=True, count_include_pad=False)
        blocks.append(means[0])
    return Guide(restore(torch.cat(blocks, dim=1)), step)
