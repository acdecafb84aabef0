"""RealBlur's protocol: images registered by a homography, then PSNR and SSIM where they overlap.

Rim et al., ECCV 2020, as Restormer and MPRNet evaluate: brightness matched by least squares, ECC registration
(Evangelidis and Psarakis, TPAMI 2008) by OpenCV, which the extra `aio[realblur]` brings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aio.errors import InputError
from aio.metrics.image import ssim_map
from aio.metrics.protocols import Protocol, Score

_ITERATIONS = 100
_SMOOTHING = 5  # pixels, of the filter before the registration
_MARGIN = 5  # pixels at each edge, where the window of SSIM does not fit


@dataclass(frozen=True)
class Registered(Protocol):
    """Measures what is left after registration; an image whose registration fails is measured as it is."""

    def _score(self, restored: Tensor, clean: Tensor) -> Score:
        moved, target, mask = _registered(_array(restored), _array(clean))
        error = ((moved - target).astype(np.float64) ** 2).sum() / mask.sum()
        inner = _tensor(mask)[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        similarity = ssim_map(_tensor(moved), _tensor(target), self.window, sample_covariance=self.sample_covariance)
        mean = (similarity * inner).sum() / inner.sum()
        return Score(10 * math.log10(1 / error) if error else math.inf, mean.item())


def _registered(image: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`image` on the grid of `target`, both blackened where only one of them is, and where they are not."""
    cv2 = _opencv()
    scaled = image * (image * target).sum() / max(float((image * image).sum()), 1e-12)
    homography = _homography(cv2, scaled, target)
    size = (target.shape[1], target.shape[0])
    inverse = cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(
        scaled, homography, size, flags=cv2.INTER_CUBIC + inverse, borderMode=cv2.BORDER_REFLECT
    )
    mask = cv2.warpPerspective(np.ones_like(scaled), homography, size, flags=cv2.INTER_NEAREST + inverse)
    return moved * mask, target * mask, mask


def _homography(cv2: Any, image: np.ndarray, target: np.ndarray) -> np.ndarray:
    gray = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (target, image)]
    start = np.eye(3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, 0)
    try:
        return cv2.findTransformECC(*gray, start, cv2.MOTION_HOMOGRAPHY, stop, None, _SMOOTHING)[1]
    except cv2.error:  # it does not converge, as on flat images
        return np.eye(3, dtype=np.float32)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise InputError("protocol realblur registers images by OpenCV: pip install 'aio[realblur]'") from error
    return cv2


def _array(image: Tensor) -> np.ndarray:
    # Of float64 OpenCV 5 interpolates the border wrongly.
    return image.float().cpu().permute(1, 2, 0).contiguous().numpy()


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]
