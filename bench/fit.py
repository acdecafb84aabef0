"""Where the time of a training goes: data, forward, backward, optimiser, callbacks. `python bench/fit.py`

Runs 120 steps of the demo's configuration and prints a Markdown table from Lightning's profiler.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.profilers import SimpleProfiler

from aio.cli import AioCLI

_EPOCH = "[_TrainingEpochLoop].train_dataloader_next"


def main() -> None:
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        cli = AioCLI(
            [
                "--config",
                str(root / "conf/fit/demo.yaml"),
                "--epochs",
                "2",
                "--data.samples_per_epoch",
                "480",
                "--ckpt_dir",
                folder,
                *sys.argv[1:],
            ]
        )
        profiler = SimpleProfiler()
        cli.trainer.profiler = profiler
        cli.fit()
    durations = {action: sum(seconds) for action, seconds in profiler.recorded_durations.items()}
    print(table(durations))


def table(durations: dict[str, float]) -> str:
    """Seconds and share of each part of the training loop; validation is left out."""

    def total(chosen: Callable[[str], bool]) -> float:
        return sum(seconds for action, seconds in durations.items() if chosen(action))

    forward = total(lambda a: a.endswith(".training_step"))
    backward = total(lambda a: a.endswith(".backward"))
    parts = {
        "data": total(lambda a: a == _EPOCH),
        "to the device": total(lambda a: a.endswith(".batch_to_device")),
        "forward and loss": forward,
        "backward": backward,
        "optimiser": total(lambda a: a.endswith(".optimizer_step")) - forward - backward,
        "callbacks": total(lambda a: a.startswith("[Callback]") and "train_batch" in a),
    }
    everything = sum(parts.values())
    rows = [f"| {name} | {seconds:.2f} | {100 * seconds / everything:.1f} % |" for name, seconds in parts.items()]
    return "\n".join(["| part | seconds | share |", "| --- | ---: | ---: |", *rows])


if __name__ == "__main__":
    main()
