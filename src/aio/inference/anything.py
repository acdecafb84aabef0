"""`aio.restore`: the same kind of thing out as in, by the engine of `aio restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aio.errors import InputError
from aio.images import LARGEST, read_photo
from aio.inference.conversions import fits_picture, of_array, of_picture, of_tensor, picture_of
from aio.inference.jobs.job import Job
from aio.inference.jobs.one import restore_one
from aio.inference.photos import restore_photo
from aio.inference.settings import Settings
from aio.inference.tiles import OVERLAP, restore_image
from aio.nets.base import RestorationNet


def check_settings(settings: Settings) -> None:
    """Raises InputError where a choice is none of its values."""
    if not 0 <= settings.strength <= 1:
        raise InputError(f"strength {settings.strength}: expected 0..1")
    tile = settings.tile
    if tile not in ("auto", "none") and not (isinstance(tile, int) and tile > 2 * OVERLAP):
        raise InputError(f"tile {tile!r}: expected auto, none, or a whole number above {2 * OVERLAP}")
    if settings.batch != "auto" and not (isinstance(settings.batch, int) and settings.batch > 0):
        raise InputError(f"batch {settings.batch!r}: expected auto, or a whole number above 0")


def restore_anything(net: RestorationNet, image: Any, settings: Settings, output: str | Path | None = None) -> Any:
    """What `aio.restore` says of one image or a list of them."""
    if net.training:
        raise InputError("net: in training mode; expected net.eval()")
    if isinstance(image, list):
        if output is not None:
            raise InputError("output: goes with one path; for many files there is the command aio restore")
        return [restore_anything(net, each, settings) for each in image]
    if isinstance(image, str | Path):
        return _path(net, Path(image), settings, output)
    if output is not None:
        raise InputError(f"output: goes with the path of a photograph, but image is a {type(image).__name__}")
    if isinstance(image, Tensor):
        return _tensor(net, image, settings)
    if isinstance(image, Image.Image):
        photo, picture = of_picture(image)
        return picture(restore_photo(net, photo, settings))
    if isinstance(image, np.ndarray):
        photo, array = of_array(image)
        return array(restore_photo(net, photo, settings))
    known = "a PIL image, a NumPy array, a torch tensor, a path, or a list of these"
    raise InputError(f"image: expected {known}, got {type(image).__name__}")


def _path(net: RestorationNet, path: Path, settings: Settings, output: str | Path | None) -> Any:
    if output is None:
        photo = read_photo(path, max_pixels=LARGEST)
        if not fits_picture(photo):
            raise InputError(f"{path}: a PIL image cannot hold colours of {photo.bits} bits; name a file by output=")
        return picture_of(restore_photo(net, photo, settings))
    target = Path(output)
    if target.is_dir() or (target.exists() and target.samefile(path)):
        raise InputError(f"output {target}: expected the name of a new file")
    outcome = restore_one(net, Job(path, target), settings)
    if outcome.status == "failed":
        raise InputError(f"{path}: {outcome.reason}")
    return target


def _tensor(net: RestorationNet, tensor: Tensor, settings: Settings) -> Tensor:
    channels = tensor.shape[-3] if tensor.ndim in (3, 4) else 0
    if channels not in (1, 3, net.in_channels) or 0 in tensor.shape:
        wanted = " or ".join(map(str, sorted({1, 3, net.in_channels})))
        raise InputError(f"image: a tensor {tuple(tensor.shape)}, expected (C, H, W) or (B, C, H, W) with C {wanted}")
    if not (tensor.is_floating_point() or tensor.dtype == torch.uint8):
        raise InputError(f"image: a tensor of {tensor.dtype}, expected floats in [0, 1] or uint8")
    whole = tensor.dtype == torch.uint8
    images = tensor.detach().to("cpu", torch.float32).reshape(-1, *tensor.shape[-3:]) / (255 if whole else 1)
    restored = torch.stack([_one(net, image, settings) for image in images])
    result = (restored * 255).round() if whole else restored
    return result.reshape(*tensor.shape[:-3], *result.shape[1:]).to(tensor.device, tensor.dtype)


def _one(net: RestorationNet, image: Tensor, settings: Settings) -> Tensor:
    if len(image) not in (1, 3):  # such as both views of a dual-pixel camera
        return restore_image(net, image, **vars(settings))
    photo, tensor = of_tensor(image)
    return tensor(restore_photo(net, photo, settings))
