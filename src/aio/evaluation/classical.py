"""Classical restoration without weights, each a function of one image `(H, W, C)` float in [0, 1].

scikit-image's where it has them; the dark channel prior is written here. None is told what is wrong or how much.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter, uniform_filter
from skimage import exposure, restoration

_PATCH: Final = 15  # pixels, of the dark channel
_KEPT: Final = 0.95  # of the haze: a little of it looks natural
_THINNEST: Final = 0.1  # transmission: below it only noise would be enlarged
_RADIUS: Final = 40  # pixels, of the guided filter
_EVENNESS: Final = 1e-3  # of the guided filter
_BRIGHTNESS: Final = 0.4  # which photographs have on average


def non_local_means(image: np.ndarray) -> np.ndarray:
    """Buades et al., CVPR 2005, with the noise level estimated from the image; patches of 5, a window of 13 pixels."""
    sigma = _noise_level(image)
    if sigma == 0 or min(image.shape[:2]) < 2:
        return image
    restored = restoration.denoise_nl_means(
        image, h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=6, fast_mode=True, channel_axis=-1
    )
    return restored.reshape(image.shape)  # of one channel it drops the axis


def total_variation(image: np.ndarray) -> np.ndarray:
    """Chambolle, JMIV 2004, its weight the estimated noise level."""
    sigma = _noise_level(image)
    return image if sigma == 0 else restoration.denoise_tv_chambolle(image, weight=1.5 * sigma, channel_axis=-1)


def dark_channel_prior(image: np.ndarray) -> np.ndarray:
    """He et al., CVPR 2009: haze from what is bright in all channels; transmission refined by the guided filter."""
    dark = minimum_filter(image.min(axis=2), size=_PATCH)
    brightest = np.argsort(dark, axis=None)[-max(1, dark.size // 1000) :]
    airlight = np.maximum(image.reshape(-1, image.shape[2])[brightest].mean(axis=0), 1e-3)
    rough = 1 - _KEPT * minimum_filter((image / airlight).min(axis=2), size=_PATCH)
    transmission = np.maximum(_guided(image.mean(axis=2), rough), _THINNEST)[..., None]
    return (image - airlight) / transmission + airlight


def gamma(image: np.ndarray) -> np.ndarray:
    """Brightens a dark image by the gamma that takes its mean to that of most photographs; leaves a bright one."""
    mean = float(image.mean())
    if not 0 < mean < _BRIGHTNESS:
        return image
    return image ** (np.log(_BRIGHTNESS) / np.log(mean))


def clahe(image: np.ndarray) -> np.ndarray:
    """Zuiderveld, Graphics Gems IV, 1994: contrast-limited adaptive equalisation of the brightness (V of HSV)."""
    if min(image.shape[:2]) < 16:
        return image
    return exposure.equalize_adapthist(image[..., 0] if image.shape[2] == 1 else image).reshape(image.shape)


def wiener(image: np.ndarray) -> np.ndarray:
    """Orieux et al., JOSA A 2010: unsupervised Wiener deconvolution, of a Gaussian blur of 1.5 pixels."""
    size = 11
    if min(image.shape[:2]) < size:
        return image
    psf = np.zeros((size, size))
    psf[size // 2, size // 2] = 1
    psf = gaussian_filter(psf, 1.5)
    rows, columns = ((size, size), (size, size))
    padded = np.pad(image, (rows, columns, (0, 0)), mode="reflect")
    channels = [
        restoration.unsupervised_wiener(channel, psf / psf.sum(), clip=False, rng=0)[0]
        for channel in np.moveaxis(padded, 2, 0)
    ]
    return np.stack(channels, axis=2)[size:-size, size:-size]


def _noise_level(image: np.ndarray) -> float:
    """Sigma by the median of the finest diagonal Haar coefficients (Donoho and Johnstone, Biometrika 1994)."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    if min(height, width) < 2:
        return 0.0
    a, b, c, d = (image[top:height:2, left:width:2] for top in (0, 1) for left in (0, 1))
    return float(np.median(np.abs(a - b - c + d) / 2) / 0.6745)


def _guided(guide: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """`rough` with the edges of `guide` (He et al., TPAMI 2013, equations 5, 6 and 8)."""
    size = 2 * _RADIUS + 1
    mean, target = uniform_filter(guide, size), uniform_filter(rough, size)
    covariance = uniform_filter(guide * rough, size) - mean * target
    slope = covariance / (uniform_filter(guide * guide, size) - mean * mean + _EVENNESS)
    return uniform_filter(slope, size) * guide + uniform_filter(target - slope * mean, size)
