"""Trains agents that choose what is computed: `python -m aio.rl.fit --checkpoint C --data_file_dir ROOT -o OUT`.

They learn on crops of the training photographs and are measured on the validation's, beside fixed, random and
all-knowing choices. OUT gets a policy for every price and seed, tables and pictures. Killed and started again, it goes
on with the next policy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from aio.allocator import keep_freed_memory
from aio.commands import CHECKPOINT, positive, run
from aio.errors import InputError

if TYPE_CHECKING:
    from aio.data.datamodule import RestorationData

_BATCH = 8


def main(argv: Sequence[str]) -> None:
    """Trains as `argv` says; see `python -m aio.rl.fit --help`."""
    options = _parser().parse_args(argv)
    if find_spec("stable_baselines3") is None:
        raise InputError("stable-baselines3 is not installed, by which agents learn: pip install 'aio[rl]'")

    from aio.rl.study import Task, check, draw_photographs, learn, policy_path, report, roll_outs
    from aio.weights import open_net, place

    task = Task(place(open_net(options.checkpoint, options.model), options.device), options.patch_size, options.passes)
    check(task)
    if next(task.net.parameters()).device.type == "cpu":
        keep_freed_memory()
    data = _data(options)
    options.output.mkdir(parents=True, exist_ok=True)
    with _bar("passes over patches") as progress:
        training, held_out = roll_outs(task, data, options.output, progress)
    policies, curves = {}, {}
    for price, seed in [(price, seed) for price in options.prices for seed in range(options.seeds)]:
        with _bar(f"price {price:g}, seed {seed}") as progress:
            policies[price, seed], curves[price, seed] = learn(
                task.about(price), training, options.output, seed=seed, actions=options.actions, progress=progress
            )
    sys.stdout.write(report(policies, curves, held_out, options.output))
    middle = sorted(options.prices)[len(options.prices) // 2]
    draw_photographs(task, policies[middle, 0], data, options.output)
    sys.stdout.write(f"\nto use one: aio restore ... --policy {policy_path(options.output, middle, 0)}\n")


def _data(options: argparse.Namespace) -> RestorationData:
    from aio.data.datamodule import RestorationData

    data = RestorationData(
        de_type=options.de_type,
        data_file_dir=options.data_file_dir,
        trainset=options.trainset,
        batch_size=_BATCH,
        patch_size=options.patch_size,
        samples_per_epoch=options.patches,
        val_images=options.val_images,
        num_workers=options.num_workers,
        seed=1,  # other crops than those of a training with its default
    )
    data.setup("fit")
    return data


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with the time left."""
    from rich.progress import Progress

    with Progress() as bar:
        line = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m aio.rl.fit", description="Train agents to choose computation by patch.")
    parser.add_argument("--checkpoint", metavar="C", required=True, help=CHECKPOINT)
    parser.add_argument("--model", metavar="NAME", help="the network, where the weights alone do not tell")
    parser.add_argument("--data_file_dir", metavar="ROOT", help="data tree; the demo photographs without it")
    parser.add_argument("--trainset", metavar="S", help="as of aio fit: mixed, paired, synthetic, pooled")
    parser.add_argument("--de_type", metavar="T", nargs="+", default=["derain", "dehaze", "lowlight"])
    parser.add_argument("--patch_size", metavar="N", type=int, default=128, help="side of a patch (%(default)s)")
    parser.add_argument("--patches", metavar="N", type=int, default=1200, help="to learn from (%(default)s)")
    parser.add_argument("--val_images", metavar="N", type=int, help="at most so many of each degradation; all")
    parser.add_argument("--passes", metavar="N", type=int, default=2, help="of a patch at most (%(default)s)")
    parser.add_argument(
        "--prices", metavar="P", type=float, nargs="+", default=[0.3, 1.0, 3.0], help="dB for a pass of 64 offsets"
    )
    parser.add_argument("--seeds", metavar="N", type=positive, default=3, help="agents at each price (%(default)s)")
    parser.add_argument(
        "--actions", metavar="N", type=positive, default=40_000, help="an agent learns from (%(default)s)"
    )
    parser.add_argument("--num_workers", metavar="N", type=int, default=1, help="loader processes (%(default)s)")
    parser.add_argument("--device", metavar="D", default="auto", help="where to compute the passes: cpu, cuda, auto")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="folder for all that is made")
    return parser


if __name__ == "__main__":
    run(main)
