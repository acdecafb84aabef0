"""Image files whose header is fine and whose pixels cannot be decoded: found in mid-training alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, *, number: int = 0, size: tuple[int, int] = (24, 32)) -> None:
    """PNG or JPEG of noise; EXIF stands before the pixels, so that a look at the size reads none of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.fromarray(pixels).save(path, exif=exif)


def damage(path: Path) -> None:
    """PNG: bytes amid the compressed pixels become 0. JPEG: so do the Huffman tables."""
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xc4") + 4 if path.suffix == ".jpg" else len(content) // 2
    content[start : start + 60] = bytes(60)
    path.write_bytes(content)
