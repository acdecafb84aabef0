"""What a protocol is: crops, colour, rounding and the kind of SSIM.

Scores of different protocols are different quantities: the same pair of images scores an SSIM of 0.59, 0.53 or 0.83.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from aio.errors import InputError
from aio.metrics.image import Window, check_same_shape, promoted, psnr, ssim
from aio.resize import bicubic

# BT.601, studio range [16, 235] of 255: MATLAB's rgb2ycbcr.
_Y_OF_RGB = (65.481 / 255, 128.553 / 255, 24.966 / 255)
_Y_OFFSET = 16 / 255


class Score(NamedTuple):
    """One image, measured: PSNR in dB and SSIM."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Protocol:
    """One way to measure images in [0, 1], whose values outside are clipped first.

    Attributes:
        crop_multiple: the centre crop to sides of this multiple is measured. Its authors crop the net's input too.
        border: pixels which are cut from each side.
        y_channel: measures the luma of an RGB image; a gray image is measured as it is.
        quantise: rounds to 8 bit first, as a written PNG would.
        round_y: rounds the luma to 8 bit too, as MATLAB does with 8-bit images.
        window: the window of SSIM, see `aio.metrics.ssim`.
        sample_covariance: whether SSIM divides by n - 1.
    """

    name: str
    source: str
    crop_multiple: int = 1
    border: int = 0
    y_channel: bool = False
    quantise: bool = False
    round_y: bool = False
    window: Window = "uniform"
    sample_covariance: bool = True

    @torch.no_grad()
    def scores(self, restored: Tensor, clean: Tensor) -> list[Score]:
        """The score of each image of `(B, C, H, W)`, or of the one image `(C, H, W)`.

        Each image is measured alone, so that its score does not depend on the batch it came in.

        Raises:
            ValueError: the shapes differ.
            InputError: an image is too small for this protocol.
        """
        check_same_shape(restored, clean)
        if clean.ndim == 3:
            restored, clean = restored[None], clean[None]
        return [self._score(self.measured(r), self.measured(c)) for r, c in zip(restored, clean, strict=True)]

    def input_scores(self, degraded: Tensor, clean: Tensor) -> list[Score]:
        """As `scores`, of the degraded images as `comparable` makes them."""
        return self.scores(comparable(degraded, clean), clean)

    def _score(self, restored: Tensor, clean: Tensor) -> Score:
        similarity = ssim(restored, clean, self.window, sample_covariance=self.sample_covariance)
        return Score(psnr(restored, clean).item(), similarity.item())

    def measured(self, image: Tensor) -> Tensor:
        """The part and form of `image (..., C, H, W)` that is compared."""
        image = promoted(self._without_border(self.crop(image))).clamp(0, 1)
        if self.quantise:
            image = _round_to_8_bit(image)
        if not self.y_channel:
            return image
        return _round_to_8_bit(luma(image)) if self.round_y else luma(image)

    def crop(self, image: Tensor) -> Tensor:
        """The centre of `image (..., H, W)` with sides that are multiples of `crop_multiple`.

        Raises:
            InputError: a side is smaller than the multiple.
        """
        multiple = self.crop_multiple
        height, width = image.shape[-2:]
        if min(height, width) < multiple:
            raise InputError(
                f"protocol {self.name} crops to a multiple of {multiple}, but an image is {height} x {width}"
            )
        top, left = height % multiple // 2, width % multiple // 2
        return image[..., top : top + height // multiple * multiple, left : left + width // multiple * multiple]

    def _without_border(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if min(height, width) <= 2 * self.border:
            raise InputError(f"protocol {self.name} cuts a border of {self.border}, but an image is {height} x {width}")
        return image[..., self.border : height - self.border, self.border : width - self.border]


def comparable(degraded: Tensor, clean: Tensor) -> Tensor:
    """`degraded (..., C, H, W)` in the channels and size of `clean`, to score and to show it.

    Of the two views of a dual-pixel camera it is the mean, which is what the sensor gives without them; an image of low
    resolution is enlarged by bicubic.
    """
    if degraded.shape[-3] == 2 * clean.shape[-3]:
        degraded = degraded.unflatten(-3, (2, -1)).mean(-4)
    return degraded if degraded.shape == clean.shape else bicubic(degraded, (clean.shape[-2], clean.shape[-1]))


def luma(image: Tensor) -> Tensor:
    """`(..., 1, H, W)`: the studio-range luma of RGB `(..., 3, H, W)` in [0, 1]; one channel is returned as it is."""
    channels = image.shape[-3]
    if channels == 1:
        return image
    if channels != 3:
        raise ValueError(f"the luma of an image needs 1 or 3 channels, got {channels}")
    red, green, blue = image.split(1, dim=-3)
    return red * _Y_OF_RGB[0] + green * _Y_OF_RGB[1] + blue * _Y_OF_RGB[2] + _Y_OFFSET


def _round_to_8_bit(image: Tensor) -> Tensor:
    return (image * 255).round() / 255
