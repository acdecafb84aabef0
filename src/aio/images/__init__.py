"""Image files: `read_photo` and `write_photo` keep all that a file says; the rest serves loaders of training data."""

from __future__ import annotations

from aio.images.opening import LARGEST, MAX_PIXELS
from aio.images.photo import Head, Photo
from aio.images.reading import read_photo
from aio.images.scanning import SUFFIXES, image_size, list_images, read_rgb, read_samples, sample_bytes
from aio.images.strips import StripReader, create_strips, open_strips
from aio.images.writing import Sink, format_for, output_format, write_photo

__all__ = [
    "LARGEST",
    "MAX_PIXELS",
    "SUFFIXES",
    "Head",
    "Photo",
    "Sink",
    "StripReader",
    "create_strips",
    "format_for",
    "image_size",
    "list_images",
    "open_strips",
    "output_format",
    "read_photo",
    "read_rgb",
    "read_samples",
    "sample_bytes",
    "write_photo",
]
