"""A net's folder on the disk, in the form of the Hugging Face Hub: `config.json` and `model.safetensors`.

Nothing in it is executed; what it holds is checked before a net is built.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from aio.errors import InputError
from aio.files import atomic_write, write_text

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
CARD: Final = "README.md"
# All that was seen when single bytes of a safetensors file were changed.
DAMAGE: Final = (SafetensorError, OSError, ValueError, RuntimeError, LookupError, AttributeError, MemoryError)


def write_folder(folder: Path, config: dict[str, Any], state: dict[str, Tensor], card: str) -> None:
    """Makes `folder`, or replaces the net in it; a model card that is there stays. On failure all is as it was.

    Raises:
        InputError: `config` holds more than plain types, or weights are not finite.
    """
    check_finite(state, folder / WEIGHTS)
    weights = save({key: value.detach().contiguous() for key, value in state.items()}, {"format": "pt"})
    with _no_trace(folder), atomic_write(folder / CONFIG) as file:
        file.write(_as_json(config, folder / CONFIG))
        file.flush()
        os.fsync(file.fileno())  # nothing can hinder its renaming once the weights are in their place
        if not (folder / CARD).exists():
            write_text(folder / CARD, card)
        with atomic_write(folder / WEIGHTS) as large:
            large.write(weights)


def read_config(folder: Path) -> dict[str, Any]:
    """`{"class_path": ..., "init_args": ...}` of the net in `folder`.

    Raises:
        InputError: `config.json` is missing or says no such thing.
    """
    path = _expected(folder / CONFIG)
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({first_line(error)})") from error
    if isinstance(content, dict) and isinstance(content.get("class_path"), str):
        arguments = content.get("init_args", {})
        if isinstance(arguments, dict):
            return {"class_path": content["class_path"], "init_args": arguments}
    raise InputError(f"{path}: expected class_path and init_args of a network")


def read_weights(path: Path) -> dict[str, Tensor]:
    """What a `.safetensors` file holds, on the CPU.

    Raises:
        InputError: it is missing or not whole.
    """
    _expected(path)
    try:
        return load_file(path)
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: str | Path, error: Exception) -> InputError:
    """What to raise when `error` ended the reading of a checkpoint."""
    return InputError(f"{path}: not a whole checkpoint ({first_line(error)})")


def check_finite(state: dict[str, Tensor], path: str | Path, why: str = "these weights are broken") -> None:
    """Raises InputError, naming the first of them and `why`, when weights are not finite."""
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{path}: {key} holds NaN or infinity: {why}")


def first_line(error: Exception) -> str:
    """What `error` says, in one line."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _expected(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a network's {CONFIG} and {WEIGHTS} in this folder")
    return path


def _as_json(config: dict[str, Any], path: Path) -> bytes:
    try:
        return json.dumps(config, indent=2, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: an argument of this net is of no plain type ({first_line(error)})") from error


@contextmanager
def _no_trace(folder: Path) -> Iterator[None]:
    """When the block fails, what it has added is taken away: folders, and the model card."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    had_card = (folder / CARD).exists()
    try:
        yield
    except BaseException:
        if not had_card:
            (folder / CARD).unlink(missing_ok=True)
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise
