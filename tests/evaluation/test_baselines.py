"""Classical methods: each betters what it is for, and takes images of any size."""

import numpy as np
import pytest
import skimage.data
import torch

from aio.data.degradations import DEGRADE
from aio.data.degradations.noise import gaussian_noise
from aio.data.seeding import seeded
from aio.errors import InputError
from aio.evaluation.baselines import BASELINES, baseline
from aio.evaluation.classical import dark_channel_prior
from aio.inference.tiles import restore_image
from aio.metrics import psnr
from aio.resize import bicubic


@pytest.fixture(scope="module")
def photo():
    return torch.from_numpy(skimage.data.astronaut()[40:168, 120:248].copy()).permute(2, 0, 1).float() / 255


def gain(name, degraded, clean):
    restored = restore_image(baseline(name, scale=1), degraded)
    return (psnr(restored, clean) - psnr(degraded, clean)).item()


@pytest.mark.parametrize(("name", "least"), [("nlm", 4), ("tv", 4)])
def test_denoisers_denoise(photo, name, least):
    assert gain(name, gaussian_noise(photo, seeded(0), sigma=(25, 25)), photo) > least


def test_denoisers_hardly_touch_what_has_no_noise():
    ramp = torch.linspace(0, 1, 64).repeat(3, 64, 1)
    for name in ("nlm", "tv"):
        assert torch.allclose(restore_image(baseline(name, scale=1), ramp), ramp, atol=1e-3)


@pytest.mark.parametrize("name", ["gamma", "clahe"])
def test_dark_images_become_brighter(photo, name):
    assert gain(name, DEGRADE["lowlight"](photo, seeded(1)), photo) > 2


def test_the_dark_channel_prior_recovers_a_known_haze():
    rng = np.random.default_rng(0)
    clean = rng.random((96, 96, 3)) * np.array([1, 0.6, 0.3])  # vivid: some channel is dark everywhere
    transmission = np.linspace(0.4, 0.8, 96)[:, None, None]
    hazy = clean * transmission + 1 - transmission
    hazy[:4] = 1  # sky
    error = [np.abs(image - clean)[8:].mean() for image in (hazy, dark_channel_prior(hazy))]
    assert error[1] < error[0] / 3


def test_wiener_sharpens_a_gaussian_blur(photo):
    from scipy.ndimage import gaussian_filter

    blurred = torch.from_numpy(gaussian_filter(photo.numpy(), (0, 1.5, 1.5)))
    assert gain("wiener", blurred, photo) > 1


def test_identity_and_bicubic_are_what_they_say(photo):
    assert torch.equal(restore_image(baseline("identity", scale=1), photo), photo)
    enlarged = restore_image(baseline("bicubic", scale=4), photo)
    assert torch.equal(enlarged, bicubic(photo, (512, 512)).clamp(0, 1))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 30), (1, 17, 33), (3, 2, 5)])
def test_any_size_keeps_shape_and_range(name, shape):
    image = torch.rand(shape, generator=seeded(3))
    restored = (
        restore_image(baseline(name, scale=1), image) if shape[0] == 3 else baseline(name, scale=1)(image[None])[0]
    )
    assert restored.shape == image.shape
    assert restored.dtype == torch.float32
    assert restored.isfinite().all()


def test_a_method_for_other_sizes_is_refused():
    with pytest.raises(InputError, match="--baseline nlm: keeps the size, but the clean images are 4 times"):
        baseline("nlm", scale=4)
    with pytest.raises(InputError, match="--baseline bicubic: enlarges, but the clean images are 1 times"):
        baseline("bicubic", scale=1)
