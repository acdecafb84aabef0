"""Restores photographs, any number of them, resumably: `python -m aio.restore PHOTOS... -o OUT [--checkpoint C]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import aio
from aio.commands import CHECKPOINT, add_net_options, add_parallel_options, add_policy_option, positive, run
from aio.errors import InputError
from aio.inference.jobs.job import Job, Outcome, printable
from aio.inference.jobs.shard import Shard, parse_shard
from aio.inference.jobs.stopping import Stopped, stoppable
from aio.shipped import DEFAULT, locate
from aio.vocabulary import TASK_ID, Degradation, one_degradation

if TYPE_CHECKING:
    from aio.inference.jobs.claims import Claims
    from aio.inference.jobs.journal import Journal
    from aio.inference.jobs.plan import Plan
    from aio.inference.settings import Settings
    from aio.nets.base import RestorationNet

_FAILED: Final = 1
_LARGEST: Final = 1 << 28  # `aio.images.LARGEST`, which --help does not load
_USE: Final = """\
PHOTO is a file, a folder, a pattern in quotes ('holiday/**/*.jpg') or a manifest: .txt with a path a line, .csv or
.jsonl with `path` and, if the results are to have other names, `output`. Results keep names and folders. Where two
would have one name, they get ~ and eight digits. Killed and started again, the command goes on where it was.

An array of jobs, each with its part:  sbatch --array=1-8 --wrap 'aio restore ... --shard $SLURM_ARRAY_TASK_ID/8'

Exit code: 0 all restored, 1 some not, 2 bad input, 130 or 143 stopped by a signal."""


def main(argv: Sequence[str]) -> int:
    """Restores as `argv` says; 0 when every photograph was restored, 1 when some were not."""
    options = _parser().parse_args(argv)
    name = None if options.de_type is None else one_degradation(options.de_type)
    _check(options)
    with stoppable():
        try:
            return _restore(options, name)
        except Stopped as stopped:
            sys.stderr.write(f"\nstopped by {stopped}: nothing is half-written; the same command goes on from here\n")
            return stopped.exit_code


def _check(options: argparse.Namespace) -> None:
    """Answers at once what needs no photograph and no network to be answered."""
    if options.adapter and options.de_type is None:
        raise InputError("--adapter: is chosen by the degradation; say by --de_type what the photographs suffer from")
    if options.ray_address is not None and options.engine != "ray":
        raise InputError(f"--ray_address {options.ray_address}: expected --engine ray with it")
    if options.engine == "ray" and find_spec("ray") is None:
        raise InputError("--engine ray: Ray is not installed: pip install 'aio[ray]'")
    if options.engine == "ray" and options.replicas > 1:
        raise InputError(f"--replicas {options.replicas}: expected 1 with --engine ray, whose workers have a net each")
    for path in (options.checkpoint, *options.adapter, *([options.policy] if options.policy else [])):
        if not Path(path).exists():
            raise InputError(f"{path}: no such file or folder; expected weights")


def _restore(options: argparse.Namespace, name: Degradation | None) -> int:
    plan, jobs = _planned(options)
    from aio.inference.jobs.run import work_digest
    from aio.inference.settings import Settings
    from aio.rl.adaptive import tile_of

    task = None if name is None else TASK_ID[name]
    net = _net(options, name)
    settings = Settings(task, tile_of(net, options.tile), options.strength, options.tta, options.tile_batch)
    work = work_digest(net, settings)
    folders = {path.parent for job in plan.jobs for path in (job.target, job.comparison) if path}
    with ExitStack() as stack:
        journal, claims = _opened(stack, options, jobs, folders, work)
        code = _follow(_outcomes(options, net, jobs, settings, journal, claims), plan, jobs, options)
        claims.sweep(folders)
        return code


def _planned(options: argparse.Namespace) -> tuple[Plan, list[Job]]:
    """All that is meant, and of that the part for this process; checked before torch is loaded."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from aio.inference.jobs.journal import Journal
    from aio.inference.jobs.plan import JOURNALS, check_targets, make_plan

    columns = SpinnerColumn(), TextColumn("{task.description}: {task.completed:,.0f} photographs")
    with Progress(*columns, transient=True) as bar:
        line = bar.add_task("looking", total=None)
        ours = Journal(options.output / JOURNALS, options.output, work="").planned
        plan = make_plan(
            options.photos,
            options.output,
            suffix=options.suffix,
            format=options.format,
            compare=options.compare,
            ours=ours,
            seen=lambda: bar.advance(line),
        )
    if options.strict and plan.skipped:
        first = "".join(f"\n  {printable(each.path)} {each.reason}" for each in plan.skipped[:10])
        raise InputError(f"--strict: {len(plan.skipped)} files are no photographs:{first}")
    jobs = [job for job in plan.jobs if options.shard.holds(str(job.target.relative_to(options.output)))]
    check_targets(jobs, options.output)
    return plan, jobs


def _net(options: argparse.Namespace, name: Degradation | None) -> RestorationNet:
    from aio.adapters import AdaptedNet, require_adapter
    from aio.rl.adaptive import with_policy
    from aio.weights import open_net

    net = open_net(options.checkpoint, options.model, options.adapter)
    if options.adapter and name is not None:
        require_adapter(net, name)
    if isinstance(net, AdaptedNet) and name in net.plan:
        net.merge(name)  # once, and not for every tile
    return net if options.policy is None else with_policy(net, options.policy)


def _opened(
    stack: ExitStack, options: argparse.Namespace, jobs: Sequence[Job], folders: set[Path], work: str
) -> tuple[Journal, Claims]:
    """The journal and the claims of this process, when what dead processes left half-written is gone.

    Raises:
        InputError: the folder of results cannot be written to.
    """
    from aio.inference.jobs.claims import Claims
    from aio.inference.jobs.journal import Journal
    from aio.inference.jobs.plan import JOURNALS

    folder, output = options.output / JOURNALS, options.output
    paths = [path for job in jobs for path in (job.target, job.comparison) if path]
    names = {str(path.relative_to(output)) for path in paths}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        claims = stack.enter_context(Claims(folder))
        claims.sweep({*folders, folder})
        journal = Journal(folder, output, work=work, names=names)
        journal.open(next(name for i in count(1) if claims.take(name := f"{options.shard.label}-{i}")))
        stack.callback(journal.close)
        journal.plan(sorted(names))
    except OSError as error:
        raise InputError(f"{output}: cannot be written to ({error.strerror}); name another folder by -o") from error
    if not claims.works:
        sys.stderr.write(f"{output}: no locks on this file system, so start no two jobs on the same photographs\n")
    return journal, claims


def _outcomes(
    options: argparse.Namespace,
    net: RestorationNet,
    jobs: Sequence[Job],
    settings: Settings,
    journal: Journal,
    claims: Claims,
) -> Iterator[Outcome]:
    from aio.weights import place

    if options.engine == "ray":
        from aio.inference.ray import restore_on_ray

        return restore_on_ray(
            net,
            jobs,
            settings,
            journal=journal,
            claims=claims,
            place=partial(place, device=options.device),
            max_pixels=options.max_pixels,
            address=options.ray_address,
        )
    from aio.inference.jobs.run import restore_all
    from aio.inference.replicas import replicate

    net = replicate(place(net, options.device), options.replicas)
    return restore_all(net, jobs, settings, journal=journal, claims=claims, max_pixels=options.max_pixels)


def _follow(outcomes: Iterator[Outcome], plan: Plan, jobs: Sequence[Job], options: argparse.Namespace) -> int:
    """Shows how far the job is, and tells what became of it; also when it ends early."""
    from aio.data.parallel import progress_bar
    from aio.inference.jobs.summary import faults, total

    seen: list[Outcome] = []
    code = 0
    try:
        with progress_bar() as bar:
            for outcome in bar.track(outcomes, total=len(jobs), description="restoring"):
                seen.append(outcome)
    except OSError as error:
        place = options.output if error.filename is None else error.filename
        sys.stderr.write(f"{printable(place)}: {error.strerror}: stopped; the same command goes on from here\n")
        code = _FAILED
    finally:
        sys.stderr.write(faults(seen, plan.skipped))
        sys.stdout.write(total(seen, plan.skipped, len(jobs), options.output) + "\n")
        _write_summary(seen, plan, options)
    return code or (_FAILED if any(outcome.status == "failed" for outcome in seen) else 0)


def _write_summary(seen: Sequence[Outcome], plan: Plan, options: argparse.Namespace) -> None:
    from aio.inference.jobs.plan import JOURNALS
    from aio.inference.jobs.summary import write_summary

    path = options.output / JOURNALS / f"summary{options.shard.label}.csv"
    try:
        write_summary(path, seen, plan.skipped)
    except OSError as error:
        sys.stderr.write(f"{printable(path)}: not written ({error.strerror})\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aio restore",
        description="Restore photographs of any size and format, in any number.",
        epilog=_USE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders, patterns and manifests")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder of the results")
    parser.add_argument("--checkpoint", metavar="C", type=locate, default=DEFAULT, help=f"{CHECKPOINT} (%(default)s)")
    add_net_options(parser)
    add_parallel_options(parser)
    add_policy_option(parser)
    parser.add_argument(
        "--strength", metavar="S", type=_share, default=1.0, help="0..1: how far from the photograph to its restoration"
    )
    parser.add_argument("--tta", action="store_true", help="mean of eight turned and mirrored restorations")
    parser.add_argument("--compare", action="store_true", help="pictures of before and after in OUT/compare")
    parser.add_argument("--suffix", metavar="S", default="", help="added to the names, as _restored")
    parser.add_argument("--format", metavar="F", help="write jpg, png, tif, webp, ... instead of each one's own format")
    parser.add_argument("--shard", metavar="i/N", type=_shard, default=Shard(1, 1), help="only this part of N")
    parser.add_argument("--strict", action="store_true", help="start only if all files found are images")
    parser.add_argument(
        "--max_pixels", metavar="N", type=positive, default=_LARGEST, help="refuse larger photographs (%(default)s)"
    )
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="this process, or workers of Ray")
    parser.add_argument("--ray_address", metavar="A", help="of a Ray cluster; without one, Ray is started here")
    return parser


def _share(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{word!r}: expected a number from 0 to 1")
    return value


def _shard(word: str) -> Shard:
    try:
        return parse_shard(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class _Callable(ModuleType):
    """This module, once imported, hides the function `aio.restore`: so it can be called as that."""

    __call__ = staticmethod(aio.restore)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    run(main)
