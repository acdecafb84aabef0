"""Small files of arrays with a header, taken whole or not at all: numpy's npz behind a checksum."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from aio.errors import InputError
from aio.files import atomic_write

_HEADER: Final = "header"
_CRC_BYTES: Final = 4


class Packed(NamedTuple):
    """What such a file holds: plain values that JSON knows, and arrays by name."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write_packed(path: Path, magic: bytes, packed: Packed) -> None:
    """Writes `packed` atomically; `magic` says kind and version of the file."""
    buffer = io.BytesIO()
    header = np.frombuffer(json.dumps(packed.header).encode(), np.uint8)
    np.savez(buffer, **{_HEADER: header, **packed.arrays})  # type: ignore[arg-type]
    body = buffer.getvalue()
    with atomic_write(path) as file:
        file.write(magic + zlib.crc32(body).to_bytes(_CRC_BYTES, "little") + body)


def read_packed(path: Path, magic: bytes) -> Packed | None:
    """The content of the file, or None if there is none.

    Raises:
        InputError: the file cannot be read, is of another kind or version, or its bytes are not those once written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    start = len(magic) + _CRC_BYTES
    if data[: len(magic)] != magic or zlib.crc32(data[start:]) != int.from_bytes(data[len(magic) : start], "little"):
        raise InputError(f"{path}: damaged or written by another version")
    with np.load(io.BytesIO(data[start:]), allow_pickle=False) as stored:
        arrays = dict(stored)
    return Packed(json.loads(arrays.pop(_HEADER).tobytes()), arrays)
