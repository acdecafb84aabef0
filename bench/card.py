"""Measures the default network for its model card, and draws the card's pictures: `make card ROOT=...`.

`python bench/card.py --data_file_dir ROOT`: `aio evaluate --benchmark card`, a degradation at a time, for the network
and for the classical methods, written into src/aio/shipped/README.md. A killed run goes on where it was, and the
classical methods are not computed again for other weights.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import torch
from PIL import Image

import aio
from aio import evaluate
from aio.data.degradations import DEGRADE, Degrade, defocus, haze, jpeg, motion_blur, rain
from aio.data.demo import demo_photos
from aio.data.pairs import to_tensor
from aio.data.seeding import name_seed, seeded
from aio.files import atomic_write, write_text
from aio.images import read_rgb
from aio.metrics import psnr
from aio.nets.base import RestorationNet
from aio.pictures import Panel, draw_sheet
from aio.shipped import DEFAULT, WEIGHTS, digest_file
from aio.vocabulary import Degradation

CARD: Final = WEIGHTS.with_name("README.md")
PICTURE: Final = Path(__file__).parents[1] / "docs" / "default.jpg"
MEASURED: Final = "measured"
# What is asked for at once -> the classical methods for it.
ROWS: Final[Mapping[str, Sequence[str]]] = {
    "denoise": ("nlm", "tv"),
    "derain": (),
    "dehaze": ("dcp",),
    "lowlight": ("gamma", "clahe"),
    "deblur": ("wiener",),
    "clean": (),
}
FAILURES: Final = PICTURE.with_name("default_failures.jpg")
_DRAWN: Final[tuple[Degradation, ...]] = ("denoise_25", "derain", "dehaze", "deblur", "lowlight")
_TOO_HARD: Final[Mapping[str, Degrade]] = {
    "31-pixel blur": partial(motion_blur, radius=(15, 15)),
    "heavy rain": partial(rain, density=(3, 3), brightness=(0.6, 0.6), layers=(2, 2)),
    "thick haze": partial(haze, beta=(3.5, 3.5)),
    "JPEG, quality 8": partial(jpeg, quality=(8, 8)),
    "out of focus": partial(defocus, radius=(5, 5)),
}
SIDE: Final = 256  # pixels of a panel


class Line(NamedTuple):
    """One row of the card's table: texts of scores, and the default network's seconds per image."""

    column: str
    images: int
    before: str
    classical: str
    after: str
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_file_dir", metavar="ROOT", type=Path, required=True)
    parser.add_argument("--save_dir", metavar="S", type=Path, default=Path("runs/card"))
    parser.add_argument("--processes", metavar="N", default="1")
    options = parser.parse_args()
    lines, commands = [], []
    for degradation, classical in ROWS.items():
        chosen = {weights_digest()[:12]: ["--checkpoint", DEFAULT]}
        if classical:
            chosen["classical"] = ["--baseline", *classical]
        folders = []
        for name, methods in chosen.items():
            words = ["--benchmark", "card", "--de_type", degradation, *methods]
            folders.append(options.save_dir / name / degradation)
            places = ["--data_file_dir", str(options.data_file_dir), "--save_dir", str(folders[-1])]
            evaluate.main([*words, *places, "--processes", options.processes])
            commands.append(shlex.join(["aio", "evaluate", *words, "--data_file_dir", "ROOT"]))
        lines += read_lines(folders, classical)
    write_block(CARD, MEASURED, measured(lines, commands))
    draw_pictures(aio.load())
    print("\n".join(map(str, (CARD, PICTURE, FAILURES))))


def read_lines(folders: Sequence[Path], classical: Sequence[str]) -> list[Line]:
    """What `aio evaluate` left in `folders`, column by column."""
    rows = []
    for folder in folders:
        with (folder / "images.csv").open(newline="") as file:
            rows += csv.DictReader(file)
    lines = []
    for column in dict.fromkeys(row["column"] for row in rows):
        by = {name: [r for r in rows if (r["method"], r["column"]) == (name, column)] for name in (DEFAULT, *classical)}
        ours = by[DEFAULT]
        others = "; ".join(f"{name} {scores(by[name])}" for name in classical)
        seconds = statistics.fmean(float(row["seconds"]) for row in ours)
        lines.append(Line(column, len(ours), scores(ours, "input_"), others, scores(ours), seconds))
    return lines


def scores(rows: Sequence[Mapping[str, str]], prefix: str = "") -> str:
    """PSNR / SSIM, means over the images."""
    means = [statistics.fmean(float(row[prefix + name]) for row in rows) for name in ("psnr", "ssim")]
    return f"{means[0]:.2f} / {means[1]:.4f}"


def measured(lines: Sequence[Line], commands: Sequence[str]) -> str:
    """The card's block: the table, of which weights it is, and how it was made."""
    cells = [(*line[:3], line.classical or "–", line.after, f"{line.seconds:.2f}") for line in lines]
    return "\n".join(
        [
            f"Weights of the SHA-256 `{weights_digest()}`.",
            "PSNR in dB / SSIM by the protocol `aio`: whole images, float RGB.",
            f"Seconds an image on this run's device, {torch.get_num_threads()} thread(s) of a CPU where it has no GPU.",
            "",
            "| set | images | input | classical | default network | seconds |",
            "| --- | ---: | ---: | --- | ---: | ---: |",
            *(f"| {' | '.join(map(str, row))} |" for row in cells),
            "",
            "```sh",
            *commands,
            "```",
        ]
    )


def weights_digest() -> str:
    """SHA-256 of the weights in the package, as it stands beside them."""
    return digest_file(WEIGHTS).read_text().split()[0]


def write_block(card: Path, name: str, text: str) -> None:
    """Puts `text` between the marks `<!-- begin NAME -->` and `<!-- end NAME -->` of the file `card`."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    head, _, rest = card.read_text().partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        raise ValueError(f"{card}: expected the marks {begin.strip()} and {end}")
    write_text(card, f"{head}{begin}{text.strip()}\n{end}{tail}")


def draw_pictures(net: RestorationNet) -> None:
    """What it is for, and what it is not up to."""
    for path, chosen in ((PICTURE, {task: DEGRADE[task] for task in _DRAWN}), (FAILURES, _TOO_HARD)):
        with atomic_write(path) as file:
            draw_examples(net, chosen).save(file, format="JPEG", quality=90)


def draw_examples(net: RestorationNet, chosen: Mapping[str, Degrade]) -> Image.Image:
    """scikit-image's photographs: a column per degradation; degraded, restored, as it was."""
    photos = [centre(to_tensor(read_rgb(path))) for path in demo_photos("val")]
    columns = [
        column(net, name, degrade, photos[number % len(photos)])
        for number, (name, degrade) in enumerate(chosen.items())
    ]
    return draw_sheet(list(zip(*columns, strict=True)))


def column(net: RestorationNet, name: str, degrade: Degrade, clean: torch.Tensor) -> list[Panel]:
    degraded = degrade(clean, seeded(0, name_seed(name)))
    restored = aio.restore(degraded, net)
    said = (f"{name}  {decibels(degraded, clean)}", f"restored  {decibels(restored, clean)}", "as it was")
    return [Panel(label, image) for label, image in zip(said, (degraded, restored, clean), strict=True)]


def decibels(image: torch.Tensor, clean: torch.Tensor) -> str:
    return f"{psnr(image[None], clean[None]).item():.1f} dB"


def centre(image: torch.Tensor) -> torch.Tensor:
    top, left = ((side - SIDE) // 2 for side in image.shape[-2:])
    return image[..., top : top + SIDE, left : left + SIDE]


if __name__ == "__main__":
    main()
