"""A folder's images for one training: their index and their store where these are, else the files alone."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only

from aio.data.discovery import Found, discover
from aio.data.index import FILES, MANY, FileIndex
from aio.data.sources import Split
from aio.data.store import FOLDER, INDEX, DecodedStore
from aio.errors import InputError
from aio.vocabulary import Degradation


class LocalFiles:
    """What lies below `root`.

    Args:
        root: folder of images.
        cache_dir: where `aio data prepare` wrote; `root/.aio` by default, which need not be there.

    Attributes:
        store: decoded images; None where there is no store.

    Raises:
        InputError: `cache_dir` was given and holds neither a store nor an index.
    """

    def __init__(self, root: Path, cache_dir: str | None) -> None:
        self.root, self.folder = root, root / FOLDER if cache_dir is None else Path(cache_dir)
        if cache_dir is not None and not any((self.folder / name).exists() for name in (INDEX, FILES)):
            raise InputError(
                f"--data.cache_dir {cache_dir}: holds no store; expected what "
                f"`aio data prepare {root} --out {cache_dir}` writes"
            )
        self.store = DecodedStore(self.folder, root) if (self.folder / INDEX).exists() else None

    @cached_property
    def index(self) -> FileIndex:
        """Lists the tree on the first use."""
        return FileIndex(self.root, self.folder)

    def found(self, tasks: Collection[Degradation]) -> dict[Split, Found]:
        """As `aio.data.discovery.discover` of the root."""
        return self.index.discover(tasks) if self.root.is_dir() else discover(self.root, tasks)

    def size_of(self, path: Path) -> tuple[int, int]:
        """(height, width); as `aio.images.image_size`."""
        return self.index.image_size(path)

    @rank_zero_only
    def settle(self, paths: Iterable[Path]) -> None:
        """After `paths` were checked: writes down what is new of many files, and warns of what the store lacks."""
        if self.index.learnt and (len(self.index) >= MANY or (self.folder / FILES).exists()):
            with suppress(OSError):  # a folder that may only be read does without
                self.index.save()
        if self.store is not None:
            self._warn(self.store, self.index.stamps(paths))

    def _warn(self, store: DecodedStore, stamps: Sequence[tuple[str, int, int]]) -> None:
        missing = store.missing(stamps)
        if missing:
            lacking = (
                f"{len(missing):,} of {len(stamps):,} images are new or changed, the first {self.root / missing[0]}"
            )
            mend = f"they are decoded each time; `aio data prepare {self.root}` adds them"
            warnings.warn("\n".join([f"{self.folder}: {lacking}; {mend}", *store.faults]), stacklevel=2)
