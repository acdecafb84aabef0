"""Finds the same photograph twice, however it was saved: re-encoded, resized, turned, flipped, lightly cropped, darker,
brighter, noisy, in rain or haze.

A fingerprint is the small gray image, normalised by its local contrast. Low frequencies of fingerprints, compared in
all eight orientations, name candidates; each is confirmed by the best normalised cross-correlation of the fingerprints
over small shifts and stretches. Among 600 photographs (BSDS500, Sun-Hays, Rain100L, LOL, SOTS, Kodak, Set5, Set14)
different ones stay below 0.41, save scenes of LOL that share their objects (to 0.66); the same one re-encoded, resized
or darkened stays above 0.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from aio.data.parallel import progress_bar

SIDE: Final = 64  # of a fingerprint
SAME: Final = 0.55  # correlation from which on two photographs count as one
_CANDIDATE: Final = 0.4
_CANDIDATES_EACH: Final = 16  # confirmed at most, per query
_FREQUENCIES: Final = 12
_ZOOMS: Final = ((1.0, 1.0), (0.9, 1.0), (1.0, 0.9))  # the middle of the query that is compared, and of the other
_STRETCHES: Final = (0.85, 0.9, 0.95, 1.0, 1.05, 1.11, 1.18)
_WINDOW: Final = 52  # side of what is confirmed, which leaves room for shifts by 6 either way
_WORTH_A_BAR: Final = 100
_SCORES_AT_ONCE: Final = 2**24
_DARKEST: Final = 0.02  # below this share of white, logarithms would tell noise
_LEVELS: Final = 40  # of an int8 for one standard deviation
_GRAIN, _NEIGHBOURHOOD = 0.7, 4.0  # standard deviations of the Gaussians, in pixels of the fingerprint


class Match(NamedTuple):
    """Two fingerprints of one photograph: their positions, and how strongly they correlate (1 is equal)."""

    query: int
    other: int
    similarity: float


def fingerprint(image: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` uint8 or uint16 to `(64, 64)` int8: local contrasts, which exposure and gamma hardly change."""
    gray = image.mean(axis=-1, dtype=np.float32) if image.dtype == np.uint16 else Image.fromarray(image).convert("L")
    peak = np.iinfo(image.dtype).max
    small = Image.fromarray(np.asarray(gray, np.float32)).resize((SIDE, SIDE), Image.Resampling.HAMMING)
    return _local_contrast(np.log(np.asarray(small) / peak + _DARKEST))


def same_photographs(queries: np.ndarray, others: np.ndarray) -> list[Match]:
    """The matches of each of `(M, 64, 64)` fingerprints among `(N, 64, 64)` others, the most alike first.

    Of a query's candidates the best 16 are looked at. 100 queries among 100,000 take seconds.
    """
    candidates = enumerate(_candidates(queries, others))
    if len(queries) < _WORTH_A_BAR:
        return _confirmed(candidates, queries, others)
    with progress_bar() as bar:
        shown = bar.track(candidates, total=len(queries), description="comparing photographs")
        return _confirmed(shown, queries, others)


def _confirmed(
    candidates: Iterable[tuple[int, list[tuple[int, int]]]], queries: np.ndarray, others: np.ndarray
) -> list[Match]:
    found = []
    for query, named in candidates:
        for other, orientation in named:
            similarity = _aligned_correlation(_orientations(queries[query])[orientation], others[other])
            if similarity >= SAME:
                found.append(Match(query, other, similarity))
    return sorted(found, key=lambda match: (match.query, -match.similarity))


def _local_contrast(image: np.ndarray) -> np.ndarray:
    smooth = _GRAIN_FILTER @ image @ _GRAIN_FILTER.T
    deviation = smooth - _MEAN_FILTER @ smooth @ _MEAN_FILTER.T
    square = deviation**2
    spread = np.sqrt(np.maximum(_MEAN_FILTER @ square @ _MEAN_FILTER.T, 0))
    normal = deviation / (spread + 0.3 * np.sqrt(square.mean()) + 1e-4)
    return np.clip(np.rint(normal * _LEVELS), -127, 127).astype(np.int8)


def _candidates(queries: np.ndarray, others: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """For each query the positions of others that may be the same, each with the orientation in which it may be."""
    turned = np.stack(_orientations(queries), axis=1).reshape(-1, SIDE, SIDE)
    sides = [(_descriptors(turned, of_query), of_other) for of_query, of_other in _ZOOMS]
    best: list[list[tuple[float, int, int]]] = [[] for _ in queries]
    step = max(1, _SCORES_AT_ONCE // max(1, len(turned)))
    for start in range(0, len(others), step):
        block = others[start : start + step]
        described = {zoom: _descriptors(block, zoom) for _, zoom in _ZOOMS}
        scores = np.full((len(turned), len(block)), -1, np.float32)
        for descriptors, zoom in sides:
            np.maximum(scores, descriptors @ described[zoom].T, out=scores)
        by_query = scores.reshape(len(queries), 8, len(block))
        for query, other in np.argwhere(by_query.max(axis=1) >= _CANDIDATE).tolist():
            orientation = int(by_query[query, :, other].argmax())
            best[query].append((float(by_query[query, orientation, other]), start + other, orientation))
    for found in best:
        yield [(other, orientation) for _, other, orientation in sorted(found, reverse=True)[:_CANDIDATES_EACH]]


def _descriptors(fingerprints: np.ndarray, zoom: float) -> np.ndarray:
    """`(N, 64, 64)` to `(N, 144)`: the lowest frequencies of the middle, `zoom` of a side, of unit length."""
    basis = _cosines() @ _resampling(SIDE, 1 / zoom)
    spectrum = basis @ fingerprints.astype(np.float32) @ basis.T
    spectrum[:, 0, 0] = 0
    return _unit(spectrum.reshape(-1, _FREQUENCIES**2))


def _aligned_correlation(query: np.ndarray, other: np.ndarray) -> float:
    """The highest correlation of the query's middle, stretched a little in either axis, with a part of the other."""
    windows = np.lib.stride_tricks.sliding_window_view(other.astype(np.float32), (_WINDOW, _WINDOW))
    middles = _STRETCHED @ query.astype(np.float32) @ _STRETCHED.T
    n = len(_STRETCHES)
    middles = middles.reshape(n, _WINDOW, n, _WINDOW).swapaxes(1, 2)
    first, second = (_unit(_without_stripes(x).reshape(-1, _WINDOW**2)) for x in (windows, middles))
    return float((first @ second.T).max())


def _without_stripes(images: np.ndarray) -> np.ndarray:
    """`(..., H, W)` without the means of its rows and columns: a horizon under a wide sky makes no likeness."""
    centred = images - images.mean(axis=-1, keepdims=True)
    return centred - centred.mean(axis=-2, keepdims=True)


def _orientations(images: np.ndarray) -> list[np.ndarray]:
    """The eight orientations of images `(..., H, W)`."""
    turned = [np.rot90(images, quarter, axes=(-2, -1)) for quarter in range(4)]
    return [view for image in turned for view in (image, image[..., ::-1])]


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; what is flat stays 0, like nothing at all."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(length, 1e-6)).astype(np.float32)


def _gaussian(sigma: float) -> np.ndarray:
    """`(64, 64)`: blurs the columns it is multiplied with; outside the image lies its mirror image."""
    at = np.arange(SIDE)
    mirrored = np.stack((at, -1 - at, 2 * SIDE - 1 - at))
    weights = np.exp(-0.5 * ((at[:, None] - mirrored[:, None]) / sigma) ** 2).sum(axis=0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _cosines() -> np.ndarray:
    """`(12, 64)`: the lowest frequencies of the orthonormal discrete cosine transform."""
    k, at = np.arange(_FREQUENCIES)[:, None], np.arange(SIDE) + 0.5
    basis = np.sqrt(2 / SIDE) * np.cos(np.pi * k * at / SIDE)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _resampling(size: int, stretch: float) -> np.ndarray:
    """`(size, 64)`: the middle `size` samples of 64 that are stretched about their centre, interpolated linearly."""
    at = np.clip((np.arange(size) - (size - 1) / 2) / stretch + (SIDE - 1) / 2, 0, SIDE - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(SIDE))).astype(np.float32)


_GRAIN_FILTER: Final = _gaussian(_GRAIN)
_MEAN_FILTER: Final = _gaussian(_NEIGHBOURHOOD)
_STRETCHED: Final = np.concatenate([_resampling(_WINDOW, stretch) for stretch in _STRETCHES])
