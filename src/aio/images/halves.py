"""Samples of 16 bits out of Pillow, which keeps 8 of them in colour images: it decodes once for each byte."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import ImageFile

Reopen = Callable[[], ImageFile.ImageFile]


def rawmode(image: ImageFile.ImageFile) -> str:
    """How the file lays out its samples, in Pillow's words, for example `RGB;16B`."""
    args = image.tile[0].args if image.tile else ""
    return str(args[0] if isinstance(args, tuple) else args)


def decoded(image: ImageFile.ImageFile, raw: str) -> np.ndarray:
    """uint8 samples of the opened image, unpacked as if it were laid out as `raw`."""
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]
    return np.asarray(image)


def byte_pairs(reopen: Reopen) -> tuple[np.ndarray, ImageFile.ImageFile]:
    """uint8 `(H, W, C, 2)`, both bytes of each sample in the order of the decoded data; and the loaded image.

    `reopen` gives the opened image each time. Of each pair `;16B` unpacks the first byte, `;16L` the second.
    """
    halves = []
    for order in ("B", "L"):
        image = reopen()
        # Colours multiplied by alpha stay so: dividing the bytes one by one would be wrong.
        halves.append(decoded(image, rawmode(image).replace("RGBa", "RGBA")[:-1] + order))
    return np.stack(halves, axis=-1), image
