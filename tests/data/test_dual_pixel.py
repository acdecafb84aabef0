"""Both views of a dual-pixel camera: exact 16-bit values, one place, one orientation; in the data module."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aio.data.cache import DecodedCache
from aio.data.datamodule import RestorationData
from aio.data.dual_pixel import DualPixelPairs
from aio.data.pairs import random_crop
from aio.data.seeding import seeded
from aio.errors import InputError
from aio.images import png

SIDES = ("inputL", "inputR", "target")
SIZE = (20, 26)


def coded(number: int, size: tuple[int, int] = SIZE, kind: type = np.uint16) -> np.ndarray:
    """Red holds the row, green the column, blue the number; below 65536 in a way that 8 bits could not tell."""
    rows, columns = np.indices(size)
    return np.stack([257 * rows + 1, 1001 * columns, np.full(size, 4099 * number + 3)], axis=-1).astype(kind)


def plant_views(root: Path, *, names: str = "a b", **options) -> Path:
    """DPDD's folders; `inputC` is what the camera makes of both views."""
    for number, side in enumerate((*SIDES, "inputC")):
        (root / side).mkdir(parents=True)
        for name in names.split():
            (root / side / f"{name}.png").write_bytes(png.encode(coded(number, **options)))
    return root


@pytest.fixture
def pairs(tmp_path):
    root = plant_views(tmp_path / "dpdd")
    views = [tuple(root / side / f"{name}.png" for side in SIDES) for name in "ab"]
    return DualPixelPairs(task="defocus", views=views, cache=DecodedCache())


def test_whole_images_are_the_16_bit_samples_over_65535(pairs):
    degraded, clean = pairs.sample(1, seeded(0), None)
    assert degraded.shape == (6, *SIZE)
    assert clean.shape == (3, *SIZE)
    expected = np.concatenate([coded(number) for number in range(3)], axis=-1).transpose(2, 0, 1) / 65535
    np.testing.assert_allclose(torch.cat([degraded, clean]).double().numpy(), expected, rtol=1e-7)
    assert [len(pairs), pairs.name(1), len(pairs.files()[0])] == [2, "b", 3]


def test_crops_of_both_views_and_the_clean_image_are_of_one_place_and_orientation(pairs):
    for index in range(20):
        degraded, clean = pairs.sample(0, seeded(index), 12)
        expected = random_crop(coded(0), 12, seeded(index))
        for number, image in enumerate((degraded[:3], degraded[3:], clean)):
            wanted = expected.of(coded(number)).transpose(2, 0, 1) / 65535
            np.testing.assert_allclose(image.double().numpy(), wanted, rtol=1e-7)


def test_two_crops_of_one_pair(pairs):
    degraded, clean, second = pairs.two_views(0, seeded(3), 8)
    assert torch.equal(degraded[:2], clean[:2])
    assert torch.equal(degraded[:2], degraded[3:5])
    assert torch.equal(second[:2], second[3:5])
    assert degraded.shape == second.shape == (6, 8, 8)
    assert not torch.equal(degraded, second)


def test_views_of_unequal_depth_are_refused(tmp_path):
    root = plant_views(tmp_path / "dpdd", names="a")
    (root / "inputR" / "a.png").write_bytes(png.encode(coded(1, kind=np.uint8)))
    views = [tuple(root / side / "a.png" for side in SIDES)]
    source = DualPixelPairs(task="defocus", views=views, cache=DecodedCache())
    with pytest.raises(InputError, match=r"inputR/a\.png: uint16 and uint8, expected as many bits"):
        source.sample(0, seeded(0), None)


@pytest.fixture
def data(tmp_path):
    def build(**options):
        small = {"de_type": ["defocus"], "batch_size": 2, "patch_size": 8, "samples_per_epoch": 4, "num_workers": 0}
        module = RestorationData(data_file_dir=str(tmp_path / "dpdd"), **{**small, "trainset": "paired", **options})
        module.dual_pixel = True
        return module

    return build


def test_batches_hold_both_views(data, tmp_path):
    for split in ("train", "test"):
        plant_views(tmp_path / "dpdd" / split)
    module = data()
    (batch, _) = module.train_dataloader()
    assert batch["degraded"].shape == (2, 6, 8, 8)
    assert batch["clean"].shape == (2, 3, 8, 8)
    (first, _) = module.val_dataloader()
    assert first["degraded"].shape == (1, 6, *SIZE)
    assert first["degraded"][0, 5, 0, 0].item() == pytest.approx((4099 + 3) / 65535)


def test_views_that_are_not_there_are_asked_for(data, plant):
    plant({"train/defocus/input": "a.png", "train/defocus/target": "a.png", "val/defocus/input": "b.png"}, root="dpdd")
    plant({"val/defocus/target": "b.png"}, root="dpdd")
    with pytest.raises(InputError, match=r"no train views of a dual-pixel camera for defocus; expected .*inputL"):
        data().setup()
    with pytest.raises(InputError, match="--trainset synthetic: both views"):
        data(trainset="synthetic").setup()
