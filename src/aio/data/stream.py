"""`python -m aio.data stream ROOT OUT`: packs a data tree for object storage; copy OUT to its bucket as it is."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from aio.errors import InputError
from aio.vocabulary import DEGRADATIONS, expand

_UNITS: Final = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `stream`."""
    parser.add_argument("root", metavar="ROOT", type=Path, help="data tree, as --data_file_dir takes it")
    parser.add_argument("out", metavar="OUT", type=Path, help="new folder for the stream")
    parser.add_argument("--de_type", nargs="+", metavar="NAME", help="only these degradations; all by default")
    parser.add_argument("--chunk_bytes", default="64MB", metavar="N", help="of a chunk, as 64MB (the default) or 1GB")


def main(options: argparse.Namespace) -> int:
    """Writes the stream and says what it holds.

    Raises:
        InputError: an option, folder or image that cannot be used.
    """
    try:
        tasks = expand(options.de_type) if options.de_type else DEGRADATIONS
    except ValueError as error:
        raise InputError(f"--de_type: {error}") from error
    chunk_bytes = _parsed(options.chunk_bytes)
    from aio.data.streaming import write_stream

    manifest = write_stream(options.root, options.out, tasks=tasks, chunk_bytes=chunk_bytes)
    images, chunks = len(manifest.paths), len(manifest.chunks)
    megabytes = sum(chunk.bytes for chunk in manifest.chunks) / 1e6
    sys.stdout.write(f"{options.out}: {images:,} images in {chunks:,} chunks, {megabytes:,.1f} MB\n")
    return 0


def _parsed(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([KMG]B|)", text.strip().upper())
    if match is None:
        raise InputError(f"--chunk_bytes {text}: expected a whole number of bytes, as 64MB, 1GB or 1000000")
    return int(match[1]) * _UNITS[match[2]]
