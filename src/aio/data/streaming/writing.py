"""Packs a data tree for object storage: litdata's chunks with the image files' bytes, unchanged, and a manifest.

The manifest is written last, so that a stream that was cut short is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track

from aio.data.discovery import Found, Split, discover
from aio.data.scan import check_files
from aio.data.streaming.fetching import require_litdata
from aio.data.streaming.manifest import MANIFEST, Chunk, Manifest
from aio.errors import InputError
from aio.files import write_text
from aio.images import image_size
from aio.vocabulary import DEGRADATIONS, SCALES, Degradation

CHUNK_BYTES: Final = 64 * 10**6
_LARGEST: Final = 2**31  # litdata's offsets are of 32 bits
_WORTH_A_BAR: Final = 500

Group = Sequence[Path]  # a clean image and its degraded partners, or a row of them as discovery gives it


def write_stream(
    root: Path, out: Path, *, tasks: Iterable[Degradation] = DEGRADATIONS, chunk_bytes: int = CHUNK_BYTES
) -> Manifest:
    """Packs every image that discovery finds for `tasks` below `root` into the new folder `out`.

    A stream can train on some of `tasks`, with their images of those that were found for all of them together.
    Partners lie in one chunk, the images of one task in chunks of their own, those of training in shuffled order, for
    a pass mixes the images of a few chunks only. An image larger than `chunk_bytes` has a chunk to itself.

    Raises:
        InputError: as of discovery; an image is unreadable or a pair unequal; `out` is not empty; a file is larger
            than 2 GiB; litdata is not installed.
    """
    require_litdata()
    _check_options(out, chunk_bytes)
    found = discover(root, tasks)
    _check_images(found)
    plan = [chunk for section in _sections(found) for chunk in _cut(section, chunk_bytes)]
    paths = list(chain.from_iterable(plan))
    files = _write_chunks(plan, out)
    shown = track(paths, description="reading sizes", disable=len(paths) < _WORTH_A_BAR)
    manifest = Manifest(
        chunks=[Chunk(file.name, file.stat().st_size, len(images)) for file, images in zip(files, plan, strict=True)],
        paths=[path.relative_to(root) for path in paths],
        sizes=[image_size(path) for path in shown],
        everything={split: _relative(content, root) for split, content in found.items()},
    )
    write_text(out / MANIFEST, manifest.text())
    return manifest


def _check_options(out: Path, chunk_bytes: int) -> None:
    if not 0 < chunk_bytes <= _LARGEST:
        raise InputError(f"--chunk_bytes {chunk_bytes}: expected at least 1 and at most {_LARGEST}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: expected a new or empty folder to write the stream into")


def _check_images(found: Mapping[Split, Found]) -> None:
    for content in found.values():
        check_files((photo,) for photo in content.clean)
        for task, pairs in content.pairs.items():
            check_files(pairs, scale=SCALES.get(task, 1))
        check_files(chain.from_iterable(content.views.values()))


def _sections(found: Mapping[Split, Found]) -> Iterator[list[Group]]:
    """The groups of each split and task, every image in the first that has it."""
    seen: set[Path] = set()
    for split, content in found.items():
        lists: list[Sequence[Group]] = [*content.pairs.values(), *content.views.values()]
        partners: dict[Path, dict[Path, None]] = {}
        for *degraded, clean in chain.from_iterable(lists):
            partners.setdefault(clean, {clean: None}).update(dict.fromkeys(degraded))
        for rows in (*lists, [(photo,) for photo in content.clean]):
            groups: list[Group] = []
            for *_, clean in rows:
                group = [path for path in partners.get(clean, (clean,)) if path not in seen]
                seen.update(group)
                groups += [group] if group else []
            yield [groups[i] for i in np.random.default_rng(0).permutation(len(groups))] if split == "train" else groups


def _cut(groups: Sequence[Group], chunk_bytes: int) -> Iterator[list[Path]]:
    """The images of each chunk; a group is cut only where it fits no chunk."""
    chunk: list[Path] = []
    filled = 0
    for group in groups:
        lengths = [path.stat().st_size for path in group]
        fits = sum(lengths) <= chunk_bytes
        for first, (path, length) in enumerate(zip(group, lengths, strict=True)):
            if chunk and filled + (sum(lengths) if fits and not first else length) > chunk_bytes:
                yield chunk
                chunk, filled = [], 0
            chunk.append(path)
            filled += length
    if chunk:
        yield chunk


def _write_chunks(plan: Sequence[Sequence[Path]], out: Path) -> list[Path]:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(out), chunk_bytes=2**62)  # chunks end where the plan says
    files, number = [], 0
    for chunk in track(plan, description="writing chunks", disable=len(plan) < 2):
        for path in chunk:
            if path.stat().st_size > _LARGEST:
                raise InputError(f"{path}: is {path.stat().st_size} bytes long, expected at most {_LARGEST}")
            writer[number] = path.read_bytes()
            number += 1
        files.append(Path(writer.write_chunk(on_done=True)))
    writer.done()
    writer.merge()
    return files


def _relative(found: Found, root: Path) -> Found:
    def below(kind: Mapping[Degradation, Sequence[Group]]) -> dict[Degradation, list[Any]]:
        return {task: [tuple(path.relative_to(root) for path in row) for row in rows] for task, rows in kind.items()}

    clean = [path.relative_to(root) for path in found.clean]
    return Found(pairs=below(found.pairs), views=below(found.views), clean=clean)
