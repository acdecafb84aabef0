"""The demo photographs: there without a download, large enough, and honestly split."""

import pytest

from aio.data.demo import TRAIN, VAL, demo_photos
from aio.data.scan import check_files
from aio.images import read_rgb


@pytest.mark.parametrize("split", ["train", "val"])
def test_photographs_hold_a_default_patch(split):
    photos = demo_photos(split)
    assert [photo.name for photo in photos] == list({"train": TRAIN, "val": VAL}[split])
    check_files([(photo,) for photo in photos], smallest_side=128)


def test_no_scene_is_in_both_splits():
    def scenes(names):
        return {name.partition(".")[0].removesuffix("_left").removesuffix("_right") for name in names}

    assert scenes(TRAIN).isdisjoint(scenes(VAL))


def test_validation_photographs_are_read_in_colour():
    for photo in demo_photos("val"):
        pixels = read_rgb(photo)
        assert pixels.shape[2] == 3
        assert (pixels[..., 0] != pixels[..., 2]).any()
