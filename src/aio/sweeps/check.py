"""Whether `aio fit` will take every run of a sweep, found out before the first one starts."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aio.errors import InputError
from aio.flags import translate
from aio.sweeps.grid import Run, options_of


def check_options(options: Sequence[str], parameters: Sequence[str]) -> None:
    """Looks at the `options` for all runs beside the names of the sweep's own `parameters`.

    Raises:
        InputError: one of them would overrule the sweep, or the folder of a run.
    """
    translate(options)
    given = options_of(options)
    if taken := sorted(given & options_of(f"--{name}" for name in parameters if name != "config")):
        raise InputError(f"--{taken[0]}: the sweep sets it; expected an option that it leaves alone")
    if taken := sorted(given & {"run_dir", "resume_from"}):
        raise InputError(f"--{taken[0]}: every run has its own; expected --out DIR, which holds them all")


def check_runs(path: Path, runs: Sequence[Run], options: Sequence[str]) -> None:
    """Parses the command line of every run as `aio fit` will.

    Raises:
        InputError: one is refused, with the message of `aio fit`; or two runs are the same training.
    """
    seen: dict[str, str] = {}
    for run in runs:
        try:
            config = parse([*run.words, *options])
        except InputError as error:
            raise InputError(f"{path}: {run.name}: {error}") from error
        twin = seen.setdefault(json.dumps(config, default=str, sort_keys=True), run.name)
        if twin != run.name:
            raise InputError(f"{path}: {twin} and {run.name} are the same training; an option overrules the sweep's")


def parse(words: Sequence[str]) -> dict[str, Any]:
    """All options of the training that `words` ask `aio fit` for, without the names of the files they came from.

    Raises:
        InputError: there is no such training.
    """
    from aio.cli import AioCLI  # takes seconds, and mistyped sweep files answer before it

    class Parsed(AioCLI):
        """Builds nothing."""

        def before_instantiate_classes(self) -> None: ...

        def instantiate_classes(self) -> None: ...

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = Parsed(words).config.as_dict()
    except SystemExit as error:
        raise InputError(said.getvalue().rpartition("error: ")[2].strip()) from error
    return {key: value for key, value in config.items() if key != "config"}
