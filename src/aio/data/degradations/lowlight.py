"""Low light: fewer photons from the same scene, and the noise of a sensor that has to count them."""

from __future__ import annotations

import torch
from torch import Tensor

from aio.colour import to_linear, to_srgb
from aio.data.degradations._common import Range, draw, draw_log, to_8_bit


def low_light(
    image: Tensor,
    generator: torch.Generator,
    *,
    exposure: Range = (0.008, 0.16),
    gamma: Range = (0.8, 1.4),
    cast: Range = (0.8, 1.15),
    shot: Range = (1.5e-5, 8e-5),
    read: Range = (1e-4, 3.5e-4),
    red: Range = (1.5, 2.3),
    blue: Range = (1.1, 1.8),
    quantise: bool = True,
) -> Tensor:
    """`image` exposed too briefly: y = e c x^gamma + n in linear light, then sRGB and 8 bit.

    n is Gaussian with variance g (a y) + g^2 b: shot noise grows with the signal, read noise does not (Foi et al.,
    TIP 2008, section II), both before the white balance multiplies the channel by g. The defaults resemble LOL-v1
    (Wei et al., BMVC 2018), whose noise has a sigma of 1 to 2 levels and no correlation between pixels.

    Args:
        exposure: e, the light of the dark photograph relative to the bright one, uniform in its logarithm.
        gamma: of linear light; the bright photographs of LOL-v1 are tone-mapped, and this undoes it.
        cast: c, drawn for each channel.
        shot: a, one over the photons that would make a pixel white; uniform in its logarithm.
        read: square root of b, where white is 1; uniform in its logarithm.
        red: its g, that of green being 1; all are 1 unless there are three channels.
        blue: its g.
        quantise: rounds to 8 bit, which hides most of the dark in LOL-v1.
    """
    (power,) = draw(generator, gamma)
    light, photon, sigma = draw_log(generator, exposure, shot, read)
    channels = len(image)
    tints = torch.tensor(draw(generator, *[cast] * channels), device=image.device).view(-1, 1, 1)
    of_red, of_blue = draw(generator, red, blue)
    balance = [of_red, 1.0, of_blue] if channels == 3 else [1.0] * channels
    gains = torch.tensor(balance, device=image.device).view(-1, 1, 1)
    dark = to_linear(image) ** power * (light * tints)
    deviation = (dark * (photon * gains) + (sigma * gains) ** 2).sqrt()
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    result = to_srgb(dark + deviation * noise)
    return to_8_bit(result) if quantise else result
