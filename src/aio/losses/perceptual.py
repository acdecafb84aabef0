"""Perceptual loss: distance of VGG-16 features (Johnson et al., ECCV 2016)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

import timm
import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from aio.errors import InputError

_MODEL: Final = "vgg16.tv_in1k"
_LAYERS: Final = (1, 2, 3)  # relu2_2, relu3_3, relu4_3
_HOW_TO: Final = (
    'save them where there is a network with `python -c "import timm, torch; '
    f"torch.save(timm.create_model('{_MODEL}', pretrained=True).state_dict(), 'vgg16.pth')\"` and give the file with "
    "--loss.vgg_weights vgg16.pth, or train without the term: --perceptual_weight 0"
)


class Perceptual(nn.Module):
    """mean |f(x) - f(y)| over three VGG-16 levels, in float32; the network is frozen.

    Args:
        weights: a state dict of torchvision's or timm's VGG-16; None downloads it through timm.

    Raises:
        InputError: the weights are not at hand; the message says how to get them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.vgg = _pretrained(weights).eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        with torch.autocast(restored.device.type, enabled=False):
            with torch.no_grad():
                wanted = self._features(clean)
            levels = zip(self._features(restored), wanted, strict=True)
            return torch.stack([F.l1_loss(got, target) for got, target in levels]).mean()

    def _features(self, image: Tensor) -> list[Tensor]:
        return self.vgg((image.float() - self.mean) / self.std)


def _pretrained(weights: str | None) -> nn.Module:
    options: dict[str, Any] = {"features_only": True, "out_indices": _LAYERS}
    if weights is not None:
        if not Path(weights).is_file():
            raise InputError(f"{weights}: no such file; expected the weights of VGG-16; {_HOW_TO}")
        return _load_from_file(timm.create_model(_MODEL, pretrained=False, **options), weights)
    try:
        return timm.create_model(_MODEL, pretrained=True, **options)
    except (OSError, RuntimeError) as error:
        raise InputError(f"the weights of VGG-16 cannot be downloaded ({type(error).__name__}); {_HOW_TO}") from error


def _load_from_file(vgg: nn.Module, weights: str) -> nn.Module:
    try:
        stored = torch.load(weights, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{weights}: not a file of plain weights; {_HOW_TO}") from error
    if not isinstance(stored, dict):
        raise InputError(f"{weights}: holds a {type(stored).__name__}, expected a state dict; {_HOW_TO}")
    wanted = vgg.state_dict()
    # timm's feature extractor names `features_3` what both libraries store as `features.3`
    renamed = {str(key).replace("features.", "features_"): value for key, value in stored.items()}
    for key, value in wanted.items():
        if getattr(renamed.get(key), "shape", None) != value.shape:
            raise InputError(f"{weights}: not a VGG-16, {key} is missing or of another shape; {_HOW_TO}")
    vgg.load_state_dict({key: renamed[key] for key in wanted})
    return vgg
