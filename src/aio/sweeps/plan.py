"""What a sweep folder is for: one sweep file with one set of options, noted in `plan.json`."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aio.errors import InputError
from aio.files import write_text
from aio.sweeps.grid import Run


def make_plan(path: Path, sweep: dict[str, Any], options: Sequence[str], runs: Sequence[Run]) -> dict[str, Any]:
    """The sweep as plain data; of the files that its runs read as configuration, the SHA-256."""
    words = sorted({word.rpartition("=")[2] for run in runs for word in (*run.words, *options)})
    files = {word: _digest(Path(word)) for word in words if word.endswith((".yaml", ".yml")) and Path(word).is_file()}
    plan = {"file": str(path), "sweep": sweep, "options": list(options), "files": files}
    return json.loads(json.dumps(plan, default=str))  # as it will be read again


def claim(out: Path, plan: dict[str, Any]) -> None:
    """Makes the folder `out` that of `plan`; one that is so already goes on.

    Raises:
        InputError: it holds something else.
    """
    file = out / "plan.json"
    if not file.is_file():
        if out.is_dir() and any(path.name != ".lock" for path in out.iterdir()):
            raise InputError(f"{out}: holds something else than a sweep; give another --out")
        write_text(file, json.dumps(plan, indent=1) + "\n")
        return
    held = json.loads(file.read_text())
    if held["sweep"] != plan["sweep"]:
        changed = "as it was before it changed" if held["file"] == plan["file"] else f"and not of {plan['file']}"
        raise InputError(f"{out}: holds the sweep of {held['file']} {changed}; give another --out")
    if held["options"] != plan["options"]:
        had, has = (" ".join(p["options"]) or "no options" for p in (held, plan))
        raise InputError(f"{out}: holds a sweep with {had}, and not with {has}; give another --out")
    for name in sorted(held["files"].keys() | plan["files"].keys()):
        if held["files"].get(name) != plan["files"].get(name):
            raise InputError(f"{out}: {name} has changed since this sweep began; give another --out")


@contextmanager
def locked(out: Path) -> Iterator[int]:
    """Holds `out` for this process and, through the yielded file descriptor, for the runs that inherit it.

    Raises:
        InputError: another sweep holds it, or a run that outlived one.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{out}: another sweep, or a run that outlived one, is at work here") from None
        yield file.fileno()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
