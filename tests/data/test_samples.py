"""Damaged images in training: replaced alike everywhere and named, while all other samples stay as they were."""

from __future__ import annotations

import pytest
import torch

from aio.data.datamodule import RestorationData
from aio.errors import InputError
from aio.images import image_size
from damaged import damage, write_image

PHOTOS = [f"photo{i}.{'jpg' if i % 2 else 'png'}" for i in range(6)]


@pytest.fixture
def tree(tmp_path):
    """Six photographs and three pairs with rain."""
    for i, name in enumerate(PHOTOS):
        write_image(tmp_path / "train/denoise" / name, number=i)
    for i in range(3):
        for j, side in enumerate(("rainy/rain", "gt/norain")):
            write_image(tmp_path / f"train/derain/{side}-{i}.png", number=10 + 2 * i + j)
    write_image(tmp_path / "val/denoise/v.png", number=99)
    write_image(tmp_path / "val/derain/rainy/rain-1.png", number=98)
    write_image(tmp_path / "val/derain/gt/norain-1.png", number=97)
    return tmp_path


def loader(tree, **options):
    small = {"de_type": ["denoise_25", "derain"], "batch_size": 4, "patch_size": 16, "samples_per_epoch": 24}
    return RestorationData(data_file_dir=str(tree), **{**small, "num_workers": 0, **options}).train_dataloader()


def samples(batches):
    """(name, bad, degraded, clean) of every sample."""
    return [s for b in batches for s in zip(b["name"], b["bad"], b["degraded"], b["clean"], strict=True)]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(
    "spoilt", ["train/denoise/photo2.png", "train/denoise/photo3.jpg", "train/derain/gt/norain-1.png"]
)
def test_a_damaged_image_is_replaced_and_named(tree, spoilt):
    before = samples(loader(tree))
    damage(tree / spoilt)
    assert image_size(tree / spoilt) == (24, 32)
    batches = list(loader(tree))
    assert all(batch["clean"].shape == (4, 3, 16, 16) for batch in batches)
    after = samples(batches)
    lost = {"photo2.png": "photo2", "photo3.jpg": "photo3", "norain-1.png": "rain-1"}[spoilt.rpartition("/")[2]]
    replaced = [i for i, (name, *_) in enumerate(before) if name == lost]
    assert replaced
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if i in replaced:
            assert new[1] == str(tree / spoilt)
            assert new[0] != lost
            assert new[0].startswith(lost[:4])  # of the same degradation
        else:
            assert new[:2] == (old[0], "")
            assert torch.equal(new[2], old[2])
            assert torch.equal(new[3], old[3])
    again = samples(loader(tree, num_workers=2))
    assert all(a[:2] == b[:2] and torch.equal(a[2], b[2]) for a, b in zip(after, again, strict=True))


def test_a_replacement_may_be_damaged_too(tree):
    """Of six photographs four are: all samples are of the other two, and name what was met on the way."""
    for name in PHOTOS[2:]:
        damage(tree / "train/denoise" / name)
    drawn = samples(loader(tree, de_type=["denoise_25"]))
    assert {name for name, *_ in drawn} == {"photo0", "photo1"}
    met = {file for _, bad, *_ in drawn for file in bad.split("\0") if file}
    assert met == {str(tree / "train/denoise" / name) for name in PHOTOS[2:]}
    assert max(bad.count("\0") for _, bad, *_ in drawn) > 0


def test_where_every_image_is_damaged_there_is_no_replacement(tree):
    for name in PHOTOS:
        damage(tree / "train/denoise" / name)
    with pytest.raises(InputError, match=r"photo\d\.(png|jpg): "):
        list(loader(tree, de_type=["denoise_25"]))


def test_bad_input_of_another_kind_is_not_swallowed(tree, monkeypatch):
    training = loader(tree, de_type=["denoise_25"])

    def refuse(image, generator):
        raise InputError("no depth map")

    monkeypatch.setattr(training.dataset.sources[0], "degrade", refuse)
    with pytest.raises(InputError, match="no depth map"):
        list(training)


def test_a_damaged_validation_image_is_an_error(tree):
    damage(tree / "val/denoise/v.png")
    module = RestorationData(data_file_dir=str(tree), de_type=["denoise_25"], patch_size=16, num_workers=0)
    module.setup()
    with pytest.raises(InputError, match=r"v\.png"):
        list(module.val_dataloader())
