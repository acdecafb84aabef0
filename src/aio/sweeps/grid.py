"""W&B's sweep files: read, checked, and expanded into the runs that a W&B agent would start.

A parameter reaches the command as `--NAME=VALUE`, written as Python writes the value: what W&B's agent does.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from aio.errors import InputError
from aio.flags import FLAGS

SEED: Final = "seed_everything"
_KEYS: Final = {"program", "command", "method", "metric", "parameters", "name", "description", "project", "entity"}
_START: Final = ["-m", "aio.fit"]


class Run(NamedTuple):
    """One run of the grid: its row in the table, its seed, and the words for `aio fit`."""

    variant: str
    seed: str | None
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of its folder."""
        name = self.variant if self.seed is None else f"{self.variant}-seed{self.seed}"
        return re.sub(r"[^\w.,=+-]", "_", name)


def read_sweep(path: Path) -> dict[str, Any]:
    """The content of the sweep file `path`.

    Raises:
        InputError: there is no such file, or it is not a grid whose command is `python -m aio.fit`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a sweep file such as conf/sweep/components.yaml")
    try:
        sweep = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({error})") from error
    if not isinstance(sweep, dict) or not {"method", "parameters"} <= set(sweep):
        raise InputError(f"{path}: not a sweep file; expected method: grid, parameters and command")
    if unknown := sorted(set(map(str, sweep)) - _KEYS):
        raise InputError(f"{path}: unknown key {unknown[0]!r}; expected {', '.join(sorted(_KEYS))}")
    if sweep["method"] != "grid":
        raise InputError(f"{path}: method {sweep['method']!r}: only a grid has an end; expected grid")
    _arguments(path, sweep, [])
    _values(path, sweep["parameters"])
    return sweep


def expand(path: Path, sweep: dict[str, Any]) -> list[Run]:
    """Every combination of the parameters' values; all variants in the file's order for one seed, then the next.

    Raises:
        InputError: two combinations have one name.
    """
    values = _values(path, sweep["parameters"])
    order = sorted(values, key=lambda name: name != SEED)
    varied = [name for name in order if name != SEED and len(values[name]) > 1]
    runs = []
    for combination in itertools.product(*(values[name] for name in order)):
        chosen = dict(zip(order, combination, strict=True))
        variant = ",".join(_label(name, chosen[name]) for name in varied) or path.stem
        words = _arguments(path, sweep, [f"--{name}={chosen[name]}" for name in values])
        runs.append(Run(variant, str(chosen[SEED]) if SEED in chosen else None, tuple(words)))
    for name, twins in itertools.groupby(sorted(run.name for run in runs)):
        if len(list(twins)) > 1:
            raise InputError(f"{path}: two runs are named {name}; expected values that differ in their names")
    return runs


def options_of(words: Iterable[str]) -> set[str]:
    """The dotted names of the options in `words`, whether written short or dotted."""
    keys = {flag.name: flag.key for flag in FLAGS}
    names = (word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--"))
    return {keys.get(name, name) for name in names}


def _label(name: str, value: Any) -> str:
    text = str(value)
    return Path(text).stem if text.endswith((".yaml", ".yml")) else f"{name.rpartition('.')[2]}={text}"


def _values(path: Path, parameters: Any) -> dict[str, list[Any]]:
    if not isinstance(parameters, dict) or not parameters:
        raise InputError(f"{path}: parameters {parameters!r}: expected NAME: {{values: [...]}}")
    for name, parameter in parameters.items():
        known = isinstance(parameter, dict) and set(parameter) in ({"value"}, {"values"})
        if not known or not isinstance(_listed(parameter), list) or not _listed(parameter):
            raise InputError(f"{path}: parameter {name} {parameter!r}: expected value: X or values: [X, ...]")
    return {str(name): _listed(parameter) for name, parameter in parameters.items()}


def _listed(parameter: dict[str, Any]) -> Any:
    return parameter["values"] if "values" in parameter else [parameter["value"]]


def _arguments(path: Path, sweep: dict[str, Any], arguments: list[str]) -> list[str]:
    """The words of `command` after `-m aio.fit`."""
    command = sweep.get("command")
    if not isinstance(command, list) or "${args}" not in command:
        raise InputError(f"{path}: command {command!r}: expected a list with ${{args}} in it")
    filled = {"${env}": [], "${interpreter}": [], "${program}": [str(sweep.get("program"))], "${args}": arguments}
    words = [word for part in map(str, command) for word in filled.get(part, [part])]
    if unknown := [word for word in words if word.startswith("${")]:
        raise InputError(f"{path}: command: unknown {unknown[0]}; expected {', '.join(filled)}")
    start = 1 if words[0].startswith("python") else 0
    if words[start : start + 2] != _START:
        raise InputError(f"{path}: command {' '.join(words)}: expected ${{interpreter}} -m aio.fit ...")
    return words[start + 2 :]
