"""Writing files so that a reader, a kill or a full disk never meets half of one."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_TEMPORARY: Final = (".tmp-", ".part")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that becomes `path` when the block ends well, and leaves no trace when it does not.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and replace `path` at once.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY[0], suffix=_TEMPORARY[1])
    try:
        _lock(handle)
        os.fchmod(handle, 0o666 & ~_umask())
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Puts the names in `folder` on the disk, so that a file written before survives a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: str | Path) -> list[Path]:
    """Removes what killed writers left in `folder` itself; returns it. Files that are still being written stay."""
    prefix, suffix = _TEMPORARY
    return [path for path in Path(folder).glob(f"{prefix}*{suffix}") if _removed(path)]


def _removed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if not _lock(file.fileno()):
                return False
            path.unlink()
    except FileNotFoundError:  # its writer has just ended
        return False
    return True


def _lock(handle: int) -> bool:
    """Whether this process holds the file now. The system frees it when the process ends, however that is.

    Some network file systems know no locks: there nothing is ever held, nor swept.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_text(path: str | Path, text: str) -> None:
    """`text` as UTF-8, written by `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
