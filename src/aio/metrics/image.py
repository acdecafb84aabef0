"""PSNR and SSIM per image, equal to what scikit-image and MATLAB compute.

Source: Wang et al., Image quality assessment: from error visibility to structural similarity, TIP 2004.
The filters are sums of shifted views, not convolutions: autocast (bfloat16) and the TF32 default of cuDNN would round
the products, and a variance is the small difference of two of them. On a CPU they are also three times as fast.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

from aio.errors import InputError

Window = Literal["uniform", "gaussian", "gaussian_padded", "gaussian_3d"]


class _Kernel(NamedTuple):
    taps: tuple[float, ...]
    dims: tuple[int, ...]
    replicate: bool


_GAUSSIAN = tuple(math.exp(-0.5 * (k / 1.5) ** 2) for k in range(-5, 6))
_UNIFORM_TAPS = (1 / 7,) * 7
_GAUSSIAN_TAPS = tuple(tap / sum(_GAUSSIAN) for tap in _GAUSSIAN)
_KERNELS: Final[dict[Window, _Kernel]] = {
    "uniform": _Kernel(_UNIFORM_TAPS, (-2, -1), replicate=False),
    "gaussian": _Kernel(_GAUSSIAN_TAPS, (-2, -1), replicate=False),
    "gaussian_padded": _Kernel(_GAUSSIAN_TAPS, (-2, -1), replicate=True),
    "gaussian_3d": _Kernel(_GAUSSIAN_TAPS, (-3, -2, -1), replicate=True),
}


def psnr(restored: Tensor, clean: Tensor, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, `(B,)`: one mean squared error per image, over its channels and pixels.

    Images are `(B, C, H, W)` or `(C, H, W)` of any floating type. Identical images give `inf`.
    """
    restored, clean = _batches(restored, clean)
    error = (restored - clean).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(data_range**2 / error)


def ssim(
    restored: Tensor,
    clean: Tensor,
    window: Window = "uniform",
    *,
    sample_covariance: bool = True,
    data_range: float = 1.0,
) -> Tensor:
    """Structural similarity, `(B,)`: the mean of the SSIM map over channels and pixels. Identical images give 1.

    Images are `(B, C, H, W)` or `(C, H, W)` of any floating type. Windows:
    - `uniform`: 7 x 7, only where it fits; scikit-image's default.
    - `gaussian`: sigma 1.5, 11 x 11, only where it fits; scikit-image's `gaussian_weights=True`, and with
      `sample_covariance=False` the script of the paper.
    - `gaussian_padded`: the same at every pixel, the border replicated; with `sample_covariance=False` MATLAB's `ssim`
      of a gray image.
    - `gaussian_3d`: over the channels too, as if they were a third axis of space, replicated likewise; with
      `sample_covariance=False` MATLAB's `ssim` called on an RGB array.

    Raises:
        InputError: an image is smaller than a window that must fit.
    """
    return ssim_map(restored, clean, window, sample_covariance=sample_covariance, data_range=data_range).mean(
        dim=(1, 2, 3)
    )


def ssim_map(
    restored: Tensor,
    clean: Tensor,
    window: Window = "uniform",
    *,
    sample_covariance: bool = True,
    data_range: float = 1.0,
) -> Tensor:
    """The map whose mean is `ssim`, `(B, C, H', W')`: as large as the images where the window is replicated."""
    restored, clean = _batches(restored, clean)
    kernel = _KERNELS[window]
    size = len(kernel.taps)
    if not kernel.replicate and min(clean.shape[-2:]) < size:
        height, width = clean.shape[-2:]
        raise InputError(
            f"SSIM with a {window} window needs images of at least {size} x {size}, got {height} x {width}"
        )
    unbias = _unbias(kernel) if sample_covariance else 1.0
    return _ssim_map(restored, clean, kernel, unbias, data_range)


def _ssim_map(r: Tensor, c: Tensor, kernel: _Kernel, unbias: float, data_range: float) -> Tensor:
    shift = c.mean(dim=(1, 2, 3), keepdim=True)
    r, c = r - shift, c - shift  # float32 keeps more digits of a variance near a mean of zero
    # Sums and products are doubled alike, so that equal images give equal bits above and below the line.
    mean_r, mean_c, power, product = (_filter(m, kernel) for m in (r, c, r.square() + c.square(), 2 * r * c))
    variances = unbias * (power - (mean_r.square() + mean_c.square()))
    covariance = unbias * (product - 2 * mean_r * mean_c)
    mean_r, mean_c = mean_r + shift, mean_c + shift
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_r * mean_c + c1) / (mean_r.square() + mean_c.square() + c1)
    return luminance * ((covariance + c2) / (variances + c2))


def _unbias(kernel: _Kernel) -> float:
    count = len(kernel.taps) ** len(kernel.dims)
    return count / (count - 1)


def promoted(image: Tensor) -> Tensor:
    """`image` in float32, or in float64 if it is so already.

    Raises:
        TypeError: an integer image, whose range nobody knows.
    """
    if not image.is_floating_point():
        raise TypeError(f"metrics take floating images in [0, 1], got {image.dtype}")
    return image.to(torch.promote_types(image.dtype, torch.float32))


def check_same_shape(restored: Tensor, clean: Tensor) -> None:
    """Images of one batch `(B, C, H, W)`, or one image `(C, H, W)`, must agree pixel for pixel.

    Raises:
        ValueError: they do not.
    """
    if restored.shape != clean.shape or clean.ndim not in (3, 4):
        raise ValueError(
            "restored and clean must both be (B, C, H, W) or (C, H, W) of one shape, "
            f"got {tuple(restored.shape)} and {tuple(clean.shape)}"
        )


def _batches(restored: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    check_same_shape(restored, clean)
    restored, clean = promoted(restored), promoted(clean)
    if clean.ndim == 3:
        restored, clean = restored[None], clean[None]
    return restored.contiguous(), clean.contiguous()


def _filter(image: Tensor, kernel: _Kernel) -> Tensor:
    for dim in kernel.dims:
        image = _slide(_replicated(image, dim, len(kernel.taps) // 2) if kernel.replicate else image, kernel.taps, dim)
    return image


def _slide(image: Tensor, taps: tuple[float, ...], dim: int) -> Tensor:
    size = image.shape[dim] - len(taps) + 1
    total = image.narrow(dim, 0, size) * taps[0]
    for k, tap in enumerate(taps[1:], start=1):
        total.add_(image.narrow(dim, k, size), alpha=tap)
    return total


def _replicated(image: Tensor, dim: int, margin: int) -> Tensor:
    size = image.shape[dim]
    index = torch.arange(-margin, size + margin, device=image.device).clamp_(0, size - 1)
    return image.index_select(dim, index)
