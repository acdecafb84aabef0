"""What every command shares: how it starts, and how it ends on bad input."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from typing import Final, Literal, NoReturn

from aio.errors import InputError

BAD_INPUT: Final = 2
CHECKPOINT: Final = "weights: .ckpt, .pth, .safetensors, a folder, or the word default: those in the package"
_TWICE_OVERLAP: Final = 64
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> NoReturn:
    """Runs `main` on the words of the command line, exits with its code; 2 and a message on bad input or full disks."""
    try:
        code = main(sys.argv[1:] if argv is None else argv)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(BAD_INPUT)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        sys.stderr.write(f"error: {error.filename or 'a file'}: not written, {error.strerror}\n")
        sys.exit(BAD_INPUT)
    sys.exit(code or 0)


def add_net_options(parser: argparse.ArgumentParser, *, tile: Literal["auto", "none"] = "auto") -> None:
    """The options of every command that runs a net, save that which names its checkpoint; `tile` is the default."""
    parser.add_argument("--model", metavar="NAME", help="the network, where the weights alone do not tell")
    parser.add_argument("--de_type", metavar="T", help="the one degradation that the images suffer from")
    parser.add_argument(
        "--adapter",
        metavar="A",
        action="append",
        default=[],
        help="adapters from a fit with --lora_rank, chosen by --de_type; may be repeated",
    )
    parser.add_argument(
        "--tile", metavar="N", type=_tile, default=tile, help="side of tiles in pixels, auto or none (%(default)s)"
    )
    parser.add_argument("--device", metavar="D", default="auto", help="where to compute: cpu, cuda, cuda:1, mps, auto")


def add_parallel_options(parser: argparse.ArgumentParser) -> None:
    """How many tiles a command that restores takes at once, and by how many copies of the net."""
    parser.add_argument(
        "--tile_batch", metavar="N", type=_batch, default="auto", help="tiles through the network at once (%(default)s)"
    )
    parser.add_argument(
        "--replicas",
        metavar="N",
        type=positive,
        default=1,
        help="copies of the network that share the tiles: N GPUs with one each, or N threads that share a CPU's cores",
    )


def add_policy_option(parser: argparse.ArgumentParser) -> None:
    """A policy that chooses the computation of each tile."""
    parser.add_argument(
        "--policy",
        metavar="P",
        help="what python -m aio.rl.fit has learnt for this checkpoint: it chooses how much each tile is computed",
    )


def _batch(word: str) -> int | str:
    return word if word == "auto" else positive(word)


def positive(word: str) -> int:
    """A whole number above 0, as the type of an option."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r}: expected a whole number above 0")
    return int(word)


def _tile(word: str) -> int | str:
    if word in ("auto", "none"):
        return word
    if not word.isdecimal() or int(word) <= _TWICE_OVERLAP:
        raise argparse.ArgumentTypeError(f"{word!r}: expected auto, none, or a number above {_TWICE_OVERLAP}")
    return int(word)
