"""JPEG: against Pillow's libjpeg, pixel by pixel, and by its laws."""

import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from aio.data.degradations import Synthesis, jpeg
from aio.data.degradations.jpeg import quantisation
from aio.data.seeding import seeded
from aio.errors import InputError


def photo(height=96, width=112):
    return np.ascontiguousarray(skimage.data.astronaut()[60 : 60 + height, 150 : 150 + width])


def tensor(image):
    return torch.from_numpy(np.atleast_3d(image).copy()).permute(2, 0, 1).float() / 255


def coded_by_pillow(image, quality, subsampling):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(file)


def difference(image, quality, *, coarse):
    """From libjpeg's result, in levels."""
    out = jpeg(tensor(image), seeded(0), quality=(quality, quality), subsampling=float(coarse))
    expected = np.asarray(coded_by_pillow(image, quality, "4:2:0" if coarse else "4:4:4"))
    return np.abs((out * 255).permute(1, 2, 0).numpy().squeeze() - expected.astype(float))


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 75, 90, 100])
@pytest.mark.parametrize("coarse", [False, True])
def test_colour_files_are_those_of_libjpeg(quality, coarse):
    levels = difference(photo(), quality, coarse=coarse)
    assert levels.mean() < 0.3
    assert np.mean(levels <= 2) > 0.97


@pytest.mark.parametrize("quality", [10, 50, 90])
def test_gray_files_are_those_of_libjpeg(quality):
    assert difference(photo()[..., 1], quality, coarse=False).mean() < 0.15


@pytest.mark.parametrize("size", [(97, 113), (90, 100), (33, 24), (17, 15)])
def test_sides_that_fill_no_block_are_those_of_libjpeg_too(size):
    for quality in (20, 80):
        assert difference(photo(*size), quality, coarse=True).mean() < 0.8


@pytest.mark.parametrize("quality", range(1, 101))
def test_tables_are_those_of_libjpeg(quality):
    with coded_by_pillow(photo(16, 16), quality, "4:4:4") as file:
        for table, index in zip(quantisation(quality), (0, 1), strict=True):
            assert table.flatten().tolist() == list(file.quantization[index])


def test_lower_quality_is_worse():
    image = tensor(photo())
    errors = [
        (jpeg(image, seeded(0), quality=(q, q), subsampling=0.0) - image).square().mean() for q in (95, 75, 50, 20, 5)
    ]
    assert errors == sorted(errors)


def test_a_constant_image_stays_constant():
    for value in (0.0, 0.3, 1.0):
        out = jpeg(torch.full((3, 20, 27), value), seeded(0), quality=(40, 40))
        assert torch.equal(out, out[:, :1, :1].expand_as(out))
        assert (out - value).abs().max() < 0.05


def test_blocks_do_not_see_each_other():
    image = tensor(photo(32, 32))
    changed = image.clone()
    changed[:, :16, :16] = 0
    one, other = (jpeg(i, seeded(0), quality=(30, 30), subsampling=0.0) for i in (image, changed))
    assert torch.equal(one[:, 16:], other[:, 16:])
    assert torch.equal(one[:, :, 16:], other[:, :, 16:])


def test_qualities_and_subsampling_are_drawn():
    image = tensor(photo(16, 16))
    exact = {q: jpeg(image, seeded(0), quality=(q, q), subsampling=1.0) for q in (5, 6, 7)}
    drawn = [jpeg(image, seeded(i), quality=(5, 7), subsampling=1.0) for i in range(60)]
    counts = [sum(torch.equal(out, expected) for out in drawn) for expected in exact.values()]
    assert min(counts) > 8
    assert sum(counts) == 60
    kinds = [jpeg(image, seeded(i), quality=(50, 50), subsampling=0.5) for i in range(40)]
    assert 8 < sum(torch.equal(out, kinds[0]) for out in kinds) < 32


def test_the_chosen_quality_arrives():
    image = tensor(photo(24, 24))
    chosen = Synthesis(jpeg_quality=(20, 20)).degrade("jpeg")
    assert torch.equal(chosen(image, seeded(1)), jpeg(image, seeded(1), quality=(20, 20)))
    for bad in ((0, 50), (10, 101), (60, 40)):
        with pytest.raises(InputError, match=r"jpeg_quality .*: expected two ascending numbers from 1 to 100"):
            Synthesis(jpeg_quality=bad)
