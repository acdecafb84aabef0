"""Nets from what files say: `{"class_path": ..., "init_args": ...}`, and weights which must fit them exactly."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.nets.folder import first_line

_NETS: Final = "aio.nets."
# All that arguments of a wrong type, number or size were seen to raise in a constructor.
_MISFIT: Final = (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError, AttributeError)


def net_class(config: dict[str, Any], source: str | Path) -> type[RestorationNet]:
    """The class that `config` names; nothing outside of `aio.nets` is imported.

    Raises:
        InputError: naming `source`, when it is none of `aio.nets`.
    """
    class_path = str(config.get("class_path", ""))
    module, _, name = class_path.rpartition(".")
    if not module.startswith(_NETS):
        raise InputError(f"{source}: refused to build {class_path!r}: expected a net of {_NETS.rstrip('.')}")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise InputError(f"{source}: there is no net {class_path!r}") from error
    if not (isinstance(found, type) and issubclass(found, RestorationNet)):
        raise InputError(f"{source}: {class_path!r} is not a restoration net")
    return found


def build_net(config: dict[str, Any], source: str | Path) -> RestorationNet:
    """A net from `{"class_path": ..., "init_args": ...}`, as presets, checkpoints and folders store it.

    Raises:
        InputError: naming `source`, when the class is none of `aio.nets` or its arguments do not fit.
    """
    found = net_class(config, source)
    try:
        return found(**config.get("init_args", {}))
    except _MISFIT as error:
        raise InputError(f"{source}: cannot build {found.__name__}: {first_line(error)}") from error


def fill(net: RestorationNet, state: dict[str, Tensor], path: str | Path) -> None:
    """Gives `net` the weights `state`, every one of them; raises InputError where `check_fit` would."""
    check_fit(net, state, path)
    net.load_state_dict(state)


def check_fit(net: RestorationNet, state: dict[str, Tensor], path: str | Path) -> None:
    """Raises InputError, naming the first difference, unless `state` has exactly the keys and shapes of `net`."""
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
