"""Tiles of nets with global statistics: the tones of the whole, and detail of their own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.inference import tiles
from aio.inference.guide import Guide, make_guide
from aio.inference.rows import ImageRows
from aio.inference.tiles import restore_image
from inference.local_net import Brightening, Local


def darkening(height, width):
    """A gradient under fine noise, so that tiles differ in their means."""
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    return 0.1 + 0.3 * torch.linspace(0, 1, width) * torch.linspace(0.5, 1, height)[:, None] + 0.02 * noise


@pytest.mark.parametrize("scale", [1, 2])
def test_tiles_get_the_tones_of_the_whole(scale, monkeypatch):
    net, image = Brightening(scale=scale).eval(), darkening(310, 470)
    whole, toned = (restore_image(net, image, tile=tile) for tile in ("none", 160))
    monkeypatch.setattr(Guide, "tone", lambda self, tile, top, left: tile)
    plain = restore_image(net, image, tile=160)
    assert (plain - whole).abs().max() > 0.1
    assert (toned - whole).abs().max() < 0.01
    assert (toned - whole).diff(dim=2).abs().max() < 0.004  # no seam: half a step of 8 bits over noise of five


def test_alpha_has_no_tone():
    image = torch.cat([darkening(200, 300), torch.rand(1, 200, 300)])
    assert torch.equal(restore_image(Brightening().eval(), image, tile=100, alpha=True)[3], image[3])


def test_local_nets_and_whole_images_need_no_guide(monkeypatch):
    monkeypatch.setattr(tiles, "make_guide", None)
    image = darkening(200, 300)
    restore_image(Local().eval(), image, tile=100)
    restore_image(Brightening().eval(), image, tile=300)


@settings(max_examples=30)
@given(height=st.integers(1, 90), width=st.integers(1, 90), step=st.integers(2, 9), data=st.data())
def test_the_guide_is_the_image_by_means_over_blocks(height, width, step, data):
    image = darkening(height, width)
    guide = make_guide(ImageRows(image), torch.clone, step)
    blocks = [[block.mean(dim=(1, 2)) for block in rows.split(step, 2)] for rows in image.split(step, 1)]
    expected = torch.stack([torch.stack(row, dim=1) for row in blocks], dim=1)
    torch.testing.assert_close(guide._restored, expected)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    tile = image[:, top:, left:]
    toned = guide.tone(tile, top, left)
    assert toned.shape == tile.shape
    assert (toned - tile).abs().max() < 0.15  # what is right already stays about as it is


def test_a_tile_that_is_too_dark_throughout_is_lifted_with_its_detail_kept():
    image = darkening(256, 256)
    guide = make_guide(ImageRows(image), torch.clone, 2)
    toned = guide.tone(image[:, 64:192, 64:192] - 0.2, 64, 64)
    assert (toned - image[:, 64:192, 64:192]).abs().max() < 0.01
