"""Checkpoints in, safely: nothing in a file is executed; what it holds is checked before it reaches a net."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from aio.adapters import AdaptedNet, add_adapters, load_adapters, read_plan
from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.nets.building import build_net, check_fit, fill
from aio.nets.deployable import read_header, write_deployable
from aio.nets.folder import CONFIG, WEIGHTS, check_finite, damaged, first_line, read_config, read_weights
from aio.presets import describe, net_preset
from aio.recognise import preset_of, recognise
from aio.shipped import check_shipped, locate

_WRAPPERS: Final = ("state_dict", "params_ema", "params", "net")
_PREFIXES: Final = ("module.", "net.")
UNSTATED: Final = "not stated"
# All that was seen when single bits of a checkpoint were turned.
_DAMAGE: Final = (
    *(RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError),
    *(AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error),
)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """All a `.ckpt`, `.pth`, `.pt` or `.safetensors` file holds, or the folder of a run or of `save_pretrained`.

    The word `default` is the file of weights in the package. Nothing is executed.

    Raises:
        InputError: missing, cut off, no checkpoint, or holding more than plain data.
    """
    path = locate(path)
    check_shipped(path)
    if path.is_dir() and not (path / CONFIG).exists() and (path / WEIGHTS).is_file():
        path = path / WEIGHTS  # of a run
    if path.is_dir():
        named = {"net": read_config(path)}
        return {"state_dict": read_weights(path / WEIGHTS), "hyper_parameters": named}
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a checkpoint (.ckpt, .pth, .safetensors) or a net's folder")
    if path.suffix == ".safetensors":
        return {"state_dict": read_weights(path), "hyper_parameters": read_header(path)}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, it holds {_refused(error)}") from error
    except _DAMAGE as error:
        raise damaged(path, error) from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a dictionary of weights, but it holds a {type(content).__name__}")
    return content


def state_dict_of(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Tensor]:
    """The net's weights in `checkpoint`, out of the wrappers and prefixes of the field's releases.

    Raises:
        InputError: there are none, or some are not finite.
    """
    state = checkpoint
    for wrapper in _WRAPPERS:
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    for prefix in _PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: holds no weights; expected them at the top or under {', '.join(_WRAPPERS)}")
    check_finite(state, path)
    return state


def load_weights(net: RestorationNet, path: str | Path) -> None:
    """Fills `net` with the weights in `path`, every one of them.

    Raises:
        InputError: the file cannot be read or belongs to another network (the message names the first difference).
    """
    fill(net, state_dict_of(read_checkpoint(path), path), path)


def check_weights(net: RestorationNet, path: str | Path) -> None:
    """Raises InputError where `load_weights` would; leaves `net` as it is."""
    check_fit(net, state_dict_of(read_checkpoint(path), path), path)


def start_from(net: RestorationNet, path: str | Path) -> RestorationNet:
    """`net` with the weights in `path`, and with the adapters that it holds.

    Raises:
        InputError: as `load_weights`.
    """
    content = read_checkpoint(path)
    started = _with_adapters(net, content, path)
    fill(started, state_dict_of(content, path), path)
    return started


def open_net(checkpoint: str | Path, model: str | None = None, adapters: Sequence[str | Path] = ()) -> RestorationNet:
    """The net in `checkpoint` with its weights, in eval mode.

    Which net it is, says `model` (a preset or YAML file), else the checkpoint if it is one of this package, else its
    keys and shapes, as with the official releases. It has the adapters in the checkpoint and in the files `adapters`.

    Raises:
        InputError: a file cannot be read, is of no known net, or does not fit `model` or the checkpoint.
    """
    content = read_checkpoint(checkpoint)
    state = state_dict_of(content, checkpoint)
    if model is not None:
        net = build_net(net_preset(model), model)
    else:
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        net = build_net(_named_net(content) or recognise(shapes, checkpoint), checkpoint)
    net = _with_adapters(net, content, checkpoint)
    fill(net, state, checkpoint)
    for path in adapters:
        net = load_adapters(net, path)
    return net.eval()


def deploy(
    net: RestorationNet, path: str | Path, *, tasks: Sequence[str], about: Mapping[str, str], half: bool = False
) -> None:
    """Writes `net` with its adapters to one `.safetensors` file, which `open_net` opens with no more words.

    Args:
        net: as it is to run.
        path: the file, written whole or not at all.
        tasks: names of the degradations that it is for.
        about: what its header says besides preset, paper and source: licence, how it was trained.
        half: keeps float16 of the weights.

    Raises:
        InputError: weights are not finite.
    """
    plan = net.plan if isinstance(net, AdaptedNet) else {}
    adapters: dict[str, dict[str, float]] = {
        name: {"rank": lora.rank, "alpha": lora.alpha} for name, lora in plan.items()
    }
    about = describe_net(net) | dict(about)
    write_deployable(net, path, tasks=tasks, about=about, adapters=adapters, half=half)


def describe_net(net: RestorationNet) -> dict[str, str]:
    """Preset, paper and source of `net`, adapted or not; nothing for sizes of which there is no preset."""
    preset = preset_of(net.config)
    if preset is None:
        return {}
    header = describe(preset)
    return {"preset": preset, "paper": header.paper, "source": header.source}


def place(net: RestorationNet, device: str) -> RestorationNet:
    """`net` on `device`; `auto` is the first GPU where there is one, else the CPU.

    Raises:
        InputError: there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return net.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise InputError(f"--device {device}: cannot be used here ({first_line(error)})") from error


def require_images(net: RestorationNet, scale: int, *, views: bool = False) -> None:
    """Raises InputError unless `net` restores gray or colour images, as the data are, at `scale` times their size.

    With `views` it restores a colour image from both views of a dual-pixel camera, which are six channels.
    """
    name, channels = type(net).__name__, (net.in_channels, net.out_channels)
    if channels not in ([(6, 3)] if views else [(1, 1), (3, 3)]):
        expected = "both views of a dual-pixel camera" if views else "gray or colour images"
        raise InputError(f"{name} takes {channels[0]} channels and gives {channels[1]}: expected {expected}")
    if net.scale != scale:
        does = "keeps the size" if net.scale == 1 else f"enlarges {net.scale} times (--de_type sr_x{net.scale})"
        raise InputError(f"{name} {does}, but the clean images are {scale} times the size of the degraded ones")


def _named_net(checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """The net which a checkpoint of this package names."""
    named = checkpoint.get("hyper_parameters")
    config = named.get("net") if isinstance(named, dict) else None
    return config if isinstance(config, dict) else None


def _with_adapters(net: RestorationNet, checkpoint: dict[str, Any], path: str | Path) -> RestorationNet:
    """`net` with room for the adapters which a checkpoint of this package holds."""
    named = checkpoint.get("hyper_parameters")
    plan = read_plan(named["adapters"], path) if isinstance(named, dict) and "adapters" in named else {}
    return add_adapters(net, plan) if plan else net


def _refused(error: pickle.UnpicklingError) -> str:
    """What torch met; its own message advises to execute it."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f"{found[1]}, which is no weight and no plain data" if found else "more than weights and plain data"
