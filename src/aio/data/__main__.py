"""`aio data COMMAND ...` and `python -m aio.data COMMAND ...`: looks at data trees and prepares them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from aio.commands import run
from aio.data import check, prepare, sheet, stream

_COMMANDS = {
    "check": (check, "say which data sets a tree holds, and what is wrong with them"),
    "prepare": (prepare, "decode a tree once, so that training reads faster; or cut it into crops"),
    "stream": (stream, "pack a tree into chunks for object storage"),
    "sheet": (sheet, "draw what the synthesised degradations look like"),
}


def main(argv: Sequence[str]) -> int:
    """Runs the command that `argv` names; its exit code."""
    parser = argparse.ArgumentParser("aio data", description="Looks at data trees and prepares them.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, purpose) in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose)
        module.add_options(command)
        command.set_defaults(main=module.main)
    options = parser.parse_args(argv)
    code: int = options.main(options)
    return code


if __name__ == "__main__":
    run(main)
