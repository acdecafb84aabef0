"""A net as one `.safetensors` file: its weights, and a header that says which net they are of and what it is for.

Nothing in it is executed; the header is plain JSON of bounded size, checked before a net is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open
from safetensors.torch import save

from aio.errors import InputError
from aio.files import atomic_write
from aio.nets.base import RestorationNet
from aio.nets.folder import DAMAGE, check_finite, damaged, first_line

_ENTRY: Final = "aio_net"
_LARGEST: Final = 1 << 20  # bytes of the header's entry; ours take about a thousand


def write_deployable(
    net: RestorationNet,
    path: str | Path,
    *,
    tasks: Sequence[str],
    about: Mapping[str, str],
    adapters: Mapping[str, Mapping[str, float]] | None = None,
    half: bool = False,
) -> None:
    """Writes `net`, whole or not at all, to a file that `aio.load` opens as it is.

    Args:
        net: with the weights to keep, in any precision.
        path: a `.safetensors` file.
        tasks: names of the degradations that it is for; empty where nothing is known.
        about: what a reader of the header may want to know: preset, paper, source, licence.
        adapters: rank and alpha by degradation, when `net` has adapters.
        half: keeps float16 of the weights, in half the bytes; a net that is opened from them computes in float32.

    Raises:
        InputError: weights are not finite, or the arguments of the net are of no plain type.
    """
    said: dict[str, Any] = {"net": net.config, "tasks": list(tasks), "about": dict(about)}
    if adapters:
        said["adapters"] = {name: dict(fields) for name, fields in adapters.items()}
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    check_finite(state, path)
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        check_finite(state, path, why="beyond the range of float16")
    try:
        entry = json.dumps(said, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: an argument of this net is of no plain type ({first_line(error)})") from error
    with atomic_write(path) as file:
        file.write(save(state, {"format": "pt", _ENTRY: entry}))


def read_header(path: str | Path) -> dict[str, Any]:
    """What `write_deployable` said in `path`: `net`, `tasks`, `about` and, where there are some, `adapters`.

    Empty for a `.safetensors` file without such a header.

    Raises:
        InputError: the file is damaged, or the header is too long or of another form.
    """
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(_ENTRY)
        if entry is None:
            return {}
        said = json.loads(entry) if len(entry) <= _LARGEST else None
    except (*DAMAGE, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(said, dict) or not all(isinstance(said.get(name), kind) for name, kind in _FORM.items()):
        raise InputError(f"{path}: its header {_ENTRY} is of another form than `aio export` writes")
    if not all(isinstance(word, str) for word in (*said["tasks"], *said["about"].values())):
        raise InputError(f"{path}: its header {_ENTRY} holds tasks or descriptions that are no text")
    arguments = said["net"].get("init_args", {})
    if not isinstance(said["net"].get("class_path"), str) or not isinstance(arguments, dict):
        raise InputError(f"{path}: its header {_ENTRY} names no class_path and init_args of a network")
    return said


_FORM: Final = {"net": dict, "tasks": list, "about": dict}
