"""What a folder of many small photographs costs beside the net. `python bench/jobs.py`

Draws 500 photographs of 128 x 128 and restores them as `aio restore` does: the share of that time in which the net
computes. The same decoded pixels go through the net alone before and after, in the same process: the time of both
halves beside that of the job is what files, names and the journal cost. `--count`, `--side` and `--model` take others.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

# Threads that spin while they wait for each other would measure what else runs on the machine; read as torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from PIL import Image

import aio
from aio.images import Photo, read_photo
from aio.inference.jobs.claims import Claims
from aio.inference.jobs.journal import Journal
from aio.inference.jobs.plan import make_plan
from aio.inference.jobs.run import restore_all, work_digest
from aio.inference.photos import restore_photo
from aio.inference.settings import Settings
from aio.nets.base import RestorationNet


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    net = aio.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        album = draw(Path(folder) / "album", options.count, options.side)
        photos = [read_photo(path) for path in sorted(album.iterdir())]
        alone(net, photos[:2])  # what is only done once does not count
        net_only = alone(net, photos[::2])
        clock = Clock(net)
        job, again = files(net, album, Path(folder) / "out")
        inside = clock.seconds
        net_only += alone(net, photos[1::2])
    print(
        f"| {options.count} photographs of {options.side} x {options.side}, {options.model} | seconds | net's share |"
    )
    print("| --- | ---: | ---: |")
    print(f"| the net alone | {net_only:.1f} | |")
    print(f"| `aio restore` | {job:.1f} | {inside / job:.1%} inside, {net_only / job:.1%} against the net alone |")
    print(f"| the same again, nothing left to do | {again:.2f} | |")


class Clock:
    """How long a net has computed."""

    def __init__(self, net: RestorationNet) -> None:
        self.seconds = 0.0
        self._start = 0.0
        net.register_forward_pre_hook(self._begin)
        net.register_forward_hook(self._end)

    def _begin(self, *_: object) -> None:
        self._start = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


def draw(album: Path, count: int, side: int) -> Path:
    """JPEG and PNG files by turns, smooth with a little noise."""
    album.mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.indices((side, side)) / side
    for number in range(count):
        base = np.stack([rows, columns, (rows + columns + rng.random()) % 1], axis=-1)
        pixels = (base * 200 + rng.normal(0, 10, (side, side, 3)) + 25).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(album / f"{number:05}.{'jpg' if number % 2 else 'png'}")
    return album


def files(net: RestorationNet, album: Path, out: Path) -> tuple[float, float]:
    """Seconds of a job from the first word to the last, and of the same once more."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        plan, settings = make_plan([str(album)], out), Settings()
        folder = out / ".aio"
        folder.mkdir(parents=True, exist_ok=True)
        with Claims(folder) as claims:
            journal = Journal(folder, out, work=work_digest(net, settings)).open("")
            outcomes = list(restore_all(net, plan.jobs, settings, journal=journal, claims=claims))
            journal.close()
        assert all(outcome.status in ("restored", "kept") for outcome in outcomes)
        times.append(time.perf_counter() - start)
    return times[0], times[1]


def alone(net: RestorationNet, photos: list[Photo]) -> float:
    """Seconds of the net on pixels in memory."""
    start = time.perf_counter()
    for photo in photos:
        restore_photo(net, photo, Settings())
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
