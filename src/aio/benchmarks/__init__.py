"""The field's benchmarks as data: test sets, the protocol of each, and what others scored by it."""

from typing import Final

from aio.benchmarks.all_in_one import AIO3, AIO5, CDD11
from aio.benchmarks.local import CARD, DEMO, OWN
from aio.benchmarks.single_task import SINGLE_TASK
from aio.benchmarks.super_resolution import SUPER_RESOLUTION
from aio.benchmarks.table import Benchmark, Column, Published
from aio.errors import InputError

__all__ = ["BENCHMARKS", "Benchmark", "Column", "Published", "find_benchmark"]

_ALL = (DEMO, OWN, CARD, AIO3, AIO5, CDD11, *SINGLE_TASK, *SUPER_RESOLUTION)
BENCHMARKS: Final = {benchmark.name: benchmark for benchmark in _ALL}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called `name`.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in BENCHMARKS:
        listed = "\n".join(f"  {benchmark.name}: {benchmark.sets}" for benchmark in _ALL)
        raise InputError(f"unknown benchmark {name!r}: choose from\n{listed}")
    return BENCHMARKS[name]
