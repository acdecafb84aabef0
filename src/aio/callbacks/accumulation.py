"""Batches gathered to one optimiser step, so that it is of as many samples on any number of devices; and its rate."""

from __future__ import annotations

import math
from typing import Literal

from aio.errors import InputError

Scaling = Literal["none", "linear", "sqrt"]


def batches_per_step(effective: int, *, batch_size: int, devices: int, what: str) -> int:
    """How many batches of `batch_size` on each of `devices` make up `effective` samples.

    Raises:
        InputError: no whole number of them does; names the nearest samples that they make up. Starts with `what`.
    """
    at_once = batch_size * devices
    if effective % at_once == 0:
        return effective // at_once
    below = effective // at_once * at_once
    nearest = f"{below} or {below + at_once}" if below else f"{at_once}, or smaller batches"
    raise InputError(
        f"{what} effective batch {effective} is no multiple of {at_once} (batches of {batch_size} on {devices} "
        f"device(s)): expected {nearest}"
    )


def scaled_rate(lr: float, rule: Scaling, *, samples: int, base: int | None) -> float:
    """The learning rate for steps of `samples`, where `lr` is meant for steps of `base`.

    `linear` as Goyal et al., Accurate, Large Minibatch SGD, 2017; `sqrt` as Malladi et al., NeurIPS 2022, for Adam.

    Raises:
        InputError: `base` is missing or below 1.
    """
    if rule == "none":
        return lr
    if base is None or base < 1:
        raise InputError(f"--scale_lr {rule}: say by --base_batch for how many samples per step --lr {lr} is meant")
    ratio = samples / base
    return lr * (ratio if rule == "linear" else math.sqrt(ratio))
