"""Motion blur of a shaking camera: a random path of the image during exposure, convolved in linear light."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.borders import mirrored
from aio.colour import to_linear, to_srgb
from aio.data.degradations._common import Range, deposit, draw, to_8_bit

_STEPS = 128
_POINTS = 1024  # the path between them is straight and leaves no gaps
_JERK = 2.8  # standard deviations: about every second path has one


def motion_blur(
    image: Tensor,
    generator: torch.Generator,
    *,
    kernel: Tensor | None = None,
    radius: Range = (1.0, 15.0),
    agitation: Range = (0.0, 0.1),
    read_noise: Range = (0.0, 0.0),
    quantise: bool = True,
) -> Tensor:
    """`image` as the mean over its path during the exposure, taken of linear light: what a sensor adds up.

    Nah et al., GoPro, CVPR 2017, equation 1 (the response curve is sRGB's), with camera shake in the manner of
    Boracchi and Foi, TIP 2012. Beyond its borders the image is taken as mirrored.

    Args:
        kernel: `(K, K)`, K odd, that sums to 1; None draws one with `motion_kernel`.
        radius: see `motion_kernel`.
        agitation: see `motion_kernel`.
        read_noise: sigma on the 0-255 scale of Gaussian noise added last.
        quantise: rounds to 8 bit, as a file would: without noise or rounding, blur can be undone beyond reason.
    """
    if kernel is None:
        kernel = motion_kernel(generator, radius=radius, agitation=agitation)
    blurred = to_srgb(convolve(to_linear(image), kernel))
    (sigma,) = draw(generator, read_noise)
    if sigma > 0:
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        blurred = (blurred + noise * (sigma / 255)).clamp(0, 1)
    return to_8_bit(blurred) if quantise else blurred


def motion_kernel(generator: torch.Generator, *, radius: Range = (1.0, 15.0), agitation: Range = (0.0, 0.1)) -> Tensor:
    """`(K, K)` non-negative with sum 1 and its centre of mass in the middle; K is odd and follows from the radius.

    Args:
        radius: the path's largest distance from its mean along an axis, in pixels: K is at most 2 * radius + 1.
        agitation: how restless the hand is; 0 gives a straight line.
    """
    reach, restless = draw(generator, radius, agitation)
    path = torch.view_as_real(_trajectory(generator, restless)).T[None].to(generator.device)
    path = F.interpolate(path, size=_POINTS, mode="linear", align_corners=True)[0]
    path = path - path.mean(1, keepdim=True)
    half = math.ceil(reach)
    y, x = path * (reach / path.abs().max()) + half
    kernel = deposit(y, x, torch.ones_like(y), 2 * half + 1, 2 * half + 1)
    return kernel / kernel.sum()


def _trajectory(generator: torch.Generator, agitation: float) -> Tensor:
    """Positions of a camera at equal times as complex numbers: a Markov process.

    Its velocity has inertia, is disturbed at random, pulled back to the start, and seldom thrown about by a jerk
    (the components of Boracchi and Foi, TIP 2012). It slows down where it turns and dwells there,
    as in the kernels which Levin et al., CVPR 2009, measured.
    """
    draws = torch.randn(_STEPS, 4, generator=generator, device=generator.device).tolist()
    inertia, disturbance = 1 - agitation, math.sqrt(agitation)
    velocity = complex(*draws[0][:2])
    position, positions = 0j, []
    for east, north, jerk, turn in draws:
        positions.append(position)
        velocity = inertia * velocity + disturbance * (complex(east, north) - position / _STEPS)
        if abs(jerk) > _JERK:
            velocity += 4 * disturbance * complex(jerk, turn)
        position += velocity
    return torch.tensor(positions, dtype=torch.complex64)


def convolve(image: Tensor, kernel: Tensor) -> Tensor:
    """`(C, H, W)` convolved with an odd kernel beyond mirrored borders, by FFT: its time hardly depends on K."""
    half = kernel.shape[-1] // 2
    height, width = image.shape[-2:]
    rows, columns = (mirrored(side, -half, side + half, image.device) for side in (height, width))
    padded = image.index_select(-2, rows).index_select(-1, columns)
    size = [side + -side % 8 for side in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernel, s=size)
    return torch.fft.irfft2(spectrum, s=size)[..., 2 * half : 2 * half + height, 2 * half : 2 * half + width]
