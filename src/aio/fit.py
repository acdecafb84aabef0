"""Trains one network on several degradations: `python -m aio.fit --de_type denoise derain dehaze deblur lol`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from aio.commands import run
from aio.flags import help_text, translate


def main(argv: Sequence[str]) -> None:
    """Trains as `argv` says; see `aio fit --help`."""
    if "-h" in argv or "--help" in argv:
        sys.stdout.write(help_text() + "\n")
        return
    translate(argv)  # a mistyped value answers before the heavy imports
    from aio.cli import AioCLI

    AioCLI(["--help" if word == "--help_all" else word for word in argv]).fit()


if __name__ == "__main__":
    run(main)
