"""Lists the networks of conf/net/ with parameters, multiply-accumulates and source; says which one a file holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from aio.commands import run
from aio.presets import describe, list_presets
from aio.shipped import locate


def main(argv: Sequence[str]) -> None:
    """Prints the table, or what `argv` names holds."""
    parser = argparse.ArgumentParser("aio models", description="The networks: parameters, cost, source.")
    parser.add_argument("checkpoint", nargs="?", type=locate, help="say which network this file holds")
    checkpoint = parser.parse_args(argv).checkpoint
    if checkpoint is None:
        _list()
    else:
        sys.stdout.write(_identify(checkpoint))


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("preset", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("GMACs at 256 x 256", justify="right")
    table.add_column("paper")
    for name in list_presets():
        preset = describe(name)
        table.add_row(name, f"{preset.parameters:,}", f"{preset.gmacs:.2f}", preset.paper)
    Console().print(table)


def _identify(checkpoint: Path) -> str:
    from aio.nets.base import count_parameters
    from aio.recognise import preset_of
    from aio.weights import open_net

    net = open_net(checkpoint)
    named = preset_of(net.config) or "no preset"
    arguments = json.dumps(net.config["init_args"])
    return f"{checkpoint}: {type(net).__name__} ({named}), {count_parameters(net):,} parameters, {arguments}\n"


if __name__ == "__main__":
    run(main)
