"""How many samples of an epoch each degradation gets: by weights, by counts, or by the sizes of the data sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from aio.data.mixture import largest_remainder
from aio.errors import InputError
from aio.vocabulary import Degradation, expand

_SAMPLES_PER_EPOCH: Final = 10_000


class Shares:
    """Checked options; `weights`, `counts` and `temperature` exclude each other.

    Args:
        tasks: the degradations of the training.
        samples_per_epoch: over all devices; by default what `counts` add up to, else 10,000.
        weights: share of a degradation, 1 where none is given; an alias' weight is shared by what it stands for.
        counts: samples of each degradation in an epoch; an alias' count is shared by what it stands for.
        temperature: T >= 1 of a share proportional to `size ** (1 / T)`: 1 is proportional to the number of images,
            infinity the same for all (temperature-scaled mixing: T5, Raffel et al. 2020, section 3.5.2).

    Attributes:
        samples_per_epoch: length of an epoch of all degradations.

    Raises:
        InputError: names the option, its value and what was expected.
    """

    def __init__(
        self,
        tasks: Sequence[Degradation],
        *,
        samples_per_epoch: int | None = None,
        weights: Mapping[str, float] | None = None,
        counts: Mapping[str, int] | None = None,
        temperature: float | None = None,
    ) -> None:
        _refuse_two(weights=weights or None, counts=counts or None, temperature=temperature)
        if temperature is not None and not temperature >= 1:
            raise InputError(f"--data.temperature {temperature}: expected a number of at least 1, or .inf")
        self.counts = _counts(tasks, counts) if counts else None
        self._weights = _weights(tasks, weights or {})
        self.temperature = temperature
        total = sum(self.counts.values()) if self.counts else samples_per_epoch or _SAMPLES_PER_EPOCH
        if samples_per_epoch not in (None, total):
            raise InputError(f"--samples_per_epoch {samples_per_epoch}: data.counts say {total}; give one of the two")
        self.samples_per_epoch = total

    def quotas(self, tasks: Sequence[Degradation], size: Callable[[Degradation], int]) -> dict[Degradation, int]:
        """Samples of each of `tasks` in an epoch of these alone.

        Args:
            tasks: some of those of the constructor.
            size: images of a degradation; asked for where there is a temperature.
        """
        if self.counts:
            return {task: self.counts[task] for task in tasks}
        if self.temperature is None:
            shares = [self._weights[task] for task in tasks]
        else:
            sizes = [size(task) for task in tasks]
            shares = [(n / max(sizes)) ** (1 / self.temperature) for n in sizes]
        if not sum(shares):
            raise InputError(f"data.weights: those of {', '.join(tasks)} are all 0, expected one above")
        quotas = largest_remainder(np.asarray(shares, dtype=np.float64), self.samples_per_epoch)
        return dict(zip(tasks, quotas.tolist(), strict=True))


def patch_size_per_task(
    tasks: Sequence[Degradation], patch_sizes: Mapping[str, int], *, scale: int
) -> dict[Degradation, int]:
    """Sides of the clean crops, in pixels; an alias' side is that of all it stands for.

    Raises:
        InputError: a degradation is none of `tasks`, or a side is no multiple of `scale`.
    """
    sides: dict[Degradation, int] = {}
    for name, side in patch_sizes.items():
        if side < 1 or side % scale:
            wanted = "a whole number of at least 1" if scale == 1 else f"a multiple of the scale {scale}"
            raise InputError(f"--data.patch_sizes: {side} for {name!r}, expected {wanted}")
        sides.update(dict.fromkeys(_of(tasks, name, side, "patch size"), side))
    return sides


def _refuse_two(**options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"--data.{given[0]} and --data.{given[1]}: each says how an epoch is shared; give one of them")


def _weights(tasks: Sequence[Degradation], weights: Mapping[str, float]) -> dict[Degradation, float]:
    shares = dict.fromkeys(tasks, 1.0)
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise InputError(f"weight {weight} for {name!r}: expected a number >= 0 for one of {', '.join(tasks)}")
        chosen = _of(tasks, name, weight, "weight")
        shares.update(dict.fromkeys(chosen, weight / len(chosen)))
    if not sum(shares.values()):
        raise InputError("every weight is 0: at least one degradation must be above")
    return shares


def _counts(tasks: Sequence[Degradation], counts: Mapping[str, int]) -> dict[Degradation, int]:
    numbers: dict[Degradation, int] = {}
    for name, count in counts.items():
        if count < 0:
            raise InputError(f"count {count} for {name!r}: expected a whole number >= 0 for one of {', '.join(tasks)}")
        chosen = _of(tasks, name, count, "count")
        shared = largest_remainder(np.ones(len(chosen)), count)
        numbers.update(zip(chosen, shared.tolist(), strict=True))
    if missing := [task for task in tasks if task not in numbers]:
        raise InputError(f"--data.counts: none for {', '.join(missing)}; expected one for each of {', '.join(tasks)}")
    if not sum(numbers.values()):
        raise InputError("every count is 0: at least one degradation must be above")
    return numbers


def _of(tasks: Sequence[Degradation], name: str, value: float, what: str) -> list[Degradation]:
    """What `name` stands for, which are to be some of `tasks`."""
    try:
        chosen = expand([name])
    except ValueError as error:
        raise InputError(f"{what} {value} for {name!r}: {error}") from error
    if not set(chosen) <= set(tasks):
        raise InputError(f"{what} {value} for {name!r}: expected a number for one of {', '.join(tasks)}")
    return chosen
