"""aio: all-in-one image restoration. Nothing heavy is imported until it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from aio.inference.settings import Batch, Tile
    from aio.nets.base import RestorationNet
    from aio.presets import Preset

__version__ = "0.1.0"
__all__ = ["__version__", "list_models", "load", "restore"]


def load(
    source: str | Path | None = None,
    *,
    model: str | None = None,
    adapter: str | Path | None = None,
    device: str = "cpu",
) -> RestorationNet:
    """A network in eval mode on `device`.

    Args:
        source: a checkpoint, a folder of `save_pretrained`, or the name of a preset, which has random weights. None
            or `default` is the one network whose weights come with the package.
        model: the preset of a checkpoint that does not name its network.
        adapter: adapters from a fit with `--lora_rank`; the ids given to the network choose among them.

    Raises:
        aio.errors.InputError: there is no such preset or file, or it cannot be read.
    """
    from aio.nets.building import build_net
    from aio.presets import list_presets, net_preset
    from aio.shipped import DEFAULT
    from aio.weights import open_net, place

    source = DEFAULT if source is None else source
    if source != DEFAULT and str(source) in list_presets() and adapter is None:
        return place(build_net(net_preset(str(source)), source).eval(), device)
    return place(open_net(source, model, [] if adapter is None else [adapter]), device)


def restore(
    image: Any,
    net: RestorationNet | str | Path | None = None,
    task: str | None = None,
    *,
    strength: float = 1.0,
    tta: bool = False,
    tile: Tile = "auto",
    batch: Batch = "auto",
    output: str | Path | None = None,
) -> Any:
    """`image` restored, as the same kind of thing; by the same engine as the command `aio restore`.

    Args:
        image: one of these, or a list of them:
            - a PIL image of mode 1, L, LA, P, PA, RGB, RGBA, I;16 or F; `info`, with EXIF and colour profile, is kept;
            - a NumPy array `(H, W)` or `(H, W, C)` with C 1 to 4, of which an even last channel is alpha and is kept:
              uint8, uint16, or floats in [0, 1] of 16, 32 or 64 bits;
            - a torch tensor `(C, H, W)` or `(B, C, H, W)` with C 1, 3 or the net's: floats in [0, 1] or uint8, on any
              device, to which the result goes back; without gradient;
            - a path: the file is restored into `output`, and that path comes back. Without `output` a PIL image comes
              back, upright.
        net: in eval mode, on the device that is to compute; or a checkpoint, which is loaded onto the first GPU, or
            else the CPU; by default the network that comes with the package. For many calls load it once, by `load`.
        task: the name of the one degradation, for nets that use it (`aio.vocabulary`); None leaves it to the net.
        strength: 0..1; the result is `strength * restored + (1 - strength) * image`.
        tta: takes the mean over the eight turned and mirrored forms of the image: eight times the work.
        tile: side of a tile in pixels; `none` takes the image whole; `auto` goes by the memory at hand.
        batch: tiles that go through the network together, at most; `auto` fills a GPU, and is one on a CPU.
        output: the file to write, of the format that its suffix says, with depth, alpha and metadata kept.

    Returns:
        The kind, type, shape and depth of `image`, computed in float32; sides times `net.scale`.

    Raises:
        aio.errors.InputError: the image is of another kind, type or range, an option is none of
            its values, a file cannot be read, or a PIL image cannot hold what is in it (16-bit colours).
    """
    from aio.inference.anything import check_settings, restore_anything
    from aio.inference.settings import Settings
    from aio.nets.base import RestorationNet
    from aio.shipped import DEFAULT
    from aio.vocabulary import TASK_ID, one_degradation
    from aio.weights import open_net, place

    settings = Settings(None if task is None else TASK_ID[one_degradation(task, "task")], tile, strength, tta, batch)
    check_settings(settings)
    loaded = net if isinstance(net, RestorationNet) else place(open_net(DEFAULT if net is None else net), "auto")
    return restore_anything(loaded, image, settings, output)


def list_models() -> dict[str, Preset]:
    """The presets by name: paper, parameters, GMACs at 256 x 256, source."""
    from aio.presets import describe, list_presets

    return {name: describe(name) for name in list_presets()}
