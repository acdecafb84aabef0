"""What lies beside the chunks of a stream: every image's path, size and chunk, and what discovery found, as JSON."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from aio.data.discovery import EXPECTED_TREE, Found, Pair, Split
from aio.data.found import as_rows, from_rows
from aio.errors import InputError
from aio.vocabulary import Degradation

# litdata fetches names that end so by boto3 from S3: obstore's runtime would not survive the fork of loader workers.
MANIFEST: Final = "stream.index.json"
INDEX: Final = "index.json"  # litdata's own
FORMAT: Final = "aio stream 1"


class Chunk(NamedTuple):
    """A file of a stream: its name, its length in bytes, and how many images it holds."""

    file: str
    bytes: int
    images: int


@dataclass(frozen=True)
class Manifest:
    """Images numbered in the order in which the chunks hold them; paths are relative to the tree that was packed."""

    chunks: Sequence[Chunk]
    paths: Sequence[Path]
    sizes: Sequence[Sequence[int]]  # height, width
    everything: Mapping[Split, Found]

    @cached_property
    def number(self) -> Mapping[Path, int]:
        """The number of the image at each path."""
        return {path: number for number, path in enumerate(self.paths)}

    @cached_property
    def _starts(self) -> list[int]:
        """The number of each chunk's first image."""
        return list(accumulate((chunk.images for chunk in self.chunks), initial=0))

    def place(self, path: Path) -> tuple[int, int]:
        """The chunk of the image at `path`, and its position in that chunk."""
        number = self.number[path]
        chunk = bisect_right(self._starts, number) - 1
        return chunk, number - self._starts[chunk]

    def found(self, tasks: Iterable[Degradation], location: str) -> dict[Split, Found]:
        """As `aio.data.discovery.discover`, of the tree that was packed.

        Raises:
            InputError: the stream at `location` holds no image for `tasks`.
        """
        tasks = list(tasks)
        found = {split: _only(tasks, content) for split, content in self.everything.items()}
        if not any(content.clean for content in found.values()):
            raise InputError(
                f"{location}: holds no image for {', '.join(tasks)}; expected a tree like\n{EXPECTED_TREE}"
            )
        return found

    def text(self) -> str:
        """The JSON."""
        return json.dumps(
            {
                "format": FORMAT,
                "chunks": self.chunks,
                "paths": [path.as_posix() for path in self.paths],
                "sizes": self.sizes,
                "found": as_rows(self.everything, {str(path): number for path, number in self.number.items()}),
            }
        )

    @classmethod
    def parse(cls, text: bytes, name: str) -> Manifest:
        """The manifest that `text()` gave.

        Raises:
            InputError: the file `name` holds something else.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields["format"] != FORMAT:
                raise InputError(f"{name}: its format is {fields['format']!r}, expected {FORMAT!r}; write it anew")
            chunks = [Chunk(*row) for row in fields["chunks"]]
            if any(Path(chunk.file).name != chunk.file for chunk in chunks):
                raise ValueError("a chunk's name leads to another folder")
            paths = [Path(path) for path in fields["paths"]]
            return cls(chunks, paths, fields["sizes"], from_rows(fields["found"], paths))
        except InputError:
            raise
        except (ValueError, TypeError, LookupError) as error:
            raise InputError(f"{name}: expected the manifest of a stream, but it cannot be read ({error})") from error


def _only(tasks: Collection[Degradation], found: Found) -> Found:
    """What of `found` is for `tasks`; clean sides count as photographs where there are no others, as in discovery."""
    pairs = {task: rows for task, rows in found.pairs.items() if task in tasks}
    views = {task: rows for task, rows in found.views.items() if task in tasks}
    alone = found.clean != _clean_sides(found.pairs)
    return Found(pairs=pairs, views=views, clean=found.clean if alone else _clean_sides(pairs))


def _clean_sides(pairs: Mapping[Degradation, Sequence[Pair]]) -> list[Path]:
    return sorted({clean for rows in pairs.values() for _, clean in rows})


def is_stream(location: str) -> bool:
    """Whether `location` is a URL, or a folder that was written as a stream, even if it has lost its manifest."""
    folder = Path(location)
    if "://" in location or (folder / MANIFEST).is_file():
        return True
    return (folder / INDEX).is_file() and any(folder.glob("chunk-*.bin"))
