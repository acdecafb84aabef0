"""aio: all-in-one image restoration. Nothing heavy is imported until it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from aio.nets.base import RestorationNet
    from aio.presets import Preset

__version__ = "0.1.0"
__all__ = ["__version__", "list_models", "load"]


def load(
    source: str | Path, *, model: str | None = None, adapter: str | Path | None = None, device: str = "cpu"
) -> RestorationNet:
    """A network in eval mode on `device`.

    Args:
        source: the name of a preset (with random weights), a checkpoint, or a folder of `save_pretrained`.
        model: the preset of a checkpoint that does not name its network.
        adapter: adapters from a fit with `--lora_rank`; the ids given to the network choose among them.

    Raises:
        aio.errors.InputError: there is no such preset or file, or it cannot be read.
    """
    from aio.nets.building import build_net
    from aio.presets import list_presets, net_preset
    from aio.weights import open_net, place

    if str(source) in list_presets() and adapter is None:
        return place(build_net(net_preset(str(source)), source).eval(), device)
    return place(open_net(source, model, [] if adapter is None else [adapter]), device)


def list_models() -> dict[str, Preset]:
    """The presets by name: paper, parameters, GMACs at 256 x 256, source."""
    from aio.presets import describe, list_presets

    return {name: describe(name) for name in list_presets()}
