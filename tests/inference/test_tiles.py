"""Tiles: equal to the whole image for a local net, ever smaller when memory is short, exact at every size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aio.inference.tiles import restore_image, tile_boxes
from aio.nets.base import RestorationNet


class Local(RestorationNet):
    """Two 3x3 convolutions: nothing further than two pixels away matters."""

    def __init__(self, *, scale: int = 1, limit: int | None = None) -> None:
        super().__init__()
        self.scale, self.limit = scale, limit
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1))

    def forward(self, image, task=None):
        if self.limit is not None and image.shape[-2] * image.shape[-1] > self.limit:
            raise torch.OutOfMemoryError("too large")
        out = 0.5 + 0.1 * self.body(image)
        return out.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


@given(height=st.integers(1, 200), width=st.integers(1, 200), overlap=st.integers(0, 16), more=st.integers(9, 60))
def test_tiles_cover_every_pixel_and_overlap(height, width, overlap, more):
    side = 2 * overlap + more
    covered = torch.zeros(height, width)
    for top, left, tile_height, tile_width in tile_boxes(height, width, side, overlap):
        assert top >= 0
        assert top + tile_height <= height
        assert left + tile_width <= width
        assert max(tile_height, tile_width) <= side
        covered[top : top + tile_height, left : left + tile_width] += 1
    assert covered.min() >= 1


@settings(max_examples=20)
@given(height=st.integers(1, 150), width=st.integers(1, 150), scale=st.sampled_from([1, 2]))
def test_tiled_equals_whole(height, width, scale):
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(height * 151 + width))
    net = Local(scale=scale).eval()
    whole = restore_image(net, image, tile="none")
    tiled = restore_image(net, image, tile=72, overlap=16)
    assert whole.shape == (3, height * scale, width * scale)
    assert (tiled - whole).abs().max() < 1e-5


def test_blending_weights_sum_to_one():
    class Constant(Local):
        def forward(self, image, task=None):
            return torch.full_like(image, 0.25)

    out = restore_image(Constant(), torch.rand(3, 130, 171), tile=70)
    assert torch.allclose(out, torch.full_like(out, 0.25), atol=1e-6)


def test_out_of_memory_halves_the_tile_down_to_the_floor():
    image = torch.rand(3, 200, 260)
    net = Local(limit=80 * 80).eval()
    seen = []
    out = restore_image(net, image, progress=lambda done, total: seen.append((done, total)))
    assert (out - restore_image(Local().eval(), image, tile="none")).abs().max() < 1e-5
    assert seen[-1][0] == seen[-1][1] > 1
    for hopeless in (Local(limit=100).eval(), Local(limit=80 * 80).eval()):
        with pytest.raises(torch.OutOfMemoryError):
            restore_image(hopeless, image, tile="none" if hopeless.limit == 80 * 80 else "auto")


def test_the_task_reaches_the_net_and_the_result_is_clamped():
    class Told(Local):
        def forward(self, image, task=None):
            return image * 0 + (2.0 if task is None else float(task) - 5)

    image = torch.rand(3, 9, 7)
    assert restore_image(Told(), image).eq(1).all()
    assert restore_image(Told(), image, task=3).eq(0).all()


def test_a_tile_must_exceed_twice_the_overlap():
    with pytest.raises(ValueError, match="more than twice the overlap of 32"):
        restore_image(Local(), torch.rand(3, 9, 9), tile=64)
