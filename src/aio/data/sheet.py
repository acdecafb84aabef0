"""`python -m aio.data sheet`: contact sheets of the degradations, a picture for each, to see what a net is to undo."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aio.errors import InputError
from aio.vocabulary import DEGRADATIONS, SCALES, Degradation, expand

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

STRENGTHS: Final = {"light": 0.0, "medium": 0.5, "strong": 1.0}
_SIZE: Final = (288, 360)  # height and width of what is shown of a photograph, at its own resolution
_GAP, _LINE, _FONT = 8, 20, 14  # pixels
_PAPER, _INK = "white", "black"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `sheet`."""
    parser.add_argument(
        "-o", "--out", metavar="DIR", type=Path, default=Path("sheets"), help="where to write; ./sheets"
    )
    parser.add_argument(
        "--de_type", metavar="T", nargs="+", default=list(DEGRADATIONS), help="degradations; default all"
    )
    parser.add_argument("--photo", metavar="P", type=Path, nargs="+", help="photographs; scikit-image's by default")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of all that is drawn")


def main(options: argparse.Namespace) -> int:
    """Writes the sheets and lists them.

    Raises:
        InputError: an unknown degradation, or a photograph that cannot be read.
    """
    try:
        tasks = expand(options.de_type)
    except ValueError as error:
        raise InputError(f"--de_type {' '.join(options.de_type)}: {error}") from error
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: expected a whole number of at least 0")
    for path in write_sheets(tasks, photos=options.photo, folder=options.out, seed=options.seed):
        sys.stdout.write(f"{path}\n")
    return 0


def write_sheets(
    tasks: Sequence[Degradation], *, photos: Sequence[Path] | None = None, folder: Path, seed: int = 0
) -> list[Path]:
    """Writes `TASK.png` below `folder` for each of `tasks` and returns their paths.

    A row is a photograph's centre; the columns are clean, light, medium and strong: the mild end, the middle and the
    harsh end of what the degradation draws from. Without `photos`, scikit-image's.

    Raises:
        InputError: a photograph cannot be read.
    """
    from rich.console import Console
    from rich.progress import track

    from aio.data.demo import demo_photos
    from aio.data.pairs import to_tensor
    from aio.files import atomic_write
    from aio.images import read_rgb

    names = photos if photos is not None else [*demo_photos("val"), *demo_photos("train")[:3:2]]
    cleans = {path.stem: _centre(to_tensor(read_rgb(path))) for path in names}
    written = []
    for task in track(tasks, description="drawing sheets", console=Console(stderr=True)):
        path = folder / f"{task}.png"
        with atomic_write(path) as file:
            draw_sheet(task, cleans, seed=seed).save(file, "PNG")
        written.append(path)
    return written


def draw_sheet(task: Degradation, cleans: dict[str, Tensor], *, seed: int = 0) -> Image.Image:
    """The sheet of one degradation; `cleans` are photographs `(3, H, W)` in [0, 1] by their names."""
    from PIL import Image, ImageDraw, ImageFont

    from aio.data.degradations import DEGRADE
    from aio.data.degradations.strength import strengths

    degrade = DEGRADE[task]
    height, width = (max(image.shape[axis] for image in cleans.values()) for axis in (1, 2))
    step_y, step_x = height + _LINE + _GAP, width + _GAP
    size = (_GAP + step_x * (1 + len(STRENGTHS)), 2 * _LINE + _GAP + step_y * len(cleans))
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    heads = ["clean", *(_heading(word, strengths(degrade, value)) for word, value in STRENGTHS.items())]
    for column, head in enumerate([f"{task}\n{heads[0]}", *(f"\n{head}" for head in heads[1:])]):
        pen.multiline_text((_GAP + column * step_x, 2), head, fill=_INK, font=font)
    for row, (name, clean) in enumerate(cleans.items()):
        top = 2 * _LINE + _GAP + row * step_y
        for column, (image, caption) in enumerate(_row(task, name, clean, seed)):
            left = _GAP + column * step_x
            sheet.paste(_picture(image), (left, top))
            pen.text((left, top + image.shape[1] + 1), caption, fill=_INK, font=font)
    return sheet


def _row(task: Degradation, name: str, clean: Tensor, seed: int) -> list[tuple[Tensor, str]]:
    """Images and captions from left to right; the same seed in all, so that strength alone makes the difference."""
    from aio.data.degradations import DEGRADE
    from aio.data.degradations.strength import at_strength
    from aio.data.seeding import name_seed, seeded

    scale = SCALES.get(task, 1)
    clean = clean[:, : clean.shape[1] // scale * scale, : clean.shape[2] // scale * scale]
    row = [(clean, name)]
    for strength in STRENGTHS.values():
        image = at_strength(DEGRADE[task], strength)(clean, seeded(seed, name_seed(name)))
        image = image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        row.append((image, f"{_psnr(image, clean):.1f} dB"))
    return row


def _psnr(image: Tensor, clean: Tensor) -> float:
    return -10 * float((image - clean).square().mean().clamp(min=1e-10).log10())


def _heading(word: str, values: dict[str, float]) -> str:
    return ": ".join([word, *([", ".join(f"{name} {value:.2g}" for name, value in values.items())] if values else [])])


def _centre(image: Tensor) -> Tensor:
    top, left = (max(0, (side - shown) // 2) for side, shown in zip(image.shape[1:], _SIZE, strict=True))
    return image[:, top : top + _SIZE[0], left : left + _SIZE[1]]


def _picture(image: Tensor) -> Image.Image:
    from PIL import Image

    return Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
