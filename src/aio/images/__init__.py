"""Image files: `read_photo` and `write_photo` keep all that a file says; the rest serves loaders of training data."""

from __future__ import annotations

from aio.images.opening import MAX_PIXELS
from aio.images.photo import Photo
from aio.images.reading import read_photo
from aio.images.scanning import SUFFIXES, image_size, list_images, read_rgb, read_samples, sample_bytes
from aio.images.writing import output_format, write_photo

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Photo",
    "image_size",
    "list_images",
    "output_format",
    "read_photo",
    "read_rgb",
    "read_samples",
    "sample_bytes",
    "write_photo",
]
