"""What is measured besides PSNR and SSIM: mean absolute error, perceptual distances, and a score without reference.

The learnt ones are torchmetrics'; their weights are fetched once into torch's hub folder, or are put there by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Literal, NamedTuple
from urllib.error import URLError

import torch
from torch import Tensor

from aio.errors import InputError

Compare = Callable[[Tensor, Tensor], float]


class Measure(NamedTuple):
    """How good one image is beside its clean partner, both `(C, H, W)` in [0, 1].

    Attributes:
        digits: after the point, in tables.
        higher_is_better: whether a good image scores high.
        source: the paper.
        load: gives the function; it may have to fetch weights.
    """

    digits: int
    higher_is_better: bool
    source: str
    load: Callable[[], Compare]


def open_measures(names: Iterable[str]) -> dict[str, Compare]:
    """The functions of the measures `names`.

    Raises:
        InputError: one is unknown, or its weights are neither at hand nor to be fetched.
    """
    return {name: _open(name) for name in names}


def _open(name: str) -> Compare:
    if name not in MEASURES:
        raise InputError(f"--measures {name}: choose from {', '.join(MEASURES)}")
    try:
        return MEASURES[name].load()
    except (URLError, TimeoutError) as error:
        folder = f"{torch.hub.get_dir()}/checkpoints"
        raise InputError(
            f"--measures {name}: its weights are not in {folder} and cannot be fetched ({error})"
        ) from error


def _mean_absolute_error(image: Tensor, clean: Tensor) -> float:
    return (image.clamp(0, 1) - clean).abs().double().mean().item()


def _lpips(net: Literal["alex", "vgg"]) -> Compare:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity(net_type=net, normalize=True).eval()
    return partial(_score, metric)


def _dists() -> Compare:
    from torchmetrics.functional.image.dists import DISTSNetwork

    return partial(_score, DISTSNetwork().eval())


def _arniqa() -> Compare:
    from torchmetrics.image.arniqa import ARNIQA

    metric = ARNIQA(regressor_dataset="koniq10k").eval()
    return lambda image, clean: _score(lambda one, _: metric(one), image, clean)


@torch.no_grad()
def _score(metric: Callable[[Tensor, Tensor], Tensor], image: Tensor, clean: Tensor) -> float:
    """Of images clipped to [0, 1], gray ones as three equal channels."""
    restored, reference = (one.float().clamp(0, 1).expand(3, -1, -1)[None] for one in (image, clean))
    return metric(restored, reference).item()


MEASURES: Final[dict[str, Measure]] = {
    "mae": Measure(3, False, "mean absolute error over pixels and channels", lambda: _mean_absolute_error),
    "lpips": Measure(4, False, "Zhang et al., CVPR 2018, AlexNet", partial(_lpips, "alex")),
    "lpips_vgg": Measure(4, False, "Zhang et al., CVPR 2018, VGG-16", partial(_lpips, "vgg")),
    "dists": Measure(4, False, "Ding et al., TPAMI 2020", _dists),
    "arniqa": Measure(4, True, "Agnolucci et al., WACV 2024, without reference, trained on KonIQ-10k", _arniqa),
}
