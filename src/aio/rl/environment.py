"""One episode is one patch: the agent asks for passes until it stops; PSNR is its gain, computation its price."""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from aio.rl.actions import ACTIONS, STOP
from aio.rl.observation import SIZE, progress
from aio.rl.rollouts import Array, Rollouts, transitions

_LIMIT: Final = 100.0


class PatchEnvironment(gym.Env[Array, np.int64]):
    """Patches drawn from `rollouts`, whose passes are computed already.

    The observation is that of `aio.rl.observation.observe`. A pass is rewarded by the PSNR it gains, in dB, less
    `price` times its cost; stopping costs and brings nothing. `info` says `psnr` and `spent` as they are then.

    Args:
        price: dB that a pass of the dearest action must gain to be worth it.
    """

    def __init__(self, rollouts: Rollouts, *, price: float) -> None:
        self.action_space = Discrete(len(ACTIONS))
        self.observation_space = Box(-_LIMIT, _LIMIT, (SIZE,), np.float32)
        self.rollouts, self.price = rollouts, price
        self._psnr, self._transitions = rollouts.psnr, transitions(rollouts.steps)
        self._patch, self._node, self._steps, self._spent, self._last = 0, 0, 0, 0.0, STOP

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begins with a patch drawn at random; `options` may name it: `{"patch": number}`."""
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(len(self.rollouts)))
        self._patch = int((options or {}).get("patch", drawn))
        self._node, self._steps, self._spent, self._last = 0, 0, 0.0, STOP
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Computes `action`; the episode ends by stopping or after the last pass that it may have."""
        if action == STOP:
            return self._observation(), 0.0, True, False, self._info()
        before, self._node = self._node, int(self._transitions[self._node, action])
        cost = float(self.rollouts.costs[action])
        self._steps, self._spent, self._last = self._steps + 1, self._spent + cost, int(action)
        gain = float(self._psnr[self._patch, self._node] - self._psnr[self._patch, before])
        ended = self._steps == self.rollouts.steps
        return self._observation(), gain - self.price * cost, ended, False, self._info()

    def _observation(self) -> Array:
        seen = observations(
            self.rollouts,
            np.array([self._patch]),
            np.array([self._node]),
            steps=self._steps,
            spent=np.array([self._spent]),
            last=np.array([self._last]),
        )[0]
        return seen.clip(-_LIMIT, _LIMIT).astype(np.float32)

    def _info(self) -> dict[str, Any]:
        return {"psnr": float(self._psnr[self._patch, self._node]), "spent": self._spent}


def observations(rollouts: Rollouts, patches: Any, nodes: Any, *, steps: int, spent: Any, last: Any) -> Array:
    """`(B, SIZE)`: what agents see of these patches at these nodes, all after so many steps."""
    done = progress(steps, torch.as_tensor(spent, dtype=torch.float32), torch.as_tensor(last, dtype=torch.int64))
    parts = (rollouts.looks[patches, 0], rollouts.looks[patches, nodes], rollouts.changes[patches, nodes], done.numpy())
    return np.concatenate(parts, axis=1)
