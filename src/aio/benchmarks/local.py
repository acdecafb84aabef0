"""Benchmarks without published rows: the embedded photographs, whatever tree the user has, the model card's sets."""

from __future__ import annotations

from typing import Final

from aio.benchmarks.table import Benchmark, Column
from aio.vocabulary import SIGMA, Degradation

_SEVEN: Final[tuple[Degradation, ...]] = (
    *("denoise_15", "denoise_25", "denoise_50"),
    *("derain", "dehaze", "deblur", "lowlight"),
)
_COLUMNS: Final = tuple(Column(name=task, task=task, synthesised=True) for task in _SEVEN)
DEMO: Final = Benchmark(
    name="demo",
    sets="two photographs of scikit-image, all degradations synthesised",
    protocol="aio",
    columns=_COLUMNS,
    trainset="demo",
)
OWN: Final = Benchmark(
    name="own",
    sets="your data tree: pairs where there are some, else synthesised from its clean photographs",
    protocol="aio",
    columns=_COLUMNS,
    trainset="mixed",
)


def _kodak(task: Degradation, said: str) -> Column:
    return Column(f"Kodak24 {said}", task, "kodak", 24, synthesised=True)


CARD: Final = Benchmark(
    name="card",
    sets="Kodak24 (noise, synthetic motion blur, untouched), and what the tree has of Rain100L, SOTS-indoor and LOL",
    protocol="aio",
    columns=(
        *(_kodak(task, f"sigma {sigma}") for task, sigma in SIGMA.items()),
        Column("Rain100L", "derain", "rain100l"),
        Column("SOTS-indoor", "dehaze", "sots"),
        Column("LOL", "lowlight", "lol"),
        _kodak("deblur", "motion blur"),
        _kodak("clean", "untouched"),
    ),
    trainset="mixed",
    mean=False,
)
