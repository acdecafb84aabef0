"""Runs an ablation's sweep file on this machine: `python -m aio.sweep conf/sweep/components.yaml --local`."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from aio.commands import run
from aio.errors import InputError
from aio.sweeps.check import check_options, check_runs
from aio.sweeps.grid import Run, expand, read_sweep

_STOPPED = 130  # what a shell says of a process that Ctrl-C ended


def main(argv: Sequence[str]) -> int:
    """Sweeps as `argv` says; 0 when every run has ended well, 1 when some have not."""
    arguments, options = _parser().parse_known_args(argv)
    file, jobs = arguments.file, arguments.jobs
    sweep = read_sweep(file)
    runs = expand(file, sweep)
    if not arguments.local:
        raise InputError(
            f"{file}: {len(runs)} runs; on this machine, without an account: aio sweep {file} --local; "
            f"at Weights & Biases: wandb sweep {file}, and then the `wandb agent ...` that it prints"
        )
    check_options(options, list(sweep["parameters"]))
    out = arguments.out or Path("runs") / f"sweep-{file.stem}"
    if arguments.dry_run:
        _list(runs, options, out)
        return 0
    return _run(file, sweep, runs, options, out, jobs)


def _run(file: Path, sweep: dict[str, Any], runs: list[Run], options: list[str], out: Path, jobs: int) -> int:
    from aio.sweeps.local import LocalSweep
    from aio.sweeps.plan import claim, locked, make_plan
    from aio.sweeps.table import collect, write_tables

    check_runs(file, runs, options)

    def write() -> None:
        write_tables(collect(runs, out), out)

    with locked(out) as lock, _terminated_as_interrupted():
        claim(out, make_plan(file, sweep, options, runs))
        write()
        try:
            failed = LocalSweep(out=out, options=options, jobs=jobs, lock=lock, after=write).run(runs)
        except KeyboardInterrupt:
            sys.stderr.write("stopped; the same command goes on\n")
            return _STOPPED
    sys.stdout.write(f"\n{(out / 'ablation.md').read_text()}\n{out}/ablation.md, .csv, .png\n")
    if failed:
        names = ", ".join(failed)
        sys.stderr.write(f"{len(failed)} of {len(runs)} runs failed: {names}; the same command tries them again\n")
    return 1 if failed else 0


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does, so that it takes the runs with it."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _list(runs: Sequence[Run], options: Sequence[str], out: Path) -> None:
    from aio.sweeps.local import fit_words

    for one in runs:
        sys.stdout.write(f"{one.name}\n  python -m aio.fit {shlex.join(fit_words(one, options, out))}\n")
    sys.stdout.write(f"{len(runs)} runs\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aio sweep",
        usage="aio sweep FILE --local [--out DIR] [--jobs N] [--dry_run] [options of `aio fit`]",
        description="Runs every combination of a W&B sweep file, and gathers the scores in one table.",
        epilog="The same command goes on where it stopped. Options of `aio fit` hold for every run: --epochs 1.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="sweep file: conf/sweep/components.yaml, ...")
    parser.add_argument("--local", action="store_true", help="on this machine; W&B has its own command for its own")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of runs and table; runs/sweep-FILE by default")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="runs at a time")
    parser.add_argument("--dry_run", action="store_true", help="list the runs with their commands, and start none")
    return parser


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r}: expected a number from 1")
    return int(word)


if __name__ == "__main__":
    run(main)
