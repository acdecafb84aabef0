"""Passes that go chunk by chunk: every image once, few chunks at a time, and at random within them."""

from __future__ import annotations

import numpy as np
import pytest

from aio.data.locality import WINDOW, chunk_by_chunk
from aio.data.mixture import Mixture

PLACES = np.repeat(np.arange(5, 45), 10)  # forty chunks of ten images


def order(places: np.ndarray = PLACES, *, seed: int = 0, source: int = 0, completed: int = 0) -> np.ndarray:
    return chunk_by_chunk(places, seed=seed, source=source, completed=completed)


def stretches(chunks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in a pass each chunk is first and last used, in the order of first use."""
    ids = np.unique(chunks)
    first = np.array([np.flatnonzero(chunks == chunk)[0] for chunk in ids])
    last = np.array([np.flatnonzero(chunks == chunk)[-1] for chunk in ids])
    return first[np.argsort(first)], last[np.argsort(first)]


def test_a_pass_has_every_image_once_and_few_chunks_in_use():
    for completed in range(5):
        found = order(completed=completed)
        assert sorted(found) == list(range(len(PLACES)))
        first, last = stretches(PLACES[found])
        in_use = [int(((first <= now) & (now <= last)).sum()) for now in range(len(found))]
        assert max(in_use) <= WINDOW + 1
        assert np.mean(in_use) > WINDOW / 2  # and not one after the other


def test_it_depends_on_seed_source_and_pass_alone():
    assert np.array_equal(order(), order())
    others = [order(seed=1), order(source=1), order(completed=1)]
    assert not any(np.array_equal(order(), other) for other in others)


def test_sources_with_the_same_images_use_the_same_chunks_at_the_same_time():
    ours, theirs = PLACES[order(source=0)], PLACES[order(source=3)]
    stretch = 10 * WINDOW
    for start in range(0, len(PLACES) - stretch, stretch):
        together = set(ours[start : start + stretch]) | set(theirs[start : start + stretch])
        assert len(together) <= 2 * WINDOW + 2
    assert not np.array_equal(order(source=0), order(source=3))


def test_images_of_few_chunks_are_shuffled_as_from_a_folder():
    few = np.repeat(np.arange(WINDOW), 10)
    as_folder = Mixture(sizes=[40], weights=[1], length=40, seed=3)
    streamed = Mixture(sizes=[40], weights=[1], length=40, seed=3, places=[few])
    assert [streamed.locate(2, i) for i in range(40)] == [as_folder.locate(2, i) for i in range(40)]


@pytest.mark.parametrize("length", [40, 400, 1000])
def test_a_mixture_of_chunks_counts_as_any_other(length):
    mixture = Mixture(sizes=[400, 7], weights=[3, 1], length=length, seed=0, places=[PLACES, np.zeros(7, np.int64)])
    drawn = [mixture.locate(epoch, index) for epoch in range(3) for index in range(length)]
    for source, size in enumerate((400, 7)):
        of_source = [image for where, image in drawn if where == source]
        whole = len(of_source) // size * size
        assert all(sorted(of_source[start : start + size]) == list(range(size)) for start in range(0, whole, size))
