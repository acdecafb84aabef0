"""The image files below a folder with what tells whether they change, and the folder that work over them writes to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from filelock import FileLock, Timeout

from aio.data.parallel import progress_bar
from aio.data.tree import read_tree
from aio.errors import InputError

_LOCK: Final = "prepare.lock"
_SPARE: Final = 2**26  # bytes of the disk that stay free
_GIB: Final = 2**30


class ImageFile(NamedTuple):
    """An image file: its name below the root, its path, its size in bytes and its modification time in nanoseconds."""

    name: str
    path: Path
    size: int
    mtime: int


def image_files(root: Path) -> list[ImageFile]:
    """Every image file below `root`, save in hidden folders, sorted.

    Raises:
        InputError: `root` is missing or holds no image.
    """
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder of images, but there is none")
    files = []
    for name in read_tree(root).images():
        about = (root / name).stat()
        files.append(ImageFile(name, root / name, about.st_size, about.st_mtime_ns))
    if not files:
        raise InputError(f"{root}: holds no image file")
    return files


def image_sizes(
    files: Sequence[ImageFile], size_of: Callable[[Path], tuple[int, int]]
) -> tuple[dict[ImageFile, tuple[int, int]], list[str]]:
    """(height, width) of the files that `size_of` can read, and a line for each that it cannot."""

    def answer(file: ImageFile) -> tuple[int, int] | str:
        try:
            return size_of(file.path)
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor() as pool, progress_bar() as bar:
        answers = list(bar.track(pool.map(answer, files), total=len(files), description="reading headers"))
    sizes = {file: size for file, size in zip(files, answers, strict=True) if not isinstance(size, str)}
    return sizes, [fault for fault in answers if isinstance(fault, str)]


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Makes `folder`, and keeps out others who want it in the same way until the block ends, or the process.

    Raises:
        InputError: it cannot be written to.
    """
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            sys.stdout.write(f"{folder}: waiting for another process that writes there\n")
            lock.acquire()
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error}); name another folder by --out") from error
    try:
        yield
    finally:
        lock.release()


def need_room(folder: Path, needed: int) -> None:
    """Says how many bytes `needed` are and how many are free.

    Raises:
        InputError: too few are free.
    """
    free = shutil.disk_usage(folder).free
    said = f"{folder}: {needed / _GIB:.2f} GiB to write, {free / _GIB:.2f} GiB free"
    if needed + _SPARE > free:
        raise InputError(f"{said}: make room, or name a folder on another disk by --out")
    sys.stdout.write(f"{said}\n")
