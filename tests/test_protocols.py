"""Every named protocol against a transcription by scikit-image, SciPy and NumPy: odd sizes, tiny and equal images."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from aio.metrics import PROTOCOLS, find_protocol

LUMA = np.array([65.481, 128.553, 24.966]) / 255
SIZES = [(33, 47), (64, 48), (16, 31), (24, 24)]


def cropped(image):
    height, width = image.shape[:2]
    top, left = height % 16 // 2, width % 16 // 2
    return image[top : top + height // 16 * 16, left : left + width // 16 * 16]


def in_8_bit(image):
    return np.round(np.clip(image, 0, 1) * 255) / 255


def luma(image):
    return image @ LUMA + 16 / 255


def by_skimage(a, b, **window):
    channels = {"channel_axis": -1} if a.ndim == 3 else {}
    return peak_signal_noise_ratio(b, a, data_range=1), structural_similarity(b, a, data_range=1, **channels, **window)


def by_gaussian(a, b):
    """SSIM at every pixel, the border replicated, over all axes of the array."""

    def mean(x):
        return gaussian_filter(x, 1.5, mode="nearest", truncate=3.5)

    c1, c2 = 0.01**2, 0.03**2
    means = mean(a), mean(b)
    variances = mean(a * a) - means[0] ** 2, mean(b * b) - means[1] ** 2
    covariance = mean(a * b) - means[0] * means[1]
    value = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    value = value / ((means[0] ** 2 + means[1] ** 2 + c1) * (variances[0] + variances[1] + c2))
    return peak_signal_noise_ratio(b, a, data_range=1), value.mean()


CLASSIC = {"gaussian_weights": True, "use_sample_covariance": False}


def rounded_luma(image):
    return np.round(luma(in_8_bit(image)) * 255) / 255


def inner_luma(image):
    return luma(in_8_bit(image))[4:-4, 4:-4]


TRANSCRIBED = {
    "aio": by_skimage,
    "promptir": lambda a, b: by_skimage(cropped(a), cropped(b)),
    "moce_ir": lambda a, b: by_skimage(cropped(a), cropped(b), gaussian_weights=True),
    "restormer": lambda a, b: by_skimage(rounded_luma(a), rounded_luma(b), **CLASSIC),
    "basicsr_y": lambda a, b: by_gaussian(luma(in_8_bit(a)), luma(in_8_bit(b))),
    "gopro": lambda a, b: by_gaussian(in_8_bit(a), in_8_bit(b)),
    "sidd": by_gaussian,
    "sr_y": lambda a, b: by_gaussian(inner_luma(a), inner_luma(b)),
}


def pair(height, width):
    rng = np.random.default_rng(height * 100 + width)
    clean = np.clip(gaussian_filter(rng.random((height, width, 3)), (1, 1, 0)), 0, 1)
    return np.clip(clean + rng.normal(0, 0.05, clean.shape), 0, 1), clean


def ours(name, *images):
    tensors = (torch.from_numpy(image).permute(2, 0, 1).float() for image in images)
    (score,) = find_protocol(name, scale=4 if name == "sr_y" else 1).scores(*tensors)
    return score


def test_every_protocol_is_transcribed():
    assert {*TRANSCRIBED, "realblur"} == set(PROTOCOLS)  # that one has a test of its own


@pytest.mark.parametrize("name", TRANSCRIBED)
@pytest.mark.parametrize("size", SIZES)
def test_scores_equal_the_transcription(name, size):
    images = [image.astype(np.float32).astype(np.float64) for image in pair(*size)]
    psnr, ssim = TRANSCRIBED[name](*images)
    score = ours(name, *images)
    assert score.psnr == pytest.approx(psnr, abs=1e-4)
    assert score.ssim == pytest.approx(ssim, abs=1e-5)


@pytest.mark.parametrize("name", TRANSCRIBED)
def test_an_image_equals_itself(name):
    _, clean = pair(33, 47)
    assert ours(name, clean, clean) == (np.inf, 1)
