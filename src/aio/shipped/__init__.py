"""The default network's weights, which come with the package; `README.md` beside them is their model card.

`default.sha256` is a line of `sha256sum`: what the file of weights held when it was put here (`make weights`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from aio.errors import InputError

DEFAULT: Final = "default"
WEIGHTS: Final = Path(__file__).with_name("default.safetensors")


def locate(checkpoint: str | Path) -> Path:
    """The path that `checkpoint` stands for: that of the weights in the package, for the word `default`.

    A file or folder of that name in the working directory is reached by its whole path.
    """
    return WEIGHTS if str(checkpoint) == DEFAULT else Path(checkpoint)


def check_shipped(path: Path) -> None:
    """Looks whether `path`, if it is the file in the package, holds what was put there.

    Raises:
        InputError: it does not, or it is missing.
    """
    if path != WEIGHTS:
        return
    digest = digest_file(path)
    if not path.is_file() or not digest.is_file():
        raise InputError(f"{path}: the default network's weights are missing; install the package again")
    expected = digest.read_text().split()[0]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise InputError(f"{path}: damaged, its SHA-256 is {found}, expected {expected}; install the package again")


def digest_file(weights: Path) -> Path:
    """The file beside `weights` that says their SHA-256."""
    return weights.with_suffix(".sha256")
