"""A network for other programs, checked against PyTorch: `python -m aio.export C --format onnx -o OUT.onnx`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from aio.commands import CHECKPOINT, run
from aio.errors import InputError
from aio.shipped import locate
from aio.vocabulary import Degradation, expand

_SUFFIXES: Final = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}
_TOOLS: Final = ("onnx", "onnxscript", "onnxruntime")
_OPSETS: Final = range(18, 24)  # the first that torch translates to, and the last that runtimes commonly know
_USE: Final = """\
Formats: onnx, one file with the weights inside; torch_export, for torch.export.load; safetensors, weights and a header
which `aio` opens with no more words. The first two take any batch and any height and width. What is written is run
beside PyTorch at three sizes and kept if they agree to 1e-4. OUT's neighbour, with .md added to its
name, says what a user has to know."""


def main(argv: Sequence[str]) -> None:
    """Exports as `argv` says."""
    options = _parser().parse_args(argv)
    path = _target(options)
    if options.format == "onnx" and (missing := [name for name in _TOOLS if find_spec(name) is None]):
        raise InputError(f"--format onnx: needs {', '.join(missing)}: pip install 'aio[export]'")
    named = _degradations(options.de_type)

    from aio.exporting.run import Wish, export
    from aio.weights import UNSTATED, open_net, read_checkpoint

    net = open_net(options.checkpoint, options.model, options.adapter)
    said = read_checkpoint(options.checkpoint).get("hyper_parameters", {})
    about = {"licence": UNSTATED, **said.get("about", {})}
    wish = Wish(
        path=path,
        format=options.format,
        tasks=named or said.get("tasks", []),
        told=named[0] if len(named) == 1 else None,
        about=about if options.licence is None else about | {"licence": options.licence},
        opset=options.opset,
        half=options.half,
    )
    exported = export(net, wish)
    worst = max((agreement.difference for agreement in exported.agreements), default=0.0)
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes, {worst:.1e} from PyTorch at most; see {wish.card}\n")
    if exported.agreements and net.left_out_of_graphs:
        sys.stdout.write(f"not in the graph: {net.left_out_of_graphs}\n")


def _target(options: argparse.Namespace) -> Path:
    path, suffix = options.output, _SUFFIXES[options.format]
    if path.suffix.lower() != suffix or path.is_dir():
        raise InputError(f"-o {path}: expected a file NAME{suffix} for --format {options.format}")
    if options.opset is not None and options.format != "onnx":
        raise InputError(f"--opset {options.opset}: only --format onnx has one")
    if options.half and options.format != "safetensors":
        raise InputError(f"--half: only --format safetensors keeps float16, not {options.format}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"-o {path}: {folder} is no folder that can be written to")
    if options.checkpoint.exists() and path.exists() and path.samefile(options.checkpoint):
        raise InputError(f"-o {path}: would replace the checkpoint; choose another name")
    return path


def _degradations(words: Sequence[str]) -> list[Degradation]:
    try:
        return expand(words) if words else []
    except ValueError as error:
        raise InputError(f"--de_type {' '.join(words)}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aio export",
        description="Write a network for other programs.",
        epilog=_USE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="C", type=locate, help=CHECKPOINT)
    parser.add_argument("--format", choices=list(_SUFFIXES), required=True, help="what to write")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the file to write")
    parser.add_argument("--model", metavar="NAME", help="the network, where the weights alone do not tell")
    parser.add_argument(
        "--de_type",
        metavar="T",
        nargs="+",
        default=[],
        help="what the network is for; a network that is told the degradation is told it if it is one",
    )
    parser.add_argument(
        "--adapter", metavar="A", action="append", default=[], help="adapters from a fit with --lora_rank"
    )
    parser.add_argument("--opset", metavar="N", type=_opset, help="version of ONNX's operators (18 to 23)")
    parser.add_argument("--half", action="store_true", help="float16 weights in half the bytes (safetensors)")
    parser.add_argument("--licence", metavar="L", help="of the weights, for the header and the card")
    return parser


def _opset(word: str) -> int:
    if not word.isdecimal() or int(word) not in _OPSETS:
        raise argparse.ArgumentTypeError(f"{word!r}: expected a number from {_OPSETS[0]} to {_OPSETS[-1]}")
    return int(word)


if __name__ == "__main__":
    run(main)
