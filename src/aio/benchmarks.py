"""The field's benchmarks as data: their degradations and test sets, the protocol, and what others scored.

Published rows are PSNR in dB in the order of `tasks`, from the papers named; rows of models that are told the
degradation are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from aio.errors import InputError
from aio.vocabulary import Degradation

Trainset = Literal["demo", "paired", "mixed"]


@dataclass(frozen=True)
class Benchmark:
    """A test.

    Attributes:
        tasks: the degradations, one column each.
        protocol: of PSNR and SSIM, see `aio.metrics.PROTOCOLS`.
        sets: the test sets, for people.
        published: method -> PSNR per task.
        preferred: task -> what the path of its images says; others are left out where some say it. A tree may hold
            CBSD68 beside Kodak24, or both halves of SOTS.
        trainset: where the images come from, see `aio.data.datamodule.RestorationData`; all but `demo` need a root.
    """

    name: str
    tasks: tuple[Degradation, ...]
    protocol: str
    sets: str
    published: dict[str, tuple[float, ...]]
    preferred: Mapping[Degradation, str] = field(default_factory=dict)
    trainset: Trainset = "paired"


_FIVE: Final[tuple[Degradation, ...]] = (
    "denoise_15",
    "denoise_25",
    "denoise_50",
    "derain",
    "dehaze",
    "deblur",
    "lowlight",
)
_OFFICIAL: Final[Mapping[Degradation, str]] = {
    "denoise_15": "bsd68",
    "denoise_25": "bsd68",
    "denoise_50": "bsd68",
    "dehaze": "outdoor",
}
_ALL: Final = (
    Benchmark(
        name="demo",
        tasks=_FIVE,
        protocol="aio",
        sets="two photographs of scikit-image, all degradations synthesised",
        published={},
        trainset="demo",
    ),
    Benchmark(
        name="own",
        tasks=_FIVE,
        protocol="aio",
        sets="your data tree: pairs where there are some, else synthesised from its clean photographs",
        published={},
        trainset="mixed",
    ),
    Benchmark(
        name="aio3",
        tasks=("dehaze", "derain", "denoise_15", "denoise_25", "denoise_50"),
        protocol="promptir",
        sets="SOTS-outdoor (500), Rain100L (100), CBSD68 (68)",
        preferred=_OFFICIAL,
        published={
            "AirNet": (27.94, 34.90, 33.92, 31.26, 28.00),
            "PromptIR": (30.58, 36.37, 33.98, 31.31, 28.06),
            "MoCE-IR": (31.34, 38.57, 34.11, 31.45, 28.18),
            "AdaIR": (31.06, 38.64, 34.12, 31.45, 28.19),
            "SymUNet": (31.40, 39.12, 34.22, 31.57, 28.32),
        },
    ),
    Benchmark(
        name="aio5",
        tasks=("dehaze", "derain", "denoise_25", "deblur", "lowlight"),
        protocol="promptir",
        sets="SOTS-outdoor (500), Rain100L (100), CBSD68 (68), GoPro (1111), LOL-v1 (15)",
        preferred=_OFFICIAL,
        published={
            "AirNet": (21.04, 32.98, 30.91, 24.35, 18.18),
            "Restormer": (24.09, 34.81, 31.49, 27.22, 20.41),
            "NAFNet": (25.23, 35.56, 31.02, 26.53, 20.49),
            "PromptIR": (26.54, 36.37, 31.47, 28.71, 22.68),
            "AdaIR": (30.53, 38.02, 31.35, 28.12, 23.00),
            "MoCE-IR": (30.48, 38.04, 31.34, 30.05, 23.00),
            "SymUNet": (31.31, 38.05, 31.38, 28.12, 23.27),
        },
    ),
)
BENCHMARKS: Final = {benchmark.name: benchmark for benchmark in _ALL}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called `name`.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}: choose from {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
