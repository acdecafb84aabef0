"""Puts a checkpoint's weights into the package as its default network: `make weights CHECKPOINT=...`.

`python bench/ship.py CHECKPOINT`: float16, a header that says licence, data and recipe, the SHA-256 beside them. What
the model card says of other weights is taken out; `make card` measures these.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any, Final

import yaml

import card
from aio.errors import InputError
from aio.files import write_text
from aio.nets.base import count_parameters
from aio.presets import conf_dir
from aio.shipped import WEIGHTS, digest_file
from aio.vocabulary import expand
from aio.weights import deploy, open_net, read_checkpoint, require_images

RECIPE: Final = "fit/default.yaml"
LARGEST: Final = 16_000_000  # bytes
ABOUT: Final = {
    "licence": "MIT as the package's; trained on images of data sets that are released for non-commercial research",
    "data": "BSDS500, Sun-Hays 80, Rain100L, SOTS-indoor of RESIDE, LOL: see README.md beside this file",
    "recipe": f"conf/{RECIPE}",
}
_UNMEASURED: Final = "Not measured yet: `make card ROOT=...` fills this in."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    print(ship(parser.parse_args().checkpoint, WEIGHTS, card.CARD))


def ship(checkpoint: Path, target: Path, page: Path) -> str:
    """Writes `target` and its SHA-256, and blanks what `page` says was measured; says what was written.

    Raises:
        InputError: the checkpoint cannot be opened, or its net is not for photographs or too large.
    """
    net = open_net(checkpoint)
    require_images(net, 1)
    if 2 * count_parameters(net) > LARGEST:
        raise InputError(f"{checkpoint}: {count_parameters(net):,} parameters, in float16 more than {LARGEST:,} bytes")
    recipe = yaml.safe_load((conf_dir() / RECIPE).read_text())
    about = ABOUT | trained(read_checkpoint(checkpoint))
    deploy(net, target, tasks=expand(recipe["data"]["de_type"]), about=about, half=True)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    write_text(digest_file(target), f"{digest}  {target.name}\n")
    card.write_block(page, card.MEASURED, _UNMEASURED)
    return f"{target}: {target.stat().st_size:,} bytes, SHA-256 {digest}, {about}"


def trained(content: dict[str, Any]) -> dict[str, str]:
    """How far the training was, as a checkpoint of a run or its `model.safetensors` says."""
    said = content.get("hyper_parameters", {}).get("about", {})
    known = {key: said[key] for key in ("epoch", "step", "score", "weights") if key in said}
    if "global_step" in content:
        known |= {"epoch": str(content["epoch"]), "step": str(content["global_step"])}
    if "ema_decay" in content:
        known["weights"] = f"moving average, decay {content['ema_decay']}"
    return known


if __name__ == "__main__":
    main()
