"""Generators from integers: one seed per (seed, epoch, index), whatever process or order draws it."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def seeded(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on all of `numbers`, each in [0, 2^64), and on their order.

    They are mixed by `numpy.random.SeedSequence`. It takes (1,) and (1, 0) for the same entropy, and a large
    number for two small ones, so that each number is given as two words and their count goes first.
    """
    for number in numbers:
        if not 0 <= number < 2**64:
            raise ValueError(f"seeds are integers in [0, 2^64), but got {number}")
    words = [word for number in numbers for word in (number & 0xFFFFFFFF, number >> 32)]
    entropy = np.array([len(numbers), *words], dtype=np.uint32)  # of a list, each number would be converted alone
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0]))


def name_seed(name: str) -> int:
    """32 bits of `name`, equal in every process (Python's own `hash` of a string is not)."""
    return zlib.crc32(name.encode())
