"""Files from where a stream lies to a local folder, by litdata's downloaders.

Local folders are copied. For `s3://`, `gs://`, `azure://`, `r2://` and `hf://` credentials, endpoints and retries are
litdata's and its libraries' (for S3 boto3's usual environment and files); nothing of that is tested here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.data.streaming.manifest import Chunk
from aio.errors import InputError

if TYPE_CHECKING:
    from litdata.streaming.downloader import Downloader


class Fetcher:
    """Fetches files below the URL or folder `remote`; every process connects by itself."""

    def __init__(self, remote: str, chunks: Sequence[Chunk] = ()) -> None:
        self.remote = remote
        self._lengths = [{"filename": chunk.file, "chunk_bytes": chunk.bytes} for chunk in chunks]
        self._connection: tuple[int, Downloader] | None = None

    def fetch(self, name: str, folder: Path) -> Path:
        """Copies the file `name` into `folder`, which must not hold it yet, and gives its path there.

        Raises:
            InputError: it is missing or cannot be reached, or litdata is not installed.
        """
        downloader = self._downloader()
        from botocore.exceptions import BotoCoreError, ClientError
        from obstore.exceptions import BaseError

        source, target = f"{self.remote}/{name}", folder / name
        try:
            downloader.download_file(source, str(target))
        except (OSError, BotoCoreError, ClientError, BaseError) as error:
            raise InputError(f"{source}: cannot be fetched, expected a file of a stream there ({error})") from error
        if not target.is_file():
            raise InputError(f"{source}: expected a file of a stream, but there is none")
        return target

    def _downloader(self) -> Downloader:
        if self._connection is None or self._connection[0] != os.getpid():  # connections do not survive a fork
            require_litdata()
            from litdata.streaming.downloader import get_downloader

            self._connection = os.getpid(), get_downloader(self.remote, "", self._lengths)
        return self._connection[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None}


def require_litdata() -> None:
    """Raises InputError if litdata is not installed."""
    try:
        import litdata  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError("streams need litdata: pip install 'aio[stream]'") from error
