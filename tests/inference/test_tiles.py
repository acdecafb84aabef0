"""Tiles: equal to the whole image for a local net, blended without a seam, exact at every size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.errors import InputError
from aio.inference.grid import grid, intervals, ramp, restored_rows
from aio.inference.rows import ImageRows
from aio.inference.settings import Settings
from aio.inference.tiles import Restoration, restore_image
from aio.resize import bicubic
from inference.local_net import Local, Marking, Strided


def picture(channels, height, width):
    generator = torch.Generator().manual_seed(height * 151 + width)
    return torch.rand(channels, height, width, generator=generator)


@given(
    length=st.integers(1, 3000),
    overlap=st.integers(0, 8),
    more=st.integers(1, 40),
    step=st.sampled_from([1, 2, 3, 8, 16, 128]),
)
def test_intervals_cover_a_line_and_share_what_they_must(length, overlap, more, step):
    overlap, side = overlap * step, (2 * overlap + more) * step
    found = intervals(length, side, overlap, step)
    starts, ends = [start for start, _ in found], [start + size for start, size in found]
    assert (starts[0], ends[-1]) == (0, length)
    assert all(start % step == 0 for start in starts)
    assert all(size <= side for _, size in found)
    assert all(end - start >= overlap for start, end in zip(starts[1:], ends, strict=False))
    assert starts == sorted(set(starts))
    assert len(found) == (1 if length <= side else -(-(length - overlap) // (side - overlap)))


@given(length=st.integers(1, 300))
def test_the_weights_of_two_neighbours_sum_to_one(length):
    fresh = ramp(length)
    fading = 1 - fresh
    assert torch.equal(fresh + fading, torch.ones(length))
    assert torch.allclose(fading, fresh.flip(0), atol=1e-6)
    assert (fresh.diff() >= 0).all()
    margin = length // 4
    assert not fresh[:margin].any()
    assert not fading[length - margin :].any()


@settings(max_examples=30)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    scale=st.sampled_from([1, 2]),
    overlap=st.integers(8, 30),
    more=st.integers(1, 60),
    step=st.sampled_from([1, 3, 8]),
)
def test_tiled_equals_whole(height, width, scale, overlap, more, step):
    image = picture(3, height, width)
    net = Local(scale=scale, multiple_of=step).eval()
    whole = restore_image(net, image, tile="none")
    tiled = restore_image(net, image, tile=2 * overlap + more, overlap=overlap)
    assert whole.shape == (3, height * scale, width * scale)
    assert (tiled - whole).abs().max() < 1e-5


def test_strides_lie_as_in_the_whole_image():
    image = picture(3, 203, 171)
    net = Strided().eval()
    whole, tiled = (restore_image(net, image, tile=tile, overlap=9) for tile in ("none", 47))
    assert (tiled - whole).abs().max() < 1e-5


@pytest.mark.parametrize("size", range(1, 71))
def test_every_size_comes_back(size):
    net = Local(multiple_of=8).eval()
    for height, width in ((size, 9), (9, size), (size, size)):
        image = picture(3, height, width)
        whole, tiled = (restore_image(net, image, tile=tile, overlap=8) for tile in ("none", 17))
        assert tiled.shape == image.shape
        assert (tiled - whole).abs().max() < 1e-5


def test_tiles_that_differ_pass_into_each_other_by_a_ramp():
    out = restore_image(Marking().eval(), torch.zeros(3, 64, 400), tile=128, overlap=32)
    line = out[0, 0]
    assert set(line[:60].tolist()) == {1.0}  # the first tile alone
    assert line.min() == 0
    assert line.diff().abs().max() < 1 / 16
    assert torch.equal(out, line.expand_as(out))


def test_what_no_net_changes_comes_back_to_the_bit():
    image = picture(4, 97, 131)
    tiles = grid((97, 131), (40, 40), 12, 4)
    parts = [part.clone() for part in restored_rows(ImageRows(image), lambda tile, *_: tile.clone(), tiles)]
    assert len(parts) > 2
    assert torch.equal(torch.cat(parts, dim=1), image)


def test_of_input_and_result_only_a_band_is_held():
    class Counting(ImageRows):
        given = 0

        def read(self, rows):
            self.given += rows
            return super().read(rows)

    source, returned = Counting(picture(3, 900, 40)), 0
    for part in Restoration(Local().eval(), (900, 40), Settings(tile=80)).rows(source):
        returned += part.shape[1]
        assert source.given - returned <= 80
    assert source.given == returned == 900


def test_the_task_reaches_the_net_and_the_result_is_clamped():
    class Told(Local):
        def forward(self, image, task=None):
            return image * 0 + (2.0 if task is None else float(task) - 5)

    image = torch.rand(3, 9, 7)
    assert restore_image(Told(), image).eq(1).all()
    assert restore_image(Told(), image, task=3).eq(0).all()


def test_the_image_that_was_given_stays_as_it_was():
    class InPlace(Local):
        def forward(self, image, task=None):
            return image.mul_(3)

    image = picture(3, 90, 20)
    before = image.clone()
    restore_image(InPlace(), image, tile=40, overlap=8)
    restore_image(InPlace(), image)
    assert torch.equal(image, before)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("tile", ["none", 72])
def test_strength_mixes_the_result_with_the_input(scale, tile):
    image = picture(3, 120, 90)
    net = Local(scale=scale).eval()
    full, none, half = (restore_image(net, image, tile=tile, strength=strength) for strength in (1, 0, 0.25))
    enlarged = image if scale == 1 else bicubic(image, (240, 180))
    assert (none - enlarged.clamp(0, 1)).abs().max() < 1e-5
    assert (half - (0.25 * full + 0.75 * enlarged).clamp(0, 1)).abs().max() < 1e-5


def test_strength_needs_as_many_channels_out_as_in():
    net = Local(channels=6).eval()
    net.out_channels = 3
    with pytest.raises(InputError, match=r"strength 0.5: the net makes 3 channels of 6"):
        restore_image(net, torch.rand(6, 9, 9), strength=0.5)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_mean_of_the_eight_forms_is_turned_with_the_image(scale):
    net = Local(scale=scale).eval()
    image = picture(3, 37, 22)
    out = restore_image(net, image, tta=True)
    assert len(net.seen) == 8
    for turn in (lambda x: x.rot90(1, (1, 2)), lambda x: x.flip(2), lambda x: x.mT):
        assert (restore_image(net, turn(image), tta=True) - turn(out)).abs().max() < 1e-5
    assert (restore_image(net, image) - out).abs().max() > 1e-3
    assert (restore_image(net, image, tta=True, tile=17, overlap=8) - out).abs().max() < 1e-5


def test_gray_through_a_colour_net_and_colour_through_a_gray_one():
    gray, colour = picture(1, 20, 30), picture(3, 20, 30)
    net = Local().eval()
    expected = restore_image(net, gray.expand(3, -1, -1)).mean(dim=0, keepdim=True)
    assert torch.equal(restore_image(net, gray), expected)
    assert restore_image(Local(channels=1, scale=2).eval(), colour).shape == (3, 40, 60)


def test_a_tile_must_exceed_twice_the_overlap():
    with pytest.raises(ValueError, match="more than twice the overlap of 32"):
        restore_image(Local(), torch.rand(3, 9, 9), tile=64)
    with pytest.raises(ValueError, match="more than twice the overlap of 8"):
        restore_image(Local(), torch.rand(3, 9, 9), tile=16, overlap=8)


def test_progress_counts_every_tile():
    seen = []
    restore_image(Local(), torch.rand(3, 100, 70), tile=40, overlap=8, progress=lambda *done: seen.append(done))
    assert seen == [(n, 6) for n in range(1, 7)]
