"""Noise of a real camera: shot and read noise of a Bayer sensor, carried through demosaicing, colours and tone."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.colour import to_linear, to_srgb
from aio.data.degradations._common import Range, draw, draw_log, to_8_bit

_READ_SLOPE, _READ_OFFSET, _READ_SPREAD = 2.18, 1.20, 0.26  # of log read variance over log shot noise
_TAPS = 3  # on either side of the camera's own denoising
_REACH = 2  # pixels to either side that demosaicing looks at
# Malvar, He and Cutler (ICASSP 2004), figure 2, in eighths: what is missing at a pixel, of the kind that stands ...
_DEMOSAIC: Final = (
    ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0)),  # on its four sides
    ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0)),  # left and right
    ((0, 0, -1, 0, 0), (0, -1, 4, -1, 0), (0.5, 0, 5, 0, 0.5), (0, -1, 4, -1, 0), (0, 0, -1, 0, 0)),  # above and below
    ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0)),  # at its corners
)
# Where in a tile (row, column): which of the above gives red, green and blue; None is what the pixel itself has seen
_TILE: Final = {(0, 0): (None, 0, 3), (0, 1): (1, None, 2), (1, 0): (2, None, 1), (1, 1): (3, 0, None)}


def camera_noise(
    image: Tensor,
    generator: torch.Generator,
    *,
    shot: Range = (1e-4, 1.2e-2),
    read: Range | None = None,
    red: Range = (1.5, 2.4),
    blue: Range = (1.3, 1.9),
    saturation: Range = (0.0, 0.5),
    smoothing: Range = (0.0, 1.2),
    toned: float = 0.3,
    quantise: bool = True,
) -> Tensor:
    """`image` as the camera would have made it of a noisier raw image.

    Unprocessing in the manner of Brooks et al. (CVPR 2019): the tone curve and sRGB's curve are undone and white
    balance is divided out. Every photosite gets Gaussian noise of the variance a x + b (Foi et al., TIP 2008). The
    noise alone is demosaiced, balanced, mixed by the colour matrix and smoothed, all of which is linear: the clean
    image has come the same way. Then both curves are applied again.

    Args:
        shot: a, where white is 1, uniform in its logarithm; the default and that of b are of Brooks et al.
        read: square root of b, uniform in its logarithm; None takes what sensors have beside their a.
        red: gain of red, that of green being 1; with another number of channels than three there is neither
            mosaic nor balance, and every value has noise of its own.
        blue: gain of blue.
        saturation: s of the colour matrix (1 + s) I - s / 3, from the sensor's colours to sRGB's.
        smoothing: sigma in pixels of the Gaussian that stands for the camera's own denoising.
        toned: share of cameras whose tone curve is a smooth step (Brooks et al.) before sRGB's; it hides what is dark.
        quantise: rounds to 8 bit.
    """
    photon, variance = sensor(generator, shot, read)
    (chance,) = draw(generator, (0, 1))
    light = to_linear(_undo_tone(image) if chance < toned else image)
    if len(image) == 3:
        of_red, of_blue, vivid, sigma = draw(generator, red, blue, saturation, smoothing)
        gains = torch.tensor([of_red, 1.0, of_blue], device=image.device).view(3, 1, 1)
        noise = _demosaiced_noise(light / gains, generator, photon, variance) * gains
        noise = _smooth((1 + vivid) * noise - vivid * noise.mean(0), sigma)
    else:
        noise = _normal(light.shape, generator) * (photon * light + variance).sqrt()
    result = to_srgb(light + noise)
    result = _tone(result) if chance < toned else result
    return to_8_bit(result) if quantise else result


def sensor(generator: torch.Generator, shot: Range, read: Range | None) -> tuple[float, float]:
    """a and b; by Brooks et al., log b is normal about a line of log a."""
    (photon,) = draw_log(generator, shot)
    if read is not None:
        (sigma,) = draw_log(generator, read)
        return photon, sigma**2
    spread = torch.randn((), generator=generator, device=generator.device).item()
    return photon, math.exp(_READ_SLOPE * math.log(photon) + _READ_OFFSET + _READ_SPREAD * spread)


def _demosaiced_noise(raw: Tensor, generator: torch.Generator, photon: float, variance: float) -> Tensor:
    """`(3, H, W)`: noise of the one colour that each pixel sees, spread to the others; `raw` is without noise."""
    height, width = raw.shape[1:]
    phase = int(torch.randint(4, (), generator=generator, device=generator.device))
    raw = F.pad(raw[None], [_REACH] * 4, mode="replicate")[0]
    deviation = (photon * raw + variance).sqrt()
    noise = _normal(raw.shape[1:], generator)
    tiles = [((row + phase // 2) % 2, (column + phase) % 2, kinds) for (row, column), kinds in _TILE.items()]
    for row, column, kinds in tiles:
        noise[row::2, column::2] *= deviation[kinds.index(None), row::2, column::2]
    kernels = torch.tensor(_DEMOSAIC, device=raw.device)[:, None] / 8
    planes = [*F.conv2d(noise[None, None], kernels)[0], noise[_REACH:-_REACH, _REACH:-_REACH]]
    colours = raw.new_empty(3, height, width)
    for row, column, kinds in tiles:
        for colour, kind in zip(colours, kinds, strict=True):
            colour[row::2, column::2] = planes[-1 if kind is None else kind][row::2, column::2]
    return colours


def _smooth(noise: Tensor, sigma: float) -> Tensor:
    """Blurred by a Gaussian of seven taps."""
    offsets = torch.arange(-_TAPS, _TAPS + 1, device=noise.device)
    taps = torch.exp(-0.5 * (offsets / max(sigma, 0.1)) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(noise[:, None], [_TAPS] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))[:, 0]


def _normal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _tone(image: Tensor) -> Tensor:
    """The global tone curve of Brooks et al., a smooth step."""
    return image.square() * (3 - 2 * image)


def _undo_tone(image: Tensor) -> Tensor:
    return 0.5 - torch.sin(torch.asin(1 - 2 * image) / 3)
