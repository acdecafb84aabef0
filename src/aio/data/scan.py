"""Looks at every image file once before training: readable, of equal size within a pair, not too small."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.progress import track

from aio.errors import InputError
from aio.images import image_size

_SHOWN = 10
_WORTH_A_BAR = 500
_AT_ONCE = 64  # samples handed to a thread: handing over costs more than a size that is known


def check_files(
    samples: Iterable[tuple[Path, ...]],
    *,
    smallest_side: int = 1,
    hint: str = "",
    scale: int = 1,
    size_of: Callable[[Path], tuple[int, int]] = image_size,
) -> None:
    """Reads the header of every file behind `samples`, with a progress bar where there are many.

    `size_of` gives (height, width) where they are known without the file.

    In a pair the second image is `scale` times the size of the first, and its last pixels may be too few for one more.

    Raises:
        InputError: lists the first ten faults, each with its file and what was expected.
    """
    groups = list({tuple(map(os.fspath, group)): group for group in samples}.values())  # a path hashes slowly
    parts = [groups[start : start + _AT_ONCE] for start in range(0, len(groups), _AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda part: _faults(part, smallest_side, hint, scale, size_of), parts)
        shown = track(answers, description="checking images", total=len(parts), disable=len(groups) < _WORTH_A_BAR)
        faults = [fault for _, fault in sorted(pair for part in shown for pair in part)]
    if faults:
        more = f"\n... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise InputError("\n".join(faults[:_SHOWN]) + more)


def _faults(groups: Sequence[tuple[Path, ...]], *options: Any) -> list[tuple[tuple[Path, ...], str]]:
    return [(group, fault) for group in groups if (fault := _fault(group, *options))]


def _fault(
    group: tuple[Path, ...], smallest_side: int, hint: str, scale: int, size_of: Callable[[Path], tuple[int, int]]
) -> str | None:
    try:
        sizes = [size_of(path) for path in group]
    except InputError as error:
        return str(error)
    if any((height // scale, width // scale) != sizes[0] for height, width in sizes[1:]):
        described = " and ".join(f"{path} is {h} x {w}" for path, (h, w) in zip(group, sizes, strict=True))
        expected = "a pair of equal size" if scale == 1 else f"the second {scale} times the size of the first"
        return f"{described}: expected {expected} (height x width)"
    height, width = sizes[0]
    if min(height, width) < smallest_side:
        return (
            f"{group[0]} is {height} x {width}: expected at least {smallest_side} on each side ({hint} {smallest_side})"
        )
    return None
