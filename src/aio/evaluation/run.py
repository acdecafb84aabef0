"""Measures all items by one method: image by image, in one process or several, each row on disk as soon as it is there.

An image is never measured in a batch nor twice, so that the number of processes changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.multiprocessing.spawn import start_processes

from aio.adapters import require_adapter
from aio.colour import luma
from aio.evaluation.items import Item, Plan
from aio.evaluation.journal import Measured, append_row, count_rows, key_of, read_rows
from aio.evaluation.memory import peak_memory, reset_peak_memory
from aio.evaluation.methods import Method
from aio.evaluation.table import Cost
from aio.inference.replicas import replicate
from aio.inference.settings import Batch
from aio.inference.tiles import Tile, restore_image
from aio.metrics import Protocol, comparable, find_protocol
from aio.metrics.measures import Compare, open_measures
from aio.nets.base import RestorationNet, count_parameters
from aio.nets.cost import count_macs
from aio.pictures import write_png
from aio.rl.adaptive import AdaptiveNet, tile_of
from aio.vocabulary import Degradation
from aio.weights import require_images

_POLL = 0.5  # seconds between two looks at what the processes have done


@dataclass(frozen=True)
class Settings:
    """How every method restores, and what is measured besides PSNR and SSIM."""

    tile: Tile = "none"
    tell_task: bool = False
    measures: tuple[str, ...] = ()
    device: str = "auto"
    processes: int = 1
    batch: Batch = "auto"
    replicas: int = 1

    @property
    def decisive(self) -> str:
        """What a score depends on."""
        return f"{self.tile} {self.tell_task} {' '.join(self.measures)}"


def check(method: Method, plan: Plan, settings: Settings, *, adapters_for: Sequence[Degradation] = ()) -> Cost:
    """What `method` costs.

    Raises:
        InputError: it cannot be opened, is not for these images, or lacks an adapter for these degradations.
    """
    net = method.open("cpu", scale=plan.scale)
    require_images(net, plan.scale, views=plan.views)
    if adapters_for:
        require_adapter(net, *adapters_for)
    for name in dict.fromkeys(item.protocol for item in plan.items):
        find_protocol(name, scale=plan.scale)
    return Cost(count_parameters(net), count_macs(net) if method.checkpoint else None)


def measure(method: Method, plan: Plan, settings: Settings, folder: Path) -> list[Measured]:
    """The rows of all items, in their order; restored images and rows go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = [key_of(item, method.fingerprint, settings.decisive) for item in plan.items]
    known = read_rows(folder)
    todo = [(item, key) for item, key in zip(plan.items, keys, strict=True) if not _is_there(known, key, item, folder)]
    with _progress() as progress:
        bar = progress.add_task(method.name, total=len(keys), completed=len(keys) - len(todo))
        if settings.processes == 1 or len(todo) < 2:
            _work(0, 1, method, todo, plan.scale, settings, folder, lambda: progress.advance(bar))
        elif todo:
            _spread(method, todo, plan.scale, settings, folder, lambda: progress.advance(bar))
    rows = read_rows(folder)
    return [rows[key] for key in keys]


def restored_path(folder: Path, column: str, name: str) -> Path:
    """Where the restored image of `name` lies."""
    return folder / column.replace("/", "-") / f"{name}.png"


def _is_there(known: Mapping[str, Measured], key: str, item: Item, folder: Path) -> bool:
    return key in known and restored_path(folder, item.column, item.name).exists()


def _spread(
    method: Method,
    todo: Sequence[tuple[Item, str]],
    scale: int,
    settings: Settings,
    folder: Path,
    advance: Callable[[], None],
) -> None:
    """In `settings.processes` processes: each takes every n-th item."""
    shown = count_rows(folder)
    world = min(settings.processes, len(todo))
    arguments = (world, method, list(todo), scale, settings, folder)
    running = start_processes(_work, arguments, nprocs=world, join=False, start_method="spawn")
    while not running.join(timeout=_POLL):
        for _ in range(count_rows(folder) - shown):
            advance()
            shown += 1


def _work(
    rank: int,
    world: int,
    method: Method,
    todo: Sequence[tuple[Item, str]],
    scale: int,
    settings: Settings,
    folder: Path,
    advance: Callable[[], None] = lambda: None,
) -> None:
    device = _device_of(rank, world, settings.device)
    net = replicate(method.open(device, scale=scale), settings.replicas)
    measures = open_measures(settings.measures)
    for item, key in todo[rank::world]:
        append_row(folder, _measured(net, measures, item, key, settings, folder), rank)
        advance()


def _device_of(rank: int, world: int, device: str) -> str:
    """Of several GPUs each process takes its own; on a CPU it takes its share of the cores."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        return f"cuda:{rank % torch.cuda.device_count()}"
    if world > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // world))
    return device


def _measured(
    net: RestorationNet, measures: Mapping[str, Compare], item: Item, key: str, settings: Settings, folder: Path
) -> Measured:
    protocol = find_protocol(item.protocol, scale=net.scale)
    degraded, clean = (protocol.crop(image) for image in item.load())
    if (net.in_channels, net.scale) == (1, 1):
        degraded, clean = luma(degraded), luma(clean)
    if isinstance(net, AdaptiveNet):
        net.forget()
    reset_peak_memory()
    start = time.perf_counter()
    task = item.task_id if settings.tell_task else None
    restored = restore_image(net, degraded, task=task, tile=tile_of(net, settings.tile), batch=settings.batch)
    seconds = time.perf_counter() - start
    memory = peak_memory()
    write_png(restored, restored_path(folder, item.column, item.name))
    before, after = (_scores(protocol, measures, image, clean) for image in (comparable(degraded, clean), restored))
    macs = net.macs / restored[0].numel() if isinstance(net, AdaptiveNet) else None
    return Measured(key, item.column, item.name, before, after, seconds, memory, macs)


def _scores(protocol: Protocol, measures: Mapping[str, Compare], image: Tensor, clean: Tensor) -> dict[str, float]:
    (score,) = protocol.scores(image, clean)
    return {**score._asdict(), **{name: compare(image, clean) for name, compare in measures.items()}}


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns)
