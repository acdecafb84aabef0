"""The demo set: photographs that scikit-image's wheel carries, so nothing is downloaded.

Split by scene: no photograph of the validation list, nor its stereo partner, is trained on.
"""

from __future__ import annotations

from pathlib import Path

import skimage

TRAIN = (
    "astronaut.png",
    "brick.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
)
VAL = ("chelsea.png", "rocket.jpg")


def demo_photos(split: str) -> list[Path]:
    """Paths of the demo photographs of `split` (`train` or `val`)."""
    folder = Path(skimage.__file__).parent / "data"
    return [folder / name for name in (TRAIN if split == "train" else VAL)]
