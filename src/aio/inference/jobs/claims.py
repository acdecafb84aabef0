"""Who is at what: locks on bytes of one file, each byte a photograph, which the system frees when a process dies."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

# File systems without locks (some mounts of Lustre and NFS): then nobody is kept off.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_HELD: Final = frozenset({errno.EACCES, errno.EAGAIN})
_PRESENCE: Final = 0
_LEFTOVERS: Final = ".tmp-????????.part"  # what `atomic_write` leaves behind when it is killed


class Claims:
    """The claims of this process in `folder`; one such object per process and folder.

    Attributes:
        works: whether the file system knows locks.
    """

    def __init__(self, folder: Path) -> None:
        self.works = True
        self._file = os.open(folder / "claims", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def take(self, name: str) -> bool:
        """Whether `name` is this process's from now on: False where it is another's."""
        return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, _byte_of(name))

    def release(self, name: str) -> None:
        """Leaves `name` to others."""
        self._lock(fcntl.LOCK_UN, _byte_of(name))

    def sweep(self, folders: Iterable[Path]) -> None:
        """Removes what killed processes left half-written in `folders`, if no other process is at work."""
        if self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, _PRESENCE) and self.works:
            for folder in folders:
                for leftover in folder.glob(_LEFTOVERS):
                    leftover.unlink(missing_ok=True)
        self._lock(fcntl.LOCK_SH, _PRESENCE)  # others see that someone is at work

    def _lock(self, how: int, byte: int) -> bool:
        if not self.works:
            return True
        try:
            fcntl.lockf(self._file, how, 1, byte)
        except OSError as error:
            if error.errno in _HELD:
                return False
            if error.errno not in _NO_LOCKS:
                raise
            self.works = False
        return True


def _byte_of(name: str) -> int:
    """Two names on one byte would only wait for each other."""
    return 1 + int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:7])
