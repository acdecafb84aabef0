"""Adapters alone in a `.safetensors` file: their weights, rank and alpha, and which base they belong to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from aio.adapters.lowrank import Adapter, Plan, adapted_weights, read_plan
from aio.adapters.net import AdaptedNet
from aio.errors import InputError
from aio.files import atomic_write
from aio.nets.base import RestorationNet

_ENTRY: Final = "aio_adapters"
# All that was seen when a file was cut off or its bytes were turned.
_DAMAGE: Final = (SafetensorError, OSError, ValueError, RuntimeError, LookupError, TypeError, MemoryError)


class _Content(NamedTuple):
    """What a file of adapters says, and its tensors by name."""

    net: str
    fingerprint: str
    plan: Plan
    tensors: dict[str, Tensor]


def fingerprint(net: RestorationNet) -> str:
    """SHA-256 over names, types, shapes and values of the weights and buffers of `net`, but for its adapters."""
    adapted = isinstance(net, AdaptedNet)
    digest = hashlib.sha256()
    for key, value in sorted(net.state_dict().items()):
        if not (adapted and key.startswith("adapters.")):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_adapters(net: AdaptedNet, path: str | Path) -> None:
    """Writes all adapters of `net`: tensors `DEGRADATION.LAYER.A` and `.B`, and what they are as metadata."""
    said = {
        "net": net.config,
        "fingerprint": fingerprint(net),
        "adapters": {name: {"rank": lora.rank, "alpha": lora.alpha} for name, lora in net.plan.items()},
    }
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, adapter in net.adapters.items()
        for key, value in _by_layer(adapter).items()
    }
    with atomic_write(path) as file:
        file.write(save(tensors, metadata={_ENTRY: json.dumps(said)}))


def load_adapters(net: RestorationNet, path: str | Path) -> AdaptedNet:
    """`net` with the adapters in `path` beside those that it has.

    Raises:
        InputError: the file cannot be read, belongs to another base, is not what it says, or holds an adapter for a
            degradation that has one; `net` is then as it was.
    """
    content = _read(Path(path))
    base = net.base if isinstance(net, AdaptedNet) else net
    if content.net != type(base).__name__:
        raise InputError(f"{path}: holds adapters of a {content.net}, but this network is a {type(base).__name__}")
    ours = fingerprint(net)
    if content.fingerprint != ours:
        raise InputError(
            f"{path}: holds adapters of other weights of {content.net} (fingerprint {content.fingerprint[:12]}) than "
            f"these ({ours[:12]}): an adapter fits the one checkpoint that it was trained from"
        )
    adapters = _adapters(base, content, path)
    twice = [name for name in adapters if isinstance(net, AdaptedNet) and name in net.adapters]
    if twice:
        raise InputError(f"{path}: the network has an adapter for {twice[0]} already")
    adapted = net if isinstance(net, AdaptedNet) else AdaptedNet(base=base)
    for name, adapter in adapters.items():
        adapted.attach(name, adapter)
    return adapted


def _adapters(base: RestorationNet, content: _Content, path: str | Path) -> dict[Any, Adapter]:
    weights = {name: weight.detach() for name, weight in adapted_weights(base).items()}
    adapters = {name: Adapter(weights, lora) for name, lora in content.plan.items()}
    places = {f"{name}.{key}": value for name, each in adapters.items() for key, value in _by_layer(each).items()}
    for key, place in places.items():
        if key not in content.tensors:
            raise InputError(f"{path}: {key} is missing")
        value, rank = content.tensors[key], content.plan[key.partition(".")[0]].rank  # type: ignore[index]
        if value.shape != place.shape:
            shapes = f"{tuple(value.shape)}, expected {tuple(place.shape)}"
            raise InputError(f"{path}: {key} has shape {shapes} for rank {rank}")
        if not value.isfinite().all():
            raise InputError(f"{path}: {key} holds NaN or infinity: these weights are broken")
        place.data.copy_(value)
    surplus = next((key for key in content.tensors if key not in places), None)
    if surplus is not None:
        raise InputError(f"{path}: {surplus} belongs to no adapter that the file names")
    return adapters


def _by_layer(adapter: nn.Module) -> dict[str, Tensor]:
    """Its tensors under names as those of the base: `encoder.0.qkv.A`."""
    return {key.replace("/", "."): value for key, value in adapter.named_parameters()}


def _read(path: Path) -> _Content:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected adapters (.safetensors)")
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {}).get(_ENTRY, "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no dictionary
    except _DAMAGE as error:
        raise InputError(f"{path}: not a whole file of adapters ({error})") from error
    if not isinstance(said, dict) or not isinstance(said.get("net"), dict):
        raise InputError(f"{path}: holds no adapters; expected a file written by a fit with --lora_rank")
    name = str(said["net"].get("class_path", "")).rpartition(".")[2]
    return _Content(name, str(said.get("fingerprint")), read_plan(said.get("adapters"), path), tensors)
