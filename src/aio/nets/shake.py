"""Blur of a shaking camera: the search for its kernel, and its inverse.

What a sensor gathers on its way is a convolution of the light, the same all over the image. The search goes from coarse
to fine; at each size it turns between an image of few slopes that explains the blurred one, for which the sharp one
stands (Xu, Zheng and Jia, Unnatural L0 Sparse Representation, CVPR 2013, equations 3 to 9), and the kernel that leads
from its strongest slopes to the blurred ones (Cho and Lee, Fast Motion Deblurring, SIGGRAPH Asia 2009, section 4).
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from aio.borders import mirrored

REACH: Final = 16  # pixels from the middle of a kernel to its border
_SEEN: Final = 512  # pixels along a side of the middle of an image, from which the kernel is found
_LEAST: Final = 128  # ... and that it takes
_TURNS: Final = 5  # at each size
_SHRINK: Final = math.sqrt(0.5)  # from one size to the next
_CONTRAST: Final = 0.2  # standard deviation of the light, for which the prices below are
_SLOPE: Final = 8e-3  # lambda: the price of a slope at first,
_CHEAPER: Final = 1.1  # less by this with each turn,
_CHEAPEST: Final = 1e-4  # down to that
_BETA: Final = 1e5  # where the halves of an L0 problem have become one,
_TIMES: Final = 4.0  # and by how much its step grows on the way
_STRONG: Final = 0.15  # of all slopes: those that a kernel is found from
_RIDGE: Final = 0.05  # of their mean power
_FAINT: Final = 0.05  # of a kernel's maximum: less is taken for noise,
_ALONE: Final = 0.1  # and so is what has less of the sum about it
_ABOUT: Final = 7  # pixels
_EPSILON: Final = 1e-8
_MEAN: Final = 1e-3  # the price of changing the mean light
_SMOOTH: Final = 16  # transforms of such multiples are quick


@torch.no_grad()
def find_kernel(light: Tensor) -> Tensor:
    """The kernels `(B, 1, 33, 33)`, of sum 1 and with their mass in the middle, that blurred `light` `(B, 1, H, W)`.

    Args:
        light: linear, of one channel. Only the middle 512 x 512 pixels are looked at; of less than 128 pixels along a
            side nothing is found, and the kernel is a point.
    """
    if min(light.shape[-2:]) < _LEAST:
        return _padded_to(torch.ones(len(light), 1, 1, 1, device=light.device), 2 * REACH + 1)
    top, left = (max(0, (side - _SEEN) // 2) for side in light.shape[-2:])
    seen = light.float()[..., top : top + _SEEN, left : left + _SEEN]
    seen = seen * (_CONTRAST / (seen.std(dim=(2, 3), keepdim=True) + _EPSILON))
    price, kernel = _SLOPE, torch.full((len(light), 1, 1, 2), 0.5, device=light.device)
    for side in _sides():
        share = side / (2 * REACH + 1)
        height, width = (max(side, round(length * share)) for length in seen.shape[-2:])
        margin = side // 2 + 2
        blurred = _framed(_resized(seen, height, width), margin)
        inside = torch.zeros(blurred.shape[-2:], device=light.device)
        inside[margin + 1 : margin + height - 1, margin + 1 : margin + width - 1] = 1  # slopes of the image itself
        kernel = _normal(_resized(kernel, side, side) if kernel.shape[-2] > 1 else _padded_to(kernel, side))
        for _ in range(_TURNS):
            kernel = _between(_few_slopes(blurred, kernel, price), blurred, inside, side)
            price = max(price / _CHEAPER, _CHEAPEST)
        kernel = _centred(kernel)
    return kernel


def unshaken(light: Tensor, kernel: Tensor, prices: tuple[float, ...]) -> list[Tensor]:
    """What `kernel` `(B, 1, 33, 33)` blurred into `light` `(B, C, H, W)`: for each price an image of the same shape.

    The y of least |k * y - light|^2 + price (|slopes of (y - light)|^2 / 4 pi^2 + |y - light|^2 / 1000), the kernel k
    moved until its centre of mass is in the middle: what it lets pass is brought back, what not stays as it came in.
    """
    height, width = light.shape[-2:]
    margin = 2 * REACH
    framed = _framed(light.float(), margin)
    size = list(framed.shape[-2:])
    spectrum = torch.fft.rfft2(framed)
    transfer = _transfer(kernel.float(), size) * _shift_of_centre(kernel.float(), size)
    slopes = _slopes_power(size, light.device) / (4 * math.pi**2) + _MEAN
    sharp = [
        torch.fft.irfft2(spectrum * (transfer.conj() + price * slopes) / (_power(transfer) + price * slopes), s=size)
        for price in prices
    ]
    return [image[..., margin : margin + height, margin : margin + width] for image in sharp]


def _sides() -> list[int]:
    """Of the kernels, from 3 up to the largest; all odd."""
    sides, side = [], float(2 * REACH + 1)
    while side >= 3:
        sides.append(int(side) // 2 * 2 + 1)
        side *= _SHRINK
    return sorted(set(sides))


def _few_slopes(blurred: Tensor, kernel: Tensor, price: float) -> Tensor:
    """The s of least |k * s - blurred|^2 + price (number of slopes of s), by half-quadratic splitting."""
    size = list(blurred.shape[-2:])
    transfer, power = _transfer(kernel, size), _slopes_power(size, blurred.device)
    explained = transfer.conj() * torch.fft.rfft2(blurred)
    passed = _power(transfer)
    image, beta = blurred, 2 * price
    while beta < _BETA:
        right, down = _slopes(image)
        weak = right.square() + down.square() < price / beta
        right, down = right.masked_fill(weak, 0), down.masked_fill(weak, 0)
        back = right.roll(1, 3) - right + down.roll(1, 2) - down
        image = torch.fft.irfft2((explained + beta * torch.fft.rfft2(back)) / (passed + beta * power), s=size)
        beta *= _TIMES
    return image


def _between(sharp: Tensor, blurred: Tensor, inside: Tensor, side: int) -> Tensor:
    """The kernel of `side` pixels from the strongest slopes of `sharp` to those of `blurred`: ridge regression."""
    right, down = _slopes(sharp)
    strength = (right.square() + down.square()) * inside
    ranked = strength.flatten(1).sort(dim=1).values
    strong = strength >= ranked[:, int((1 - _STRONG) * ranked.shape[1]) - 1][:, None, None, None]
    from_x, from_y = (torch.fft.rfft2(slope * strong * inside) for slope in (right, down))
    to_x, to_y = (torch.fft.rfft2(slope * inside) for slope in _slopes(blurred))
    power = _power(from_x) + _power(from_y)
    ridge = _RIDGE * power.mean(dim=(2, 3), keepdim=True) + _EPSILON
    found = torch.fft.irfft2((from_x.conj() * to_x + from_y.conj() * to_y) / (power + ridge), s=blurred.shape[-2:])
    return _normal(found.roll((side // 2, side // 2), dims=(2, 3))[..., :side, :side])


def _normal(kernel: Tensor) -> Tensor:
    """Without what is negative, faint or alone, and of sum 1; of nothing, a single point."""
    kernel = kernel.clamp(min=0)
    kernel = kernel * (kernel >= _FAINT * kernel.amax(dim=(2, 3), keepdim=True))
    kernel = kernel / (kernel.sum(dim=(2, 3), keepdim=True) + _EPSILON)
    about = F.avg_pool2d(kernel, _ABOUT, stride=1, padding=_ABOUT // 2, divisor_override=1)
    kernel = kernel * (about >= _ALONE)
    middle = kernel.shape[-1] // 2
    kernel[..., middle, middle] += _EPSILON
    return kernel / kernel.sum(dim=(2, 3), keepdim=True)


def _centred(kernel: Tensor) -> Tensor:
    """With its centre of mass in the middle, to a pixel."""
    moves = torch.stack(_centre(kernel), dim=1).round().int().tolist()
    return torch.stack(
        [one.roll((-down, -right), dims=(1, 2)) for one, (down, right) in zip(kernel, moves, strict=True)]
    )


def _centre(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """How far down and to the right of the middle the centre of mass is, each `(B,)`."""
    half = kernel.shape[-1] // 2
    place = torch.arange(-half, half + 1, device=kernel.device).to(kernel.dtype)
    return (kernel.sum(dim=(1, 3)) * place).sum(dim=1), (kernel.sum(dim=(1, 2)) * place).sum(dim=1)


def _framed(image: Tensor, margin: int) -> Tensor:
    """`image` with mirrored margins, of a size whose transform is quick."""
    rows, columns = (
        mirrored(side, -margin, (side + 2 * margin + _SMOOTH - 1) // _SMOOTH * _SMOOTH - margin, image.device)
        for side in image.shape[-2:]
    )
    return image.index_select(2, rows).index_select(3, columns)


def _padded_to(kernel: Tensor, side: int) -> Tensor:
    """One or two points as the middle of `side` x `side`."""
    middle = side // 2
    return F.pad(kernel, (middle, side - middle - kernel.shape[-1], middle, middle))


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    if (height, width) == maps.shape[-2:]:
        return maps
    return F.interpolate(maps, size=(height, width), mode="bicubic", align_corners=False, antialias=True)


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    return image.roll(-1, 3) - image, image.roll(-1, 2) - image


def _slopes_power(size: list[int], device: torch.device) -> Tensor:
    """|F(slope)|^2 of both directions together."""
    down = torch.fft.fftfreq(size[0], device=device)[:, None]
    right = torch.fft.rfftfreq(size[1], device=device)
    return 4 - 2 * torch.cos(2 * math.pi * down) - 2 * torch.cos(2 * math.pi * right)


def _transfer(kernel: Tensor, size: list[int]) -> Tensor:
    half = kernel.shape[-1] // 2
    padded = F.pad(kernel, (0, size[1] - kernel.shape[-1], 0, size[0] - kernel.shape[-2]))
    return torch.fft.rfft2(padded.roll((-half, -half), dims=(2, 3)))


def _shift_of_centre(kernel: Tensor, size: list[int]) -> Tensor:
    """What moves the kernel's centre of mass into the middle, by fractions of a pixel too."""
    down, right = (distance[:, None, None, None] for distance in _centre(kernel))
    turn = down * torch.fft.fftfreq(size[0], device=kernel.device)[:, None]
    turn = turn + right * torch.fft.rfftfreq(size[1], device=kernel.device)
    return torch.polar(torch.ones_like(turn), 2 * math.pi * turn)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()
