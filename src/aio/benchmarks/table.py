"""What a benchmark is: its columns, the protocol each is measured by, and what others scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from aio.vocabulary import Degradation

Trainset = Literal["demo", "paired", "mixed"]
_ABSENT: Final = "-"


@dataclass(frozen=True)
class Column:
    """One test set.

    Attributes:
        name: in tables, as papers write it.
        task: its degradation.
        where: a regular expression that the lower-case path of its images meets. Where no image of the task does and
            no other column has the same task, all of them belong to it.
        images: how many there should be; 0 where nobody says.
        protocol: where it is not the benchmark's own.
        synthesised: degraded on the way, from clean photographs.
        restormer_noise: of Restormer's tables: float noise, the same for each image of one size.
        gray: that noise falls on the luma.
        views: of both views of a dual-pixel camera, for nets of six input channels.
        positions: a file beside the folders of its images, of the positions (from 1) that belong to it (NumPy).
        blocks: in SIDD's MATLAB files.
    """

    name: str
    task: Degradation
    where: str = ""
    images: int = 0
    protocol: str | None = None
    synthesised: bool = False
    restormer_noise: bool = False
    gray: bool = False
    views: bool = False
    positions: str | None = None
    blocks: bool = False


@dataclass(frozen=True)
class Published:
    """What a paper reports, column by column; None where it does not."""

    psnr: tuple[float | None, ...]
    ssim: tuple[float | None, ...]
    source: str


@dataclass(frozen=True)
class Benchmark:
    """A table of the field.

    Attributes:
        sets: the test sets, for people.
        protocol: of PSNR and SSIM, see `aio.metrics.PROTOCOLS`.
        published: method -> what it scored. Rows of models that are told the degradation are left out.
        trainset: where the images come from: `paired` wants pairs, `mixed` degrades clean photographs where there are
            none, `demo` has its own.
        measures: besides PSNR and SSIM, see `aio.metrics.measures`.
        mean: whether papers give the mean over its columns.
    """

    name: str
    sets: str
    protocol: str
    columns: tuple[Column, ...]
    published: dict[str, Published] = field(default_factory=dict)
    trainset: Trainset = "paired"
    measures: tuple[str, ...] = ()
    mean: bool = True

    def __post_init__(self) -> None:
        for method, row in self.published.items():
            if not len(row.psnr) == len(row.ssim) == len(self.columns):
                raise ValueError(f"{self.name}: the row of {method} has not {len(self.columns)} columns")


def published(text: str) -> dict[str, Published]:
    """Rows of the form `method | 27.94/.962 34.90/- - | source`: PSNR/SSIM per column, `-` for what is not said."""
    rows = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        method, scores, source = (part.strip() for part in line.split("|"))
        pairs = [(score + f"/{_ABSENT}").split("/")[:2] for score in scores.split()]
        psnr, ssim = (tuple(None if x == _ABSENT else float(x) for x in side) for side in zip(*pairs, strict=True))
        rows[method] = Published(psnr, ssim, source)
    return rows
