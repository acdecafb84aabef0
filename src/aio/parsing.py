"""Parsing a configuration: which classes it may name, and what it says as plain data."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from typing import Any

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

from aio.trust import EXECUTING, PACKAGES, refuse_foreign

_DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")


def trust(packages: Sequence[str]) -> None:
    """Lets files and options name what lies in our packages and in `packages`, from now on and in this process."""
    set_parsing_settings(
        import_path_denylist=["*", *EXECUTING],
        import_path_allowlist=[*PACKAGES, *packages],
        instantiate_subclass_spec_in_any=False,
    )


def parse(
    parser: LightningArgumentParser, words: Sequence[str], *, over: dict[str, Any] | None = None, source: Any = None
) -> Namespace:
    """What `words` say; where they are silent, what the settings `over` of the file `source` say.

    Raises:
        InputError: a class is named which may not be; nothing was imported to find out.
    """
    if over:
        refuse_foreign(over, str(source))
        forget = ['--model.net={"class_path": "aio.nets.base.RestorationNet"}'] * ("net" in over.get("model", {}))
        words = [*forget, f"--config={json.dumps(over)}", *words]
    parser.exit_on_error = False
    try:
        return parser.parse_args(words)
    except argparse.ArgumentError as error:
        if denied := _DENIED.search(str(error)):
            refuse_foreign({"class_path": denied[1]}, "the configuration")
        parser.exit_on_error = True
        parser.error(str(error))
    finally:
        parser.exit_on_error = True


def plain(parser: LightningArgumentParser, config: Namespace) -> dict[str, Any]:
    """`config` as it would be saved, in plain data."""
    return yaml.safe_load(parser.dump(config, skip_none=False, skip_validation=True))
