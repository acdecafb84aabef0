"""How photographs are to be restored, as plain data: the choices that change a result, and how it is computed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Tile = int | Literal["auto", "none"]
Batch = int | Literal["auto"]


@dataclass(frozen=True)
class Settings:
    """One choice for every photograph of a job.

    Attributes:
        task: id of the degradation, for nets that use it; None leaves it to the net.
        tile: side of a tile in pixels; `none` takes the photograph whole; `auto` goes by the memory at hand.
        strength: 0..1; the result is `strength * restored + (1 - strength) * input`.
        tta: restores the eight turned and mirrored forms of each tile and takes their mean (self-ensemble).
        batch: tiles side by side that go through the net together, at most; `auto` is one for each of its copies
            (`aio.inference.replicas`), and on a GPU as many small ones as fill it. Results differ by rounding alone.
    """

    task: int | None = None
    tile: Tile = "auto"
    strength: float = 1.0
    tta: bool = False
    batch: Batch = "auto"

    @property
    def decisive(self) -> dict[str, Any]:
        """The choices that change a result."""
        return {name: value for name, value in asdict(self).items() if name != "batch"}
