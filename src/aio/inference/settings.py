"""How photographs are to be restored: the choices that change a result, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tile = int | Literal["auto", "none"]


@dataclass(frozen=True)
class Settings:
    """One choice for every photograph of a job.

    Attributes:
        task: id of the degradation, for nets that use it; None leaves it to the net.
        tile: side of a tile in pixels; `none` takes the photograph whole; `auto` goes by the memory at hand.
        strength: 0..1; the result is `strength * restored + (1 - strength) * input`.
        tta: restores the eight turned and mirrored forms of each tile and takes their mean (self-ensemble).
    """

    task: int | None = None
    tile: Tile = "auto"
    strength: float = 1.0
    tta: bool = False
