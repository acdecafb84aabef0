"""Drawn photographs in folders, and a tiny net that restores them, for tests of jobs."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tiny_nets import build


def draw(path: Path, *, size: tuple[int, int] = (16, 20)) -> Path:
    """A photograph of coloured noise, which its name decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.name.encode("utf-8", "surrogateescape")))
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return path


def draw_album(folder: Path, names: str) -> Path:
    """A photograph for each of `names`."""
    for name in names.split():
        draw(folder / name)
    return folder


def save_tiny_net(folder: Path, seed: int = 0) -> Path:
    """A folder of `save_pretrained`; another seed gives other weights."""
    net = build("nafnet")
    next(net.parameters()).data += seed
    net.save_pretrained(folder)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Digests of all files below, save the journal."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".aio" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
