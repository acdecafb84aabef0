"""`aio COMMAND ...` and `python -m aio COMMAND ...`; alone it lists the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from aio.commands import run
from aio.errors import InputError

COMMANDS: Final = {
    "fit": "train a network on several degradations",
    "evaluate": "measure a checkpoint on a benchmark or a pair of folders",
    "submit": "restore what the servers of SIDD and DND score",
    "restore": "restore photographs",
    "models": "list the networks, their parameters and cost",
    "export": "write a network as ONNX, torch.export or safetensors",
    "demo": "restore photographs on a local page, in the browser",
    "sweep": "run an ablation and gather its table",
    "data": "check a data tree, decode it once for all, draw the degradations",
}


def dispatch(argv: Sequence[str]) -> int | None:
    """Runs the command that `argv` names."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items()]
        sys.stdout.write("\n".join(["usage: aio COMMAND [--help]", "", *lines, ""]))
        return 0
    if argv[0] not in COMMANDS:
        raise InputError(f"unknown command {argv[0]!r}: choose from {', '.join(COMMANDS)}")
    module = "data.__main__" if argv[0] == "data" else argv[0]  # a folder of modules, not one
    return import_module(f"aio.{module}").main(argv[1:])


def main() -> None:
    """The console script."""
    run(dispatch)


if __name__ == "__main__":
    main()
