"""Pairs: degraded and clean crop of one place and one orientation, the field's eight modes, one name per image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aio.data.cache import DecodedCache
from aio.data.degradations import DEGRADE
from aio.data.pairs import FolderPairs, SynthesisedPairs, eightfold, random_crop, to_tensor, unique_names
from aio.data.seeding import seeded
from aio.images import read_rgb

HEIGHT, WIDTH = 24, 32


def coded(height=HEIGHT, width=WIDTH, blue=0):
    """An image whose red says the row and whose green says the column of a pixel."""
    return np.stack([*np.indices((height, width)), np.full((height, width), blue)], axis=-1).astype(np.uint8)


@pytest.fixture
def folder_pairs(plant):
    root = plant({"input": "a.png b.png", "target": "a.png b.png"})
    pairs = [(root / "input" / name, root / "target" / name) for name in ("a.png", "b.png")]
    return FolderPairs(task="derain", pairs=pairs, cache=DecodedCache())


# What the field's training scripts do to an (H, W, C) array, by mode
MODES = (
    lambda image: image,
    lambda image: image[::-1],
    lambda image: np.rot90(image),
    lambda image: np.rot90(image)[::-1],
    lambda image: image[::-1, ::-1],
    lambda image: image[::-1, ::-1][::-1],
    lambda image: np.rot90(image, k=3),
    lambda image: np.rot90(image, k=3)[::-1],
)


@pytest.mark.parametrize("mode", range(8))
def test_the_eight_modes_are_those_of_the_field(mode):
    image = coded(3, 5)
    assert np.array_equal(eightfold(image, mode), MODES[mode](image))


def test_rotation_is_counter_clockwise():
    turned = eightfold(coded(3, 5), 2)
    assert turned[0, 0, :2].tolist() == [0, 4]  # the upper right corner comes to the upper left


def test_degraded_and_clean_crop_agree_in_place_and_orientation():
    for index in range(60):
        crop = random_crop(coded(), 8, seeded(index))
        degraded, clean = crop.of(coded(blue=1)), crop.of(coded(blue=2))
        assert degraded.shape == clean.shape == (8, 8, 3)
        assert np.array_equal(degraded[..., :2], clean[..., :2])
        assert (degraded[..., 2] == 1).all()
        assert (clean[..., 2] == 2).all()


def test_crops_reach_every_place_and_every_mode():
    places, modes = set(), set()
    for index in range(800):
        crop = random_crop(coded(10, 11), 8, seeded(index)).of(coded(10, 11))
        top, left = crop[..., 0].min(), crop[..., 1].min()
        places.add((int(top), int(left)))
        upright = coded(10, 11)[top : top + 8, left : left + 8]
        modes |= {mode for mode in range(8) if np.array_equal(MODES[mode](upright), crop)}
    assert places == {(top, left) for top in range(3) for left in range(4)}
    assert modes == set(range(8))


def test_a_crop_may_be_the_whole_image():
    crop = random_crop(coded(8, 8), 8, seeded(0)).of(coded(8, 8))
    assert sorted(map(tuple, crop.reshape(-1, 3))) == sorted(map(tuple, coded(8, 8).reshape(-1, 3)))


@pytest.mark.parametrize("size", [(3, 5), (3, 20), (20, 3), (1, 1), (11, 12)])
def test_what_a_small_image_lacks_below_and_at_the_right_is_its_reflection(size):
    """As OpenCV's BORDER_REFLECT has it: the last row and column stand twice; in both images of a pair alike."""
    image, side = coded(*size), 12

    def reflected(places: np.ndarray, length: int) -> np.ndarray:
        turn = places % (2 * length)
        return np.minimum(turn, 2 * length - 1 - turn)

    for index in range(10):
        crop = random_crop(image, side, seeded(index))
        rows, columns = (
            reflected(np.arange(side), n) if n < side else start + np.arange(side)
            for n, start in zip(size, (crop.top, crop.left), strict=True)
        )
        assert np.array_equal(crop.of(image), MODES[crop.mode](image[rows][:, columns]))
        assert crop.of(coded(*size, blue=1)).shape == (side, side, 3)


def test_files_of_a_pair_stay_aligned(folder_pairs):
    for index in range(20):
        degraded, clean = folder_pairs.sample(index % 2, seeded(index), 12)
        assert degraded.shape == clean.shape == (3, 12, 12)
        assert degraded.dtype == clean.dtype == torch.float32
        assert torch.equal(degraded[:2], clean[:2])


def test_whole_pair_is_the_pixels_of_its_files(folder_pairs):
    for index, paths in enumerate(folder_pairs.files()):
        for image, path in zip(folder_pairs.sample(index, seeded(0), None), paths, strict=True):
            assert torch.equal(image, torch.from_numpy(read_rgb(path) / 255).permute(2, 0, 1).float())
    assert [folder_pairs.name(index) for index in range(len(folder_pairs))] == ["a", "b"]


def test_synthesis_degrades_what_was_cropped_and_flipped(plant):
    """After crop and flip, and from the same generator, as the field does."""
    root = plant({".": "a.png b.png"})
    photos = [root / "a.png", root / "b.png"]
    source = SynthesisedPairs(task="denoise_25", photos=photos, degrade=DEGRADE["denoise_25"], cache=DecodedCache())
    degraded, clean = source.sample(1, seeded(5), 8)
    generator = seeded(5)
    photo = read_rgb(photos[1])
    expected = random_crop(photo, 8, generator).of(photo)
    assert torch.equal(clean, to_tensor(expected))
    assert torch.equal(degraded, DEGRADE["denoise_25"](clean, generator))
    assert source.files() == [(photo,) for photo in photos]
    whole, clean = source.sample(0, seeded(5), None)
    assert whole.shape == clean.shape == (3, HEIGHT, WIDTH)


def test_two_views_of_a_pair_are_crops_of_its_files(folder_pairs):
    images = [to_tensor(read_rgb(path)) for path in folder_pairs.files()[0]]
    seen = set()
    for index in range(20):
        degraded, clean, second = folder_pairs.two_views(0, seeded(index), 6)
        assert torch.equal(degraded[:2], clean[:2])  # one place, one orientation
        for view in (degraded, second):
            assert view.shape == (3, 6, 6)
            assert torch.equal(view[2], images[0][2, :6, :6])
        seen.add(tuple(second[:2].flatten().tolist()) == tuple(degraded[:2].flatten().tolist()))
    assert seen == {False}


def test_two_views_are_degraded_at_once(plant):
    """Where the crops overlap, the same rain falls."""

    def degrade(image, generator):
        return torch.cat([image[:2], torch.rand(1, *image.shape[-2:], generator=generator)])

    photo = plant({".": "a.png"}) / "a.png"
    source = SynthesisedPairs(task="derain", photos=[photo], degrade=degrade, cache=DecodedCache())
    shared = 0
    for index in range(20):
        degraded, clean, second = source.two_views(0, seeded(index), 16)
        assert torch.equal(degraded[:2], clean[:2])
        first, other = (
            {(row, column): rain for row, column, rain in v.flatten(1).T.tolist()} for v in (degraded, second)
        )
        assert all(first[place] == other[place] for place in first.keys() & other.keys())
        shared += len(first.keys() & other.keys())
    assert 0 < shared < 20 * 16 * 16


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3)])
def test_to_tensor_scales_8_bit_to_one(plant, size):
    array = read_rgb(plant({".": "a.png"}, size=size) / "a.png")
    tensor = to_tensor(array)
    assert tensor.is_contiguous()
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy().transpose(1, 2, 0), array / 255, atol=1e-7)
    assert to_tensor(np.full((1, 1, 3), 255, np.uint8)).tolist() == [[[1.0]], [[1.0]], [[1.0]]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_to_tensor_divides_by_the_largest_number_of_the_kind(kind, tmp_path):
    """Also of a view of a memory map that must not be written to."""
    array = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (4, 6, 3), endpoint=True, dtype=kind)
    array[0, 0] = np.iinfo(kind).max
    np.save(tmp_path / "image.npy", array)
    mapped = eightfold(np.load(tmp_path / "image.npy", mmap_mode="r"), 3)
    tensor = to_tensor(mapped)
    np.testing.assert_allclose(tensor.numpy().transpose(1, 2, 0), mapped / np.iinfo(kind).max, rtol=1e-7)
    assert tensor.max() == 1
    tensor.zero_()
    assert mapped.any()


def test_names_are_stems_where_these_tell_files_apart():
    assert unique_names([Path("x/a.png"), Path("y/b.png")]) == ["a", "b"]


def test_names_are_paths_where_stems_repeat():
    paths = [Path("/r/s1/blur/1.png"), Path("/r/s2/blur/1.png"), Path("/r/s2/blur/2.png")]
    assert unique_names(paths) == ["s1/blur/1.png", "s2/blur/1.png", "s2/blur/2.png"]
    assert unique_names([Path("/r/a.png"), Path("/r/a.jpg")]) == ["a.png", "a.jpg"]
    assert unique_names([]) == []


def test_cache_decodes_once_and_forgets_the_least_recently_used(plant):
    root = plant({".": "a.png b.png c.png"})
    a, b, c = (root / name for name in ("a.png", "b.png", "c.png"))
    one = HEIGHT * WIDTH * 3
    cache = DecodedCache(limit_bytes=2 * one)
    first, second = cache[a], cache[b]
    assert cache[a] is first
    third = cache[c]
    assert len(cache) == 2
    assert cache[a] is first
    assert cache[c] is third
    assert cache[b] is not second
    assert np.array_equal(cache[b], second)
    small = DecodedCache(limit_bytes=1)
    assert small[a] is small[a]  # the image in use stays
    assert len(small) == 1


# Super-resolution


@pytest.fixture(params=[(0, 0), (1, 2)], ids=["exact", "rows and columns over"])
def small_and_large(request, tmp_path):
    """A small image, and the one that repeats each of its pixels three times each way."""
    over = request.param
    small = coded(10, 14)
    large = np.pad(small.repeat(3, 0).repeat(3, 1), [(0, over[0]), (0, over[1]), (0, 0)], constant_values=255)
    paths = tmp_path / "ax3.png", tmp_path / "a.png"
    for path, image in zip(paths, (small, large), strict=True):
        Image.fromarray(image).save(path)
    return FolderPairs(task="sr_x3", pairs=[paths], cache=DecodedCache())


def test_the_large_crop_is_the_place_of_the_small_one(small_and_large):
    for index in range(40):
        degraded, clean = small_and_large.sample(0, seeded(0, 0, index), 12)
        assert degraded.shape == (3, 4, 4)
        assert torch.equal(clean, degraded.repeat_interleave(3, 1).repeat_interleave(3, 2))


def test_the_whole_large_image_loses_what_is_no_whole_pixel_of_the_small_one(small_and_large):
    degraded, clean = small_and_large.sample(0, seeded(0), None)
    assert degraded.shape == (3, 10, 14)
    assert torch.equal(clean, degraded.repeat_interleave(3, 1).repeat_interleave(3, 2))


def test_two_views_of_a_small_image_are_small(small_and_large):
    degraded, clean, other = small_and_large.two_views(0, seeded(0), 12)
    assert torch.equal(clean, degraded.repeat_interleave(3, 1).repeat_interleave(3, 2))
    assert other.shape == degraded.shape
