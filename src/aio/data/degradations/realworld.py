"""What photographs suffer on their way into the world: several mild degradations in random order, once or twice.

In the spirit of BSRGAN (Zhang et al., ICCV 2021, section 4) and Real-ESRGAN (Wang et al., ICCVW 2021, section 3),
at scale 1 and with weather before it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.data.degradations._common import Range, draw, to_8_bit
from aio.data.degradations.blur import convolve, motion_blur
from aio.data.degradations.camera_noise import camera_noise
from aio.data.degradations.defocus import defocus
from aio.data.degradations.haze import haze
from aio.data.degradations.jpeg import jpeg
from aio.data.degradations.lowlight import low_light
from aio.data.degradations.rain import rain
from aio.data.degradations.snow import snow


def realworld(
    image: Tensor,
    generator: torch.Generator,
    *,
    severity: Range = (0.0, 1.0),
    second: float = 0.5,
    blur: float = 0.7,
    resize: float = 0.6,
    noise: float = 0.7,
    compression: float = 0.8,
    weather: float = 0.15,
    pristine: float = 0.05,
) -> Tensor:
    """`image` after one or two passes of blur, resizing, noise and JPEG in random order.

    Args:
        severity: s, drawn for the image: 0 leaves next to nothing of every component, 1 gives all their range.
        second: probability of a second pass, at half the severity.
        blur: probability of blur in a pass: a Gaussian, round or not, a lens out of focus, or a short shake.
        resize: probability that the image is made smaller at some point of a pass, and large again at its end.
        noise: probability of noise in a pass: coloured, gray, or a camera's.
        compression: probability of JPEG in a pass.
        weather: probability of rain, snow, haze or low light before all that.
        pristine: probability that nothing but a JPEG of high quality happens.
    """
    level, untouched, bad_weather, again = draw(generator, severity, (0, 1), (0, 1), (0, 1))
    if untouched < pristine:
        return jpeg(image, generator, quality=(90, 98))
    if bad_weather < weather:
        image = _weather(image, generator, level)
    for strength in [level, level / 2][: 2 if again < second else 1]:
        image = _one_pass(image, generator, strength, (blur, resize, noise, compression))
    return to_8_bit(image.clamp(0, 1))


def _one_pass(
    image: Tensor, generator: torch.Generator, level: float, probabilities: tuple[float, float, float, float]
) -> Tensor:
    height, width = image.shape[-2:]
    chances = draw(generator, *[(0, 1)] * 4)
    for index in torch.randperm(4, generator=generator, device=generator.device).tolist():
        if chances[index] < probabilities[index]:
            image = _COMPONENTS[index](image, generator, level).clamp(0, 1)
    if image.shape[-2:] == (height, width):
        return image
    return _resized(image, generator, (height, width)).clamp(0, 1)


def _blurred(image: Tensor, generator: torch.Generator, level: float) -> Tensor:
    kind = _choice(generator, 4)
    if kind == 0:
        return defocus(image, generator, radius=(0.5, 0.5 + 3 * level), quantise=False)
    if kind == 1:
        return motion_blur(image, generator, radius=(0.5, 0.5 + 4 * level), quantise=False)
    return convolve(image, gaussian_kernel(generator, sigma=(0.2, 0.2 + 2.3 * level), round_=kind == 2))


def gaussian_kernel(generator: torch.Generator, *, sigma: Range, round_: bool) -> Tensor:
    """`(K, K)` with sum 1, K odd: one sigma, or two at a random angle, in pixels."""
    along, across, turn = draw(generator, sigma, sigma, (0, math.pi))
    across = along if round_ else across
    half = math.ceil(3 * max(along, across))
    axis = torch.arange(-half, half + 1, device=generator.device)
    y, x = axis[:, None], axis[None]
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    kernel = torch.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return kernel / kernel.sum()


def _shrunk(image: Tensor, generator: torch.Generator, level: float) -> Tensor:
    (factor,) = draw(generator, (1 - 0.6 * level, 1))
    height, width = image.shape[-2:]
    return _resized(image, generator, (max(1, round(height * factor)), max(1, round(width * factor))))


def _resized(image: Tensor, generator: torch.Generator, size: tuple[int, int]) -> Tensor:
    mode = ("bilinear", "bicubic", "area")[_choice(generator, 3)]
    return F.interpolate(image[None], size=size, mode=mode, antialias=mode != "area")[0]


def _noisy(image: Tensor, generator: torch.Generator, level: float) -> Tensor:
    kind = _choice(generator, 3)
    if kind == 0:
        return camera_noise(image, generator, shot=(1e-5, 1e-5 * 600**level), quantise=False)
    (sigma,) = draw(generator, (0.5, 0.5 + 20 * level))
    shape = image.shape if kind == 1 else (1, *image.shape[-2:])
    return image + torch.randn(shape, generator=generator, device=image.device) * (sigma / 255)


def _compressed(image: Tensor, generator: torch.Generator, level: float) -> Tensor:
    return jpeg(image, generator, quality=(95 - 65 * level, 95))


def _weather(image: Tensor, generator: torch.Generator, level: float) -> Tensor:
    kind = _choice(generator, 4)
    if kind == 0:
        return rain(image, generator, brightness=(0.05, 0.05 + 0.25 * level))
    if kind == 1:
        return snow(image, generator, density=(0.5, 0.5 + 2.5 * level), opacity=(0.1, 0.1 + 0.7 * level))
    if kind == 2:
        return haze(image, generator, beta=(0.1, 0.1 + 1.2 * level))
    return low_light(image, generator, exposure=(0.9 * 0.05**level, 0.9), gamma=(1.0, 1.0), cast=(1.0, 1.0))


def _choice(generator: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (), generator=generator, device=generator.device))


_COMPONENTS = (_blurred, _shrunk, _noisy, _compressed)
