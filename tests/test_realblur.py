"""RealBlur's protocol against a transcription of the evaluation that MPRNet and Restormer share, by scikit-image."""

import builtins

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from skimage.metrics import structural_similarity

from aio.errors import InputError
from aio.metrics import find_protocol


def as_published(restored, clean):
    """PSNR and SSIM of 8-bit images as the authors compute them."""
    image, target = (a.astype(np.float32) / 255 for a in (restored, clean))
    scaled = np.sum(target * image) / np.sum(image * image) * image
    gray = [cv2.cvtColor(a, cv2.COLOR_RGB2GRAY) for a in (target, scaled)]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
    _, warp = cv2.findTransformECC(
        *gray, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, inputMask=None, gaussFiltSize=5
    )
    size = target.shape[1::-1]
    moved = cv2.warpPerspective(
        scaled, warp, size, flags=cv2.INTER_CUBIC + cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    mask = cv2.warpPerspective(
        np.ones_like(scaled), warp, size, flags=cv2.INTER_NEAREST + cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
    )
    moved, target = moved * mask, target * mask
    psnr = 10 * np.log10(1 / (np.sum((target - moved) ** 2, dtype=np.float64) / np.sum(mask)))
    _, full = structural_similarity(
        target, moved, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False, data_range=1.0, full=True
    )
    inner = (slice(5, -5), slice(5, -5))
    return psnr, np.mean((full * mask)[inner].sum(axis=(0, 1)) / mask[inner].sum(axis=(0, 1)))


@pytest.fixture(scope="module")
def photo():
    return cut(0, 0)


def cut(down, right):
    """A part of a photograph, its view moved by so many pixels."""
    return skimage.data.astronaut()[20 + down : 180 + down, 100 + right : 301 + right].copy()


def ours(restored, clean):
    tensors = (torch.from_numpy(a.copy()).permute(2, 0, 1).float() / 255 for a in (restored, clean))
    (score,) = find_protocol("realblur").scores(*tensors)
    return score


@pytest.mark.parametrize(("shift", "gain"), [((0, 0), 1.0), ((3, -2), 0.8), ((1, 4), 1.1)])
def test_equals_the_published_evaluation(photo, shift, gain):
    noise = np.random.default_rng(0).normal(0, 4, photo.shape)
    restored = (cut(*shift) * gain + noise).clip(0, 255).astype(np.uint8)
    psnr, ssim = as_published(restored, photo)
    score = ours(restored, photo)
    assert score.psnr == pytest.approx(psnr, abs=2e-2)  # ECC of float32 stops a little elsewhere
    assert score.ssim == pytest.approx(ssim, abs=2e-4)


def test_a_shift_is_forgiven_and_blur_is_not(photo):
    moved = cut(2, 3)
    plain = find_protocol("gopro").scores(*(torch.from_numpy(a.copy()).permute(2, 0, 1) / 255 for a in (moved, photo)))
    assert ours(moved, photo).psnr > plain[0].psnr + 8
    assert ours(cv2.GaussianBlur(moved, (0, 0), 3), photo).psnr < ours(moved, photo).psnr - 3


def test_flat_images_are_measured_without_registration():
    flat = np.full((40, 40, 3), 120, np.uint8)
    assert ours(flat, flat).psnr > 100


def test_without_opencv_it_says_what_to_install(photo, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'aio\[realblur\]'"):
        ours(photo, photo)
