"""The networks in conf/net/ by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from aio.errors import InputError


def conf_dir() -> Path:
    """The folder of the shipped configurations: inside the installed package, or beside `src/` in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "conf", here.parents[1] / "conf") if folder.is_dir())


def list_presets() -> list[str]:
    """Names of all network presets, sorted."""
    return sorted(path.stem for path in (conf_dir() / "net").glob("*.yaml"))


class Preset(NamedTuple):
    """What the header of a preset says; a test compares it with the net."""

    paper: str
    parameters: int
    gmacs: float
    source: str


def describe(name: str) -> Preset:
    """The header of the preset `name`."""
    header = dict(re.findall(r"^# (\w+): (.+)$", (conf_dir() / "net" / f"{name}.yaml").read_text(), re.MULTILINE))
    parameters, gmacs = int(header["Parameters"].replace(",", "")), float(header["MACs"].split()[0])
    return Preset(header["Paper"], parameters, gmacs, header["Source"])


def net_preset(name: str) -> dict[str, Any]:
    """`{"class_path": ..., "init_args": ...}` of the preset `name`, or of a YAML file of that form.

    Raises:
        InputError: there is none of that name (the message lists them), or the file is not of the form.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else conf_dir() / "net" / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"unknown network {name!r}: choose from {', '.join(list_presets())}, or give a YAML file")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({error})") from error
    if not isinstance(content, dict) or "class_path" not in content:
        raise InputError(f"{path}: expected class_path and init_args of a network")
    return {"class_path": content["class_path"], "init_args": content.get("init_args") or {}}
