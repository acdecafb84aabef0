"""THE vocabulary of degradations: canonical name -> task id, and the field's other names for them.

Ids are positions, stored in checkpoints and datasets: names are only ever appended. `clean` is no degradation at all:
a network for all photographs has to learn it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

from aio.errors import InputError

Degradation = Literal[
    "denoise_15",
    "denoise_25",
    "denoise_50",
    "derain",
    "dehaze",
    "deblur",
    "lowlight",
    "denoise_blind",
    "sr_x2",
    "sr_x3",
    "sr_x4",
    "desnow",
    "low_haze",
    "low_rain",
    "low_snow",
    "haze_rain",
    "haze_snow",
    "low_haze_rain",
    "low_haze_snow",
    "clean",
    "defocus",
    "denoise_real",
    "jpeg",
    "realworld",
]
DEGRADATIONS: Final[tuple[Degradation, ...]] = get_args(Degradation)
TASK_ID: Final[dict[Degradation, int]] = {name: i for i, name in enumerate(DEGRADATIONS)}

SIGMA: Final[dict[Degradation, int]] = {"denoise_15": 15, "denoise_25": 25, "denoise_50": 50}  # of 255
SCALES: Final[dict[Degradation, int]] = {"sr_x2": 2, "sr_x3": 3, "sr_x4": 4}  # all others keep the size

_SIGMAS: Final[tuple[Degradation, ...]] = tuple(SIGMA)
_SINGLE: Final[tuple[Degradation, ...]] = ("lowlight", "dehaze", "derain", "desnow")
_DOUBLE: Final[tuple[Degradation, ...]] = ("low_haze", "low_rain", "low_snow", "haze_rain", "haze_snow")
_TRIPLE: Final[tuple[Degradation, ...]] = ("low_haze_rain", "low_haze_snow")
ALIASES: Final[dict[str, tuple[Degradation, ...]]] = {
    "denoise": _SIGMAS,
    "denoising": _SIGMAS,
    "deraining": ("derain",),
    "dehazing": ("dehaze",),
    "deblurring": ("deblur",),
    "lol": ("lowlight",),
    "low_light": ("lowlight",),
    "synllie": ("lowlight",),
    "llie": ("lowlight",),
    "enhance": ("lowlight",),
    "desnowing": ("desnow",),
    "defocus_deblurring": ("defocus",),
    "defocus_deblur": ("defocus",),
    "real_denoising": ("denoise_real",),
    "camera_noise": ("denoise_real",),
    "dejpeg": ("jpeg",),
    "jpeg_artifacts": ("jpeg",),
    "blind": ("realworld",),
    "real": ("realworld",),
    "cdd11": (*_SINGLE, *_DOUBLE, *_TRIPLE),
    "cdd11_single": _SINGLE,
    "cdd11_double": _DOUBLE,
    "cdd11_triple": _TRIPLE,
}


def expand(names: Iterable[str]) -> list[Degradation]:
    """Canonical names, each once, in the order given: `["denoise", "lol"]` gives four.

    Raises:
        ValueError: a name is not known (the message lists the known ones), or there is none.
    """
    known: dict[str, tuple[Degradation, ...]] = {**ALIASES, **{name: (name,) for name in DEGRADATIONS}}
    chosen: dict[Degradation, None] = {}
    for name in names:
        if name not in known:
            raise ValueError(f"unknown degradation {name!r}: choose from {', '.join(sorted(known))}")
        chosen.update(dict.fromkeys(known[name]))
    if not chosen:
        raise ValueError(f"no degradation given: choose from {', '.join(sorted(known))}")
    return list(chosen)


def one_degradation(name: str, option: str = "--de_type") -> Degradation:
    """The one canonical name that `name`, the value of `option`, stands for.

    Raises:
        InputError: it is unknown, or stands for several.
    """
    try:
        tasks = expand([name])
    except ValueError as error:
        raise InputError(f"{option} {name}: {error}") from error
    if len(tasks) > 1:
        raise InputError(f"{option} {name} means {', '.join(tasks)}: name one of them")
    return tasks[0]
