"""Haze over the depth that lies beside a photograph: RESIDE's formula, and crops of both at the same place."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from aio.data.cache import DecodedCache
from aio.data.datamodule import RestorationData
from aio.data.degradations import DEGRADE, haze, needs_depth, rain, with_depth
from aio.data.degradations.composite import in_turn
from aio.data.depth import DepthPairs, depth_maps, distance
from aio.data.discovery import discover
from aio.data.mixture import Mixture
from aio.data.on_device import collate, degrade_batch
from aio.data.samples import TrainingSet
from aio.data.seeding import seeded
from aio.errors import InputError

PLAIN = partial(haze, beta=(1.3, 1.3), airlight=(1.0, 1.0), tint=0.0)


@pytest.fixture
def root(plant):
    """Two photographs, of which red says the row; the depth of one, a, has the same rows."""
    folder = plant({"train/dehaze/clear": "a.png b.png", "train/dehaze/depth": "a.png", "val/dehaze/clear": "c.png"})
    rows = np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None], (24, 32))
    Image.fromarray(np.ascontiguousarray(rows)).save(folder / "train/dehaze/depth/a.png")
    return folder


@pytest.fixture
def source(root):
    photos = sorted((root / "train/dehaze/clear").iterdir())
    return DepthPairs(task="dehaze", photos=photos, degrade=PLAIN, cache=DecodedCache(), depths=depth_maps(photos))


def expected_of(clean):
    """The formula, where depth is the red channel."""
    t = torch.exp(-1.3 * clean[0])
    return (clean * t + 1 - t).mul(255).round() / 255


def test_hazy_images_are_those_of_the_formula():
    """As RESIDE writes them: A = 1, beta = 0.5 + 0.1 k for the index k, rounded to 8 bit; 50 dB at the least."""
    image, depth = torch.rand(3, 40, 50, generator=seeded(0)), torch.rand(40, 50, generator=seeded(1))
    for k in (1, 5, 10):
        beta = 0.5 + 0.1 * k
        t = np.exp(-beta * depth.double().numpy())
        official = np.floor((image.double().numpy() * t + 1 - t) * 255) / 255
        ours = with_depth(partial(haze, beta=(beta, beta), airlight=(1.0, 1.0), tint=0.0), depth)(image, seeded(0))
        assert -10 * math.log10(np.mean((ours.numpy() - official) ** 2)) > 50


@pytest.mark.parametrize("name", ["dehaze", "low_haze", "haze_rain", "low_haze_snow"])
def test_depth_reaches_the_haze_among_other_degradations(name):
    image, depth = torch.rand(3, 30, 30, generator=seeded(0)), torch.full((30, 30), 1e6)
    assert needs_depth(DEGRADE[name])
    out = with_depth(DEGRADE[name], depth)(image, seeded(1))
    assert (out - out[:, :1, :1]).abs().max() < 1e-6  # all is behind the airlight


def test_depth_changes_nothing_else():
    for name in ("derain", "low_rain", "defocus", "clean", "denoise_25"):
        assert not needs_depth(DEGRADE[name])
    image = torch.rand(3, 20, 20, generator=seeded(0))
    steps = partial(in_turn, steps=(rain,))
    assert with_depth(rain, image[0]) is rain
    assert torch.equal(with_depth(steps, image[0])(image, seeded(2)), rain(image, seeded(2)))


def test_maps_lie_in_a_folder_beside_and_have_the_same_stem(root):
    photos = sorted((root / "train/dehaze/clear").iterdir())
    assert depth_maps(photos) == {photos[0]: root / "train/dehaze/depth/a.png"}
    assert depth_maps(sorted((root / "val/dehaze/clear").iterdir())) == {}


def test_units_are_thousandths_in_16_bit_and_255ths_in_8_bit(tmp_path):
    values = np.array([[0, 250], [1000, 2000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert distance(DecodedCache()[tmp_path / "deep.png"]).tolist() == [[0, 0.25], [1, 2]]
    eight = np.repeat(np.array([[[0], [51]]], np.uint8), 3, axis=2)
    torch.testing.assert_close(distance(eight), torch.tensor([[0, 0.2]]))


def test_depth_is_cropped_and_turned_like_the_photograph(source):
    seen = set()
    for seed in range(20):
        degraded, clean = source.sample(0, seeded(seed), 12)
        assert torch.allclose(degraded, expected_of(clean), atol=0.6 / 255)
        seen.add(tuple(clean[0, 0, :2].tolist()))
    assert len(seen) > 8
    degraded, clean = source.sample(0, seeded(0), None)
    assert clean.shape == (3, 24, 32)
    assert torch.allclose(degraded, expected_of(clean), atol=0.6 / 255)


def test_second_views_have_the_depth_of_their_place(source):
    for seed in range(6):
        degraded, clean, _ = source.two_views(0, seeded(seed), 12)
        assert torch.allclose(degraded, expected_of(clean), atol=1 / 255)


def test_without_a_map_depth_is_made_up(source):
    clean = source.stored(1, seeded(0), None)[1].float() / 255
    assert source.stored(1, seeded(0), None)[0] is None
    assert torch.equal(source.sample(1, seeded(3), None)[0], PLAIN(clean, seeded(3)))
    degraded, clean, _ = source.two_views(1, seeded(0), 12)
    assert not torch.allclose(degraded, expected_of(clean), atol=1 / 255)


def test_samples_are_the_same_when_a_device_degrades_what_has_no_depth(source):
    mixture = Mixture(sizes=[2], weights=[1.0], length=8, seed=0)
    here, there = (TrainingSet([source], mixture, 12, 0, undegraded=elsewhere) for elsewhere in (False, True))
    batch = degrade_batch(collate([there[key] for key in range(8)]), [source.degrade])
    for key in range(8):
        assert torch.equal(batch["degraded"][key], here[key]["degraded"])
        assert torch.equal(batch["clean"][key], here[key]["clean"])


def test_training_data_find_the_maps_and_do_not_take_them_for_photographs(root):
    assert [path.name for path in discover(root, ["dehaze"])["train"].clean] == ["a.png", "b.png"]
    data = RestorationData(
        de_type=["low_haze", "derain"], data_file_dir=str(root), trainset="synthetic", patch_size=12, num_workers=0
    )
    with_map, without = data.sources("train")
    assert isinstance(with_map, DepthPairs)
    assert not isinstance(without, DepthPairs)
    assert with_map.files()[0][1] == root / "train/dehaze/depth/a.png"


def test_a_map_of_another_size_is_refused(root):
    Image.new("L", (5, 5)).save(root / "train/dehaze/depth/b.png")
    data = RestorationData(
        de_type=["dehaze"], data_file_dir=str(root), trainset="synthetic", patch_size=4, num_workers=0
    )
    with pytest.raises(InputError, match=r"depth/b\.png is 5 x 5"):
        data.sources("train")
