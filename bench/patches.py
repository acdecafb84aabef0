"""Patches of an image one after another, in batches, and shared among copies of the net. `python bench/patches.py`

References: our own loop over the tiles of `restore_image`, and that of Neural-Ninja/Hybrid-Stoformer-AIP: patches of
256 with a stride of 224, one after another, weighted by linear ramps and divided by the sum of the weights. Every way
runs in a process of its own, in turns, `--rounds` times; of each round the best of three passes counts, and of the
rounds the median. Peak memory is the process's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin would measure what else runs

import torch
from torch import Tensor

import aio
from aio.evaluation.memory import peak_memory, reset_peak_memory
from aio.inference.replicas import replicate
from aio.inference.tiles import restore_image
from aio.nets.base import RestorationNet

PATCH, OVERLAP = 256, 32
# what is said of it -> (copies of the net, tiles in a batch)
WAYS = {
    "one after another": (1, 1),
    "batches of 2": (1, 2),
    "batches of 4": (1, 4),
    "2 copies, batches of 2": (2, 2),
    "2 copies, batches of 4": (2, 4),
}
SEED = "the published code's loop"


def published_loop(net: RestorationNet, image: Tensor) -> Tensor:
    """For sides that patches of 256 with a stride of 224 fill."""
    edge = torch.ones(PATCH)
    edge[:OVERLAP] = torch.arange(1, OVERLAP + 1) / (OVERLAP + 1)
    weight = torch.minimum(edge, edge.flip(0))
    total, weights = torch.zeros_like(image), torch.zeros(image.shape[1:])
    for top in range(0, image.shape[1] - OVERLAP, PATCH - OVERLAP):
        for left in range(0, image.shape[2] - OVERLAP, PATCH - OVERLAP):
            rows, columns = slice(top, top + PATCH), slice(left, left + PATCH)
            patch = net(image[None, :, rows, columns])[0]
            total[:, rows, columns] += patch * weight[:, None] * weight
            weights[rows, columns] += weight[:, None] * weight
    return (total / weights).clamp(0, 1)


def restored(net: RestorationNet, image: Tensor, way: str) -> Tensor:
    if way == SEED:
        return published_loop(net, image)
    return restore_image(net, image, tile=PATCH, overlap=OVERLAP, batch=WAYS[way][1])


@torch.inference_mode()
def run_one(way: str, model: str, side: int, result: Path) -> None:
    """In this process: prints seconds, and the peak of its memory in bytes."""
    torch.manual_seed(0)
    net = replicate(aio.load(model), WAYS.get(way, (1, 1))[0])
    image = torch.rand(3, side, side)
    restored(net, image[:, : 2 * PATCH - OVERLAP, : 2 * PATCH - OVERLAP], way)
    reset_peak_memory()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        out = restored(net, image, way)
        taken.append(time.perf_counter() - start)
    torch.save(out.clone(), result)
    print(min(taken), peak_memory())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="hybrid_stoformer_small")
    parser.add_argument("--patches", type=int, default=4, help="on each side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    side = OVERLAP + (PATCH - OVERLAP) * options.patches
    if options.one:
        run_one(options.one[0], options.model, side, Path(options.one[1]))
        return
    ways = [*WAYS, SEED]
    measured: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        files = {way: Path(folder) / f"{number}.pt" for number, way in enumerate(ways)}
        words = ["--model", options.model, "--patches", str(options.patches)]
        for way in ways * options.rounds:
            command = [sys.executable, __file__, *words, "--one", way, str(files[way])]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            measured[way].append(tuple(map(float, ran.stdout.split())))
        results = {way: torch.load(file) for way, file in files.items()}
    table(options.model, options.patches**2, measured, results)


def table(model: str, patches: int, measured: dict[str, list[tuple[float, float]]], results: dict[str, Tensor]) -> None:
    first = next(iter(measured))
    print(
        f"| {model}, {patches} patches of {PATCH}, {torch.get_num_threads()} threads | seconds | times as fast "
        "| peak memory, MiB | max difference |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    for way, rounds in measured.items():
        seconds = statistics.median(seconds for seconds, _ in rounds)
        ratio = statistics.median(loop / ours for (loop, _), (ours, _) in zip(measured[first], rounds, strict=True))
        memory = max(memory for _, memory in rounds) / 2**20
        apart = (results[way] - results[first]).abs().max().item()
        print(f"| {way} | {seconds:.2f} | {ratio:.2f} | {memory:.0f} | {apart:.1e} |")


if __name__ == "__main__":
    main()
