"""Where the time of a training goes, and what its safety costs. `python bench/fit.py [OPTIONS OF aio fit]`

Two Markdown tables: the parts of 120 steps of the demo's configuration, from Lightning's profiler; and what watching
it, keeping checkpoints of the flagship and a second rank cost or bring. Options go to the demo's training alone.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.profilers import SimpleProfiler

from aio.cli import AioCLI
from aio.metrics import TaskErrors

_EPOCH = "[_TrainingEpochLoop].train_dataloader_next"
_DEMO = str(Path(__file__).parents[1] / "conf/fit/demo.yaml")
_INTERVAL = 300  # seconds between two checkpoints
_KEEPING = "import sys; from aio.fit import main; main(sys.argv[1:])"
_GIVING_BACK = "import aio.cli; aio.cli.keep_freed_memory = lambda: False; " + _KEEPING


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        durations, adding = profiled(["--ckpt_dir", folder, *sys.argv[1:]])
    print(table(durations), end="\n\n")
    watching = adding + sum(seconds for action, seconds in durations.items() if action.startswith("[Callback]Watch"))
    with tempfile.TemporaryDirectory() as folder:
        seconds, mebibytes = checkpoint_cost(Path(folder))
    one, two, given_back = rates()
    print("| what | measured | share of the time |")
    print("| --- | ---: | ---: |")
    share = 100 * watching / sum(parts(durations).values())
    print(f"| watching, 120 steps of the demo | {watching:.3f} s | {share:.2f} % |")
    share = 100 * seconds / _INTERVAL
    print(f"| a checkpoint of the flagship, {mebibytes:.0f} MiB, every 5 minutes | {seconds:.2f} s | {share:.2f} % |")
    print(f"| one rank, one thread | {one:.2f} samples/s | |")
    print(f"| two ranks (gloo), one thread each | {two:.2f} samples/s, {two / one:.2f} times as many | |")
    print(f"| the same without keeping freed memory | {given_back:.2f} samples/s | |")


def profiled(words: list[str]) -> tuple[dict[str, float], float]:
    """Seconds of each action of the demo's training, and of adding up its samples' errors."""
    cli = AioCLI(["--config", _DEMO, "--epochs", "2", "--data.samples_per_epoch", "480", *words])
    profiler, adding = SimpleProfiler(), Timed(TaskErrors.add)
    cli.trainer.profiler = profiler
    cli.model.training_errors.add = adding.bound(cli.model.training_errors)
    cli.fit()
    return {action: sum(seconds) for action, seconds in profiler.recorded_durations.items()}, adding.seconds


class Timed:
    """Adds up the seconds that a function takes."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function, self.seconds = function, 0.0

    def bound(self, instance: Any) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            began = time.perf_counter()
            self.function(instance, *arguments)
            self.seconds += time.perf_counter() - began

        return call


def parts(durations: dict[str, float]) -> dict[str, float]:
    """Seconds of each part of the training loop; validation is left out."""

    def total(chosen: Callable[[str], bool]) -> float:
        return sum(seconds for action, seconds in durations.items() if chosen(action))

    forward = total(lambda a: a.endswith(".training_step"))
    backward = total(lambda a: a.endswith(".backward"))
    return {
        "data": total(lambda a: a == _EPOCH),
        "to the device": total(lambda a: a.endswith(".batch_to_device")),
        "forward and loss": forward,
        "backward": backward,
        "optimiser": total(lambda a: a.endswith(".optimizer_step")) - forward - backward,
        "callbacks": total(lambda a: a.startswith("[Callback]") and "train_batch" in a),
    }


def table(durations: dict[str, float]) -> str:
    """The parts with their shares."""
    everything = sum(parts(durations).values())
    rows = [
        f"| {name} | {seconds:.2f} | {100 * seconds / everything:.1f} % |" for name, seconds in parts(durations).items()
    ]
    return "\n".join(["| part | seconds | share |", "| --- | ---: | ---: |", *rows])


class Save(L.Callback):
    """Times five whole checkpoints after the second step: weights, average, both moments, all on the disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.seconds = path, 0.0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 2:
            times = []
            for _ in range(5):
                began = time.perf_counter()
                trainer.save_checkpoint(self.path)
                times.append(time.perf_counter() - began)
            self.seconds = statistics.median(times)


def checkpoint_cost(folder: Path) -> tuple[float, float]:
    """Median seconds and size in MiB of a checkpoint of the flagship."""
    words = f"""--model lora_restormer --de_type denoise_25 --batch_size 1 --patch_size 16 --data.samples_per_epoch 2
        --epochs 1 --num_workers 0 --perceptual_weight 0 --trainer.limit_val_batches 0 --trainer.accelerator cpu
        --trainer.enable_progress_bar false --ckpt_dir {folder}""".split()
    cli, save = AioCLI(words), Save(folder / "timed.ckpt")
    cli.trainer.callbacks.append(save)
    cli.fit()
    return save.seconds, save.path.stat().st_size / 2**20


def rates(rounds: int = 2) -> tuple[float, float, float]:
    """Samples a second of one and of two ranks at the same batch for each, in turns; medians.

    The third is of two ranks that give freed memory back to the system, as glibc does by itself.
    """
    measured = [(rate(1), rate(2), rate(2, start=_GIVING_BACK)) for _ in range(rounds)]
    one, two, given_back = (statistics.median(column) for column in zip(*measured, strict=True))
    return one, two, given_back


def rate(ranks: int, samples: int = 480, start: str = _KEEPING) -> float:
    """The median of what a training of so many samples each logs every ten steps, after the first ten."""
    words = f"""--config {_DEMO} --epochs 1 --batch_size 8 --data.samples_per_epoch {samples * ranks} --num_workers 0
        --data.val_images 1 --data.val_size 32 --devices {ranks} --trainer.accelerator cpu
        --trainer.enable_progress_bar false""".split()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "start.py")  # a file, as the second rank is started by its name
        script.write_text(start)
        command = [sys.executable, str(script), *words, "--ckpt_dir", folder]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        with Path(folder, "metrics.csv").open(newline="") as file:
            logged = [row["watch/samples_per_second"] for row in csv.DictReader(file)]
    return statistics.median([float(value) for value in logged if value][1:])


if __name__ == "__main__":
    main()
