"""Benchmarks without published rows: the embedded photographs, and whatever tree the user has."""

from __future__ import annotations

from typing import Final

from aio.benchmarks.table import Benchmark, Column
from aio.vocabulary import Degradation

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
