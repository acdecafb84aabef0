"""How strong a degradation is: the ranges that it draws from, narrowed to one point between mild and harsh."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from aio.data.degradations._common import Range
from aio.data.degradations.blur import motion_blur
from aio.data.degradations.camera_noise import camera_noise
from aio.data.degradations.composite import Degrade, in_turn
from aio.data.degradations.defocus import defocus
from aio.data.degradations.haze import haze
from aio.data.degradations.jpeg import jpeg
from aio.data.degradations.lowlight import low_light
from aio.data.degradations.noise import gaussian_noise
from aio.data.degradations.rain import rain
from aio.data.degradations.realworld import realworld
from aio.data.degradations.snow import snow


class Knob(NamedTuple):
    """A range that means strength: whether its low end is the harsh one, and whether it is drawn in its logarithm."""

    name: str
    falling: bool = False
    log: bool = False


_KNOBS: Final[dict[Callable[..., Any], tuple[Knob, ...]]] = {
    gaussian_noise: (Knob("sigma"),),
    rain: (Knob("density"), Knob("brightness")),
    haze: (Knob("beta"),),
    motion_blur: (Knob("radius"),),
    low_light: (Knob("exposure", falling=True, log=True),),
    snow: (Knob("density"), Knob("opacity")),
    defocus: (Knob("radius"),),
    camera_noise: (Knob("shot", log=True),),
    jpeg: (Knob("quality", falling=True),),
    realworld: (Knob("severity"),),
}
_ALWAYS: Final[dict[Callable[..., Any], dict[str, float]]] = {realworld: {"pristine": 0.0}}


def at_strength(degrade: Degrade, strength: float) -> Degrade:
    """`degrade` with what means strength fixed: 0 is the mild end of its ranges, 1 the harsh end.

    All else is still drawn. Of several degradations in turn each has that strength; one without ranges stays as it is.
    """
    if isinstance(degrade, partial) and degrade.func is in_turn:
        return partial(in_turn, steps=[at_strength(step, strength) for step in degrade.keywords["steps"]])
    fixed = {name: (value, value) for name, value in strengths(degrade, strength).items()}
    return partial(degrade, **fixed, **_ALWAYS.get(_function(degrade), {}))


def strengths(degrade: Degrade, strength: float) -> dict[str, float]:
    """The values that `at_strength` fixes, by the names of their ranges; none for several degradations in turn."""
    function = _function(degrade)
    given = degrade.keywords if isinstance(degrade, partial) else {}
    ranges = {**(getattr(function, "__kwdefaults__", None) or {}), **given}
    return {knob.name: _between(ranges[knob.name], knob, strength) for knob in _KNOBS.get(function, ())}


def _function(degrade: Degrade) -> Callable[..., Any]:
    return degrade.func if isinstance(degrade, partial) else degrade


def _between(ends: Range, knob: Knob, strength: float) -> float:
    low, high = ends
    share = 1 - strength if knob.falling else strength
    return low * (high / low) ** share if knob.log else low + (high - low) * share
