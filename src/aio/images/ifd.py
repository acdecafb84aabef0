"""Directories (IFDs), of which TIFF files and EXIF blocks are made: reading, and laying out new ones.

TIFF 6.0 section 2, and BigTIFF's wider offsets. Values stay bytes in their file's order, so that nothing is lost.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import BinaryIO, Final, NamedTuple, Union

Fields = Mapping[int, Union["Field", "Fields"]]

BYTE: Final = 1
SHORT: Final = 3
LONG: Final = 4
UNDEFINED: Final = 7
LONG8: Final = 16

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WORDS: Final = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # a rational is two
_INTEGERS: Final = {BYTE: "B", SHORT: "H", LONG: "I", 13: "I", LONG8: "Q", 18: "Q"}


class Field(NamedTuple):
    """A tag's value: its TIFF type, how many of it, and the bytes."""

    kind: int
    number: int
    data: bytes


class Entry(NamedTuple):
    """Where a directory speaks of a tag."""

    at: int
    kind: int
    number: int


class Directory:
    """One directory of a TIFF file or EXIF block; values are read when asked for.

    Raises:
        ValueError: the directory is cut off or is none; also on reading a value that lies outside the file.
    """

    def __init__(self, file: BinaryIO, at: int, order: str, big: bool) -> None:
        self.file = file
        self.order = order
        self.big = big
        self.length = file.seek(0, io.SEEK_END)
        (count,) = self._unpack("Q" if big else "H", at)
        start, step = (at + 8, 20) if big else (at + 2, 12)
        self.link = start + step * count
        (self.next,) = self._unpack(self._offset, self.link)
        self.entries: dict[int, Entry] = {}
        for position in range(start, self.link, step):
            tag, kind, number = self._unpack("HHQ" if big else "HHI", position)
            self.entries.setdefault(tag, Entry(position, kind, number))

    @classmethod
    def first(cls, file: BinaryIO) -> Directory:
        """The directory to which the header points."""
        file.seek(0)
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise ValueError("no TIFF header")
        big = struct.unpack_from(order + "H", head, 2) == (43,)
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), head.ljust(16, b"\0"), 8 if big else 4)
        return cls(file, at, order, big)

    def field(self, tag: int) -> Field | None:
        """The value of `tag`, or None where it is absent."""
        entry = self.entries.get(tag)
        if entry is None:
            return None
        size = entry.number * _SIZES.get(entry.kind, 1)
        at = entry.at + (12 if self.big else 8)
        if size > (8 if self.big else 4):
            (at,) = self._unpack(self._offset, at)
        return Field(entry.kind, entry.number, self.read(at, size))

    def data(self, tag: int) -> bytes | None:
        """The bytes of `tag`'s value."""
        field = self.field(tag)
        return field and field.data

    def numbers(self, tag: int, *default: int) -> tuple[int, ...]:
        """The unsigned integers of `tag`, or `default` where it is absent."""
        field = self.field(tag)
        if field is None:
            return default
        if field.kind not in _INTEGERS:
            raise ValueError(f"tag {tag} holds no unsigned integers")
        return struct.unpack(f"{self.order}{field.number}{_INTEGERS[field.kind]}", field.data)

    def sub(self, tag: int) -> Directory | None:
        """The directory to which `tag` points."""
        offsets = self.numbers(tag)
        return Directory(self.file, offsets[0], self.order, self.big) if offsets else None

    def next_after(self, at: int) -> int:
        """Where the directory is to which the one at `at` leads on; 0 behind the last."""
        (count,) = self._unpack("Q" if self.big else "H", at)
        (following,) = self._unpack(self._offset, at + (8 + 20 * count if self.big else 2 + 12 * count))
        return following

    @property
    def _offset(self) -> str:
        return "Q" if self.big else "I"

    def _unpack(self, kinds: str, at: int) -> tuple[int, ...]:
        return struct.unpack(self.order + kinds, self.read(at, struct.calcsize("<" + kinds)))

    def read(self, at: int, size: int) -> bytes:
        if at + size > self.length:
            raise ValueError("a TIFF directory or one of its values is cut off")
        self.file.seek(at)
        return self.file.read(size)


def numbers(order: str, kind: int, *values: int) -> Field:
    """A field of unsigned integers."""
    return Field(kind, len(values), struct.pack(f"{order}{len(values)}{_INTEGERS[kind]}", *values))


def header(order: str, first: int, big: bool = False) -> bytes:
    """The head of a file whose first directory stands at `first`."""
    mark = b"II" if order == "<" else b"MM"
    return mark + (struct.pack(order + "HHHQ", 43, 8, 0, first) if big else struct.pack(order + "HI", 42, first))


def swapped(fields: Fields) -> dict[int, Field | Fields]:
    """The fields in the other byte order."""
    return {tag: _swapped(item) if isinstance(item, Field) else swapped(item) for tag, item in fields.items()}


def _swapped(field: Field) -> Field:
    word = _WORDS.get(field.kind, 1)
    words = (field.data[at : at + word][::-1] for at in range(0, len(field.data), word))
    return field if word == 1 else field._replace(data=b"".join(words))


def pack(fields: Fields, at: int, order: str, big: bool = False) -> bytes:
    """A directory that will stand at `at`, its values and the directories within it behind it."""
    offset, inline = ("Q", 8) if big else ("I", 4)
    start = at + len(fields) * (20 if big else 12) + (16 if big else 6)
    rows, tail = [], b""
    for tag, content in sorted(fields.items()):
        kind, number, data = content if isinstance(content, Field) else Field(LONG8 if big else LONG, 1, b"")
        if len(data) > inline or not isinstance(content, Field):
            tail += b"\0" * (len(tail) % 2)  # offsets are even
            value = struct.pack(order + offset, start + len(tail))
            tail += data if isinstance(content, Field) else pack(content, start + len(tail), order, big)
        else:
            value = data.ljust(inline, b"\0")
        rows.append(struct.pack(order + "HH" + offset, tag, kind, number) + value)
    count = struct.pack(order + ("Q" if big else "H"), len(rows))
    return count + b"".join(rows) + struct.pack(order + offset, 0) + tail
