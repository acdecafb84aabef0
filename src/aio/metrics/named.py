"""The protocols of the field by name: what each project measures, as data."""

from __future__ import annotations

from typing import Final

from aio.errors import InputError
from aio.metrics.protocols import Protocol
from aio.metrics.realblur import Registered


def sr_y(scale: int) -> Protocol:
    """The protocol of super-resolution by `scale`: as many pixels are cut from each side."""
    return Protocol(
        name="sr_y",
        source="super-resolution: as basicsr_y, after a border of `scale` pixels is cut",
        border=scale,
        y_channel=True,
        quantise=True,
        window="gaussian_padded",
        sample_covariance=False,
    )


_ALL: Final = (
    Protocol(name="aio", source="ours: the whole image at its own size, float RGB; scikit-image's default SSIM"),
    Protocol(
        name="promptir",
        source="AirNet, PromptIR, AdaIR, DFPIR: as aio, after a centre crop to a multiple of 16",
        crop_multiple=16,
    ),
    Protocol(
        name="moce_ir",
        source="MoCE-IR, QuReC: as promptir, with scikit-image's Gaussian SSIM",
        crop_multiple=16,
        window="gaussian",
    ),
    Protocol(
        name="basicsr_y",
        source="the BasicSR within Restormer and NAFNet: luma of 8-bit images; Gaussian SSIM, borders replicated",
        y_channel=True,
        quantise=True,
        window="gaussian_padded",
        sample_covariance=False,
    ),
    Protocol(
        name="restormer",
        source="Restormer's and MPRNet's deraining tables, by their MATLAB script: luma rounded to 8 bit, classic SSIM",
        y_channel=True,
        quantise=True,
        round_y=True,
        window="gaussian",
        sample_covariance=False,
    ),
    Protocol(
        name="gopro",
        source="NAFNet and Restormer on GoPro: 8-bit RGB, SSIM with a Gaussian over the channels too, as MATLAB's",
        quantise=True,
        window="gaussian_3d",
        sample_covariance=False,
    ),
    Registered(
        name="realblur",
        source="Restormer and MPRNet on RealBlur: 8-bit RGB, registered first; scikit-image's Gaussian SSIM",
        quantise=True,
        window="gaussian",
        sample_covariance=False,
    ),
    Protocol(
        name="sidd",
        source="Restormer on SIDD, by MATLAB: float RGB, SSIM with a Gaussian over the channels too",
        window="gaussian_3d",
        sample_covariance=False,
    ),
    sr_y(scale=4),
)
PROTOCOLS: Final[dict[str, Protocol]] = {protocol.name: protocol for protocol in _ALL}


def input_name(scale: int, *, views: bool = False) -> str:
    """What `Protocol.input_scores` scores."""
    if views:
        return "mean of both views"
    return "input" if scale == 1 else "bicubic"


def find_protocol(name: str, *, scale: int = 1) -> Protocol:
    """The protocol called `name`, for images that a net has enlarged by `scale`.

    Raises:
        InputError: there is none (the message lists those there are), or it crops the net's input, which leaves no
            enlarged image whole.
    """
    if name not in PROTOCOLS:
        raise InputError(f"unknown protocol {name!r}: choose from {', '.join(sorted(PROTOCOLS))}")
    protocol = sr_y(scale) if name == "sr_y" else PROTOCOLS[name]
    if scale > 1 and protocol.crop_multiple > 1:
        raise InputError(f"protocol {name} is for images that keep their size: with {scale} times the size use sr_y")
    return protocol
