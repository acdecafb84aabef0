"""Which split the files of a folder are for: as its path says, as an official list says, else most of them train."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from aio.data.sources import Split
from aio.data.tree import Folder

Key = TypeVar("Key", bound=str)
Files = TypeVar("Files", bound=tuple[Path, ...])  # of one sample, its clean image last

_WORDS: Final[dict[Split, str]] = {
    "train": r"train|our485",
    "val": r"^val|^test|_(test|val|valid)(_|$)|^eval",
}
_TEST_SETS: Final[dict[Split, str]] = {  # their name says it, where no other word does
    "val": r"sots|^rain100|bsd68|kodak|mcmaster|urban100|manga109|^set(5|12|14)(_|$)|^b(sds?)?100(_|$)|^hide",
}
_HELD_OUT: Final = 20  # one clean image in so many validates where no folder's name says what does


def split_of(words: Sequence[str]) -> Split | None:
    """What the names of the folders on a path say, lower case and from the top down."""
    return match(words, _WORDS) or match(words, _TEST_SETS)


def by_split(parts: Iterable[tuple[Folder, Sequence[Files]]], named: Mapping[Path, Split]) -> dict[Split, list[Files]]:
    """The samples of each folder in the split that `named` says of their first file, else the folder's path.

    Those of folders that name none train; where no folder validates, every `_HELD_OUT`-th of their clean images does.
    """
    splits: dict[Split, list[Files]] = {"train": [], "val": []}
    unnamed: list[Files] = []
    for folder, samples in parts:
        split = split_of(folder.words)
        for sample in samples:
            chosen = named.get(sample[0], split) if named else split
            (unnamed if chosen is None else splits[chosen]).append(sample)
    photos = sorted({sample[-1] for sample in unnamed})
    held_out = set() if splits["val"] or len(photos) == 1 else set(photos[::_HELD_OUT])
    for sample in unnamed:
        splits["val" if sample[-1] in held_out else "train"].append(sample)
    return splits


def match(words: Sequence[str], patterns: Mapping[Key, str]) -> Key | None:
    """The key whose pattern the first word meets; "train" is no word about rain."""
    for word in words:
        for key, pattern in patterns.items():
            text = word if key == "train" else word.replace("train", "")
            if re.search(pattern, text):
                return key
    return None
