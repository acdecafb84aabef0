"""Degradations on the device of the net: the loader ships crops as their files hold them, and a seed for each.

A sample is then degraded by the same function from the same seed as in the loader: on one kind of device it has the
same bytes for any number of workers and ranks, and on the CPU those that the loader gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict, cast

import torch
from torch import Tensor
from torch.utils.data import default_collate

from aio.data.degradations import Degrade
from aio.data.pairs import to_unit


class Undegraded(TypedDict):
    """A sample before its degradation: crops `(3, H, W)` of uint8 or uint16.

    `degraded` is None where the degradation of `source`, by its position, is to make it, from `seed`.
    """

    degraded: Tensor | None
    clean: Tensor
    task: int
    name: str
    source: int
    seed: int
    bad: NotRequired[str]


_OWN: Final = ("degraded", "clean", "source", "seed")


def collate(samples: Sequence[Undegraded]) -> dict[str, Any]:
    """A batch to be shipped: clean crops stacked, of degraded ones those which are files alone, None without any.

    What only the host reads stays in lists: to read it from the device would wait for the step before.
    """
    pairs = [sample["degraded"] for sample in samples if sample["degraded"] is not None]
    return {
        **default_collate([{key: value for key, value in sample.items() if key not in _OWN} for sample in samples]),
        "degraded": _stack(pairs) if pairs else None,
        "clean": _stack([sample["clean"] for sample in samples]),
        "source": [sample["source"] if sample["degraded"] is None else None for sample in samples],
        "seed": [sample["seed"] for sample in samples],
    }


def degrade_batch(batch: Mapping[str, Any], degrades: Sequence[Degrade | None]) -> dict[str, Any]:
    """The batch as the loader would have given it, from one that `collate` made; each sample by its own seed.

    `degrades` are those of the sources, None where both images are files.
    """
    clean = _unit(batch["clean"])
    pairs = iter(()) if batch["degraded"] is None else iter(_unit(batch["degraded"]))
    generator = torch.Generator(clean.device)
    # Convolutions of lower precision, or chosen anew in each process, would change the bytes.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        degraded = [
            next(pairs) if source is None else cast(Degrade, degrades[source])(image, generator.manual_seed(seed))
            for source, seed, image in zip(batch["source"], batch["seed"], clean, strict=True)
        ]
    kept = {key: value for key, value in batch.items() if key not in _OWN}
    return {"degraded": torch.stack(degraded), "clean": clean, **kept}


def _stack(images: Sequence[Tensor]) -> Tensor:
    """Whole numbers where all are of one kind, else float32 in [0, 1]."""
    kinds = {image.dtype for image in images}
    return torch.stack(list(images) if kinds == {torch.uint8} else [to_unit(image) for image in images])


def _unit(images: Tensor) -> Tensor:
    return images if images.is_floating_point() else to_unit(images)
