"""Which checkpoint of a run to go on from: the newest that is whole."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Final

from lightning.fabric.utilities.rank_zero import rank_zero_only

from aio.errors import InputError
from aio.weights import read_checkpoint

_NEWEST_FIRST: Final = ("last.ckpt", "best.ckpt")


def checkpoint_to_resume(resume_from: str | None, run_dir: str | None) -> Path | None:
    """The file that `--resume_from` means; None begins anew.

    Args:
        resume_from: a file; `last` for the newest whole checkpoint in `run_dir`; `auto` for the same where there is
            one, and a new training where there is none.
        run_dir: folder of the run.

    Raises:
        InputError: there is no such file, or all there are are damaged.
    """
    if resume_from is None:
        return None
    if resume_from not in ("last", "auto"):
        if not Path(resume_from).is_file():
            raise InputError(f"--resume_from {resume_from}: no such file; expected a checkpoint of an earlier run")
        return Path(resume_from)
    if run_dir is None:
        raise InputError(f"--resume_from {resume_from}: say of which run with --ckpt_dir DIR")
    found = _newest_whole(Path(run_dir))
    if found is None and resume_from == "last":
        raise InputError(f"--resume_from last: {run_dir} holds no {' or '.join(_NEWEST_FIRST)}")
    return found


def _newest_whole(folder: Path) -> Path | None:
    damaged: list[InputError] = []
    for path in (folder / name for name in _NEWEST_FIRST):
        if not path.is_file():
            continue
        try:
            _require_whole(path)
        except InputError as error:
            damaged.append(error)
            continue
        if damaged:
            _warn(f"warning: {damaged[0]}\nwarning: goes on from {path}")
        return path
    if damaged:
        raise InputError("\n".join(map(str, damaged)))
    return None


def _require_whole(path: Path) -> None:
    """Raises InputError unless every byte is as it was written, by the archive's own checksums."""
    read_checkpoint(path)
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not a whole checkpoint ({error})") from error
    if bad is not None:
        raise InputError(f"{path}: not a whole checkpoint ({bad} has changed since it was written)")


@rank_zero_only
def _warn(message: str) -> None:
    sys.stderr.write(f"{message}\n")
