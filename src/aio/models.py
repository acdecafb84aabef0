"""Lists the networks of conf/net/ with parameters, multiply-accumulates and source."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from aio.commands import run
from aio.presets import describe, list_presets


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    argparse.ArgumentParser("aio models", description="The networks: parameters, cost, source.").parse_args(argv)
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


if __name__ == "__main__":
    run(main)
