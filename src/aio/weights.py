"""Checkpoints in, safely: nothing in a file is executed; what it holds is checked before it reaches a net."""

from __future__ import annotations

import pickle
import re
import struct
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.presets import net_preset
from aio.recognise import recognise

_WRAPPERS: Final = ("state_dict", "params_ema", "params", "net")
_PREFIXES: Final = ("module.", "net.")
_NETS: Final = "aio.nets."
# All that was seen when single bits of a checkpoint were turned.
_DAMAGE: Final = (
    *(RuntimeError, EOFError, OSError, SafetensorError, ValueError, LookupError, TypeError),
    *(AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error),
)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """All a `.ckpt`, `.pth`, `.pt` or `.safetensors` file holds, read without executing anything.

    Raises:
        InputError: missing, cut off, no checkpoint, or holding more than plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a checkpoint (.ckpt, .pth, .safetensors)")
    try:
        if path.suffix == ".safetensors":
            return {"state_dict": load_file(path)}
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, it holds {_refused(error)}") from error
    except _DAMAGE as error:
        raise InputError(f"{path}: not a whole checkpoint ({_first_line(error)})") from error
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
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{path}: {key} holds NaN or infinity: these weights are broken")
    return state


def load_weights(net: RestorationNet, path: str | Path) -> None:
    """Fills `net` with the weights in `path`, every one of them.

    Raises:
        InputError: the file cannot be read or belongs to another network (the message names the first difference).
    """
    _fill(net, state_dict_of(read_checkpoint(path), path), path)


def check_weights(net: RestorationNet, path: str | Path) -> None:
    """Raises InputError where `load_weights` would; leaves `net` as it is."""
    _compare(net, state_dict_of(read_checkpoint(path), path), path)


def open_net(checkpoint: str | Path, model: str | None = None) -> RestorationNet:
    """The net in `checkpoint` with its weights, in eval mode.

    Which net it is, says `model` (a preset or YAML file), else the checkpoint if it is one of this package, else its
    keys and shapes, as with the official releases.

    Raises:
        InputError: the file cannot be read, is of no known net, or does not fit `model`.
    """
    content = read_checkpoint(checkpoint)
    state = state_dict_of(content, checkpoint)
    if model is not None:
        net = build_net(net_preset(model), model)
    else:
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        net = build_net(_named_net(content) or recognise(shapes, checkpoint), checkpoint)
    _fill(net, state, checkpoint)
    return net.eval()


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
        raise InputError(f"--device {device}: cannot be used here ({_first_line(error)})") from error


def require_rgb(net: RestorationNet) -> None:
    """Raises InputError unless `net` restores colour images at their own size, as the data and benchmarks here are."""
    if (net.in_channels, net.out_channels, net.scale) != (3, 3, 1):
        raise InputError(
            f"{type(net).__name__} takes {net.in_channels} channels and gives {net.out_channels} at {net.scale} times "
            "the size: expected a network for colour images at their own size"
        )


def _named_net(checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """The net which a checkpoint of this package names."""
    named = checkpoint.get("hyper_parameters")
    config = named.get("net") if isinstance(named, dict) else None
    return config if isinstance(config, dict) else None


def build_net(config: dict[str, Any], source: str | Path) -> RestorationNet:
    """A net from `{"class_path": ..., "init_args": ...}`, as presets and checkpoints store it.

    Raises:
        InputError: naming `source`, when the class is none of `aio.nets` or its arguments do not fit.
    """
    class_path = str(config.get("class_path", ""))
    module, _, name = class_path.rpartition(".")
    if not module.startswith(_NETS):
        raise InputError(f"{source}: refused to build {class_path!r}: expected a net of {_NETS.rstrip('.')}")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{source}: there is no net {class_path!r}") from error
    if not (isinstance(found, type) and issubclass(found, RestorationNet)):
        raise InputError(f"{source}: {class_path!r} is not a restoration net")
    try:
        return found(**config.get("init_args", {}))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{source}: cannot build {name}: {_first_line(error)}") from error


def _fill(net: RestorationNet, state: dict[str, Tensor], path: str | Path) -> None:
    _compare(net, state, path)
    net.load_state_dict(state)


def _compare(net: RestorationNet, state: dict[str, Tensor], path: str | Path) -> None:
    wanted, name = net.state_dict(), type(net).__name__
    for key in wanted:
        if key not in state:
            raise InputError(f"{path}: not the weights of this {name}: {key} is missing")
        if state[key].shape != wanted[key].shape:
            shapes = f"{tuple(state[key].shape)}, expected {tuple(wanted[key].shape)}"
            raise InputError(f"{path}: not the weights of this {name}: {key} has shape {shapes}")
    surplus = next((key for key in state if key not in wanted), None)
    if surplus is not None:
        raise InputError(f"{path}: not the weights of this {name}: {surplus} has no place in it")


def _refused(error: pickle.UnpicklingError) -> str:
    """What torch met; its own message advises to execute it."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f"{found[1]}, which is no weight and no plain data" if found else "more than weights and plain data"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
