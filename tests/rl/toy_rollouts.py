"""Rollouts drawn by hand: half of the patches gain from passes, and one number that agents see tells which."""

import numpy as np

from aio.rl.actions import ACTIONS, sequences
from aio.rl.observation import LOOKS
from aio.rl.rollouts import Rollouts

COSTS = np.array([0.0, 0.4, 0.9, 0.9, 1.0, 0.4], np.float32)


def toy_rollouts(count=64, steps=2, seed=0):
    """PSNR 20 dB; where the first number is 1, every pass adds 3 dB, and takes 3 dB off where it is -1."""
    generator = np.random.default_rng(seed)
    kind = generator.choice([-1.0, 1.0], size=count)
    kind[:2] = -1, 1
    passes = np.array([len(path) for path in sequences(steps)])
    psnr = 20 + 3 * kind[:, None] * passes
    looks = generator.normal(size=(count, len(passes), LOOKS)).astype(np.float32)
    looks[:, :, 0] = kind[:, None]
    changes = generator.normal(size=(count, len(passes), 2)).astype(np.float32)
    errors = (10 ** (-psnr / 10)).astype(np.float32)
    return Rollouts(steps, COSTS[: len(ACTIONS)], errors, looks, changes, np.zeros(count, np.int64))
