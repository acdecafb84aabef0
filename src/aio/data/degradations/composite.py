"""Several degradations of one photograph as in CDD-11 (Guo et al., OneRestore, ECCV 2024), and a depth for their haze.

The ranges resemble the masks and formulas of its authors: less darkness but far more noise than in LOL, dense and
nearly vertical rain, thicker haze before a grayer sky than in RESIDE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor

from aio.data.degradations.haze import haze
from aio.data.degradations.lowlight import low_light
from aio.data.degradations.rain import rain
from aio.data.degradations.snow import snow
from aio.vocabulary import Degradation

Degrade = Callable[[Tensor, torch.Generator], Tensor]

_LOW: Final = partial(
    low_light, exposure=(0.12, 0.45), gamma=(0.9, 1.4), shot=(1e-3, 8e-3), read=(2e-3, 1e-2), cast=(1.0, 1.0)
)
_RAIN: Final = partial(
    rain,
    angle=(-10.0, 10.0),
    length=(40.0, 75.0),
    thickness=(0.4, 0.6),
    density=(5.0, 10.0),
    brightness=(0.1, 0.18),
    layers=(1, 1),
    veil=(0.03, 0.07),
)
_HAZE: Final = partial(haze, beta=(1.0, 2.0), airlight=(0.6, 0.9), tint=0.0)


def in_turn(image: Tensor, generator: torch.Generator, *, steps: Sequence[Degrade]) -> Tensor:
    """One degradation upon the other: first the light fails, then rain or snow falls, and haze lies before them.

    The order of CDD-11 (OneRestore, equation 1).
    """
    for step in steps:
        image = step(image, generator)
    return image


COMPOSITES: Final[dict[Degradation, Degrade]] = {
    "low_haze": partial(in_turn, steps=(_LOW, _HAZE)),
    "low_rain": partial(in_turn, steps=(_LOW, _RAIN)),
    "low_snow": partial(in_turn, steps=(_LOW, snow)),
    "haze_rain": partial(in_turn, steps=(_RAIN, _HAZE)),
    "haze_snow": partial(in_turn, steps=(snow, _HAZE)),
    "low_haze_rain": partial(in_turn, steps=(_LOW, _RAIN, _HAZE)),
    "low_haze_snow": partial(in_turn, steps=(_LOW, snow, _HAZE)),
}


def with_depth(degrade: Degrade, depth: Tensor) -> Degrade:
    """`degrade`, whose haze lies over `depth (H, W)` instead of one made up; without haze it is left as it is."""
    if not isinstance(degrade, partial):
        return partial(haze, depth=depth) if degrade is haze else degrade
    if degrade.func is haze:
        return partial(degrade, depth=depth)
    if degrade.func is in_turn:
        return partial(in_turn, steps=[with_depth(step, depth) for step in degrade.keywords["steps"]])
    return degrade


def needs_depth(degrade: Degrade) -> bool:
    """Whether `with_depth` makes a difference."""
    if isinstance(degrade, partial) and degrade.func is in_turn:
        return any(needs_depth(step) for step in degrade.keywords["steps"])
    return (degrade.func if isinstance(degrade, partial) else degrade) is haze
