"""A part of a job, for arrays of jobs on a cluster: which part a restoration belongs to, its name alone decides."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1."""

    index: int
    count: int

    @property
    def label(self) -> str:
        """For the names of files that each part has for itself."""
        return f"-{self.index}of{self.count}"

    def holds(self, name: str) -> bool:
        """Whether the restoration of this name belongs to the part; what else there is has no say in it."""
        number = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8])
        return number % self.count == self.index - 1


def parse_shard(word: str) -> Shard:
    """`2/8` is the second of eight parts.

    Raises:
        ValueError: it is not of that form, or there is no such part.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", word, re.ASCII)
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.index <= shard.count:
        raise ValueError(f"{word!r}: expected i/N with 1 <= i <= N, as 1/8")
    return shard
