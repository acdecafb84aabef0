"""The demo set: photographs that scikit-image's wheel carries, so nothing is downloaded.

Split by scene: both photographs of the stereo pair are trained on.
"""

from __future__ import annotations

from pathlib import Path

import skimage

TRAIN = (
    "astronaut.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "ihc.png",
)
VAL = ("chelsea.png", "coffee.png")


def demo_photos(split: str) -> list[Path]:
    """Paths of the demo photographs of `split` (`train` or `val`)."""
    folder = Path(skimage.__file__).parent / "data"
    return [folder / name for name in (TRAIN if split == "train" else VAL)]
