"""The order of a pass over images that lie in chunks: few chunks are in use at a time, each for one stretch."""

from __future__ import annotations

from typing import Final

import numpy as np

WINDOW: Final = 4  # chunks whose images are mixed; it decides the order, so it is no option


def chunk_by_chunk(places: np.ndarray, *, seed: int, source: int, completed: int) -> np.ndarray:
    """The order `(N,)` of pass number `completed` over the images of `source` that lie in the chunks `places` `(N,)`.

    Chunk number r of the pass gives its images at random times in [r, r + WINDOW), so that chunks enter and leave one
    by one and WINDOW of them are in use. All sources take the chunks in one order, so that those with the same images
    use the same chunks at the same time. A source in no more than WINDOW chunks is shuffled as from a folder.
    """
    ids, chunk = np.unique(places, return_inverse=True)
    random = np.random.default_rng([seed, source, completed])
    if len(ids) <= WINDOW:
        return random.permutation(len(places))
    # SeedSequence takes trailing zeros for nothing, hence the 1.
    turns = np.random.default_rng([seed, completed, 0, 1]).random(ids[-1] + 1)[ids]
    turn = np.argsort(np.argsort(turns))
    return np.argsort(turn[chunk] + WINDOW * random.random(len(places)), kind="stable")
