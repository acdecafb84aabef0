"""The agent: stable-baselines3's DQN on the patches' environment, and what it learns as a plain policy.

Deep Q-learning: Mnih et al., Nature 2015. Replay buffer, target network and epsilon's schedule are the library's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from aio.rl.actions import STOP
from aio.rl.environment import PatchEnvironment, observations
from aio.rl.observation import LOOKS, PROGRESS
from aio.rl.policy import About, Policy
from aio.rl.rollouts import Array, Rollouts, transitions

HIDDEN: Final = (64, 64)
_DECAY: Final = 1e-2  # of weights: patches to learn from are few
_AT_ONCE: Final = 16  # episodes that run side by side
_LEAST: Final = 1e-3  # of a deviation, where a number is the same for all patches
_LOGGED: Final = 500  # episodes a point of the learning curve is the mean of


@dataclass
class LearningCurve:
    """Means over the episodes that ended before each of `steps`; `epsilon` is the share of random actions then."""

    steps: list[int] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    epsilon: list[float] = field(default_factory=list)


def standards(rollouts: Rollouts) -> tuple[Array, Array]:
    """Mean and deviation of observations, each `(SIZE,)`, over every patch at every node; progress is left as it is."""
    columns = [part.reshape(-1, part.shape[-1]) for part in (rollouts.looks, rollouts.changes)]
    means, deviations = ([measure(part, axis=0) for part in columns] for measure in (np.mean, np.std))
    mean = np.concatenate([means[0], means[0], means[1], np.zeros(PROGRESS)])
    deviation = np.concatenate([deviations[0], deviations[0], deviations[1], np.ones(PROGRESS)])
    return mean.astype(np.float32), np.maximum(deviation, _LEAST).astype(np.float32)


def standardised(rollouts: Rollouts, standard: tuple[Array, Array]) -> Rollouts:
    """`rollouts` as an agent sees them that knows `standards`."""
    (seen, changed), (by_seen, by_changed) = ((part[:LOOKS], part[2 * LOOKS : -PROGRESS]) for part in standard)
    return replace(rollouts, looks=(rollouts.looks - seen) / by_seen, changes=(rollouts.changes - changed) / by_changed)


def train_agent(
    rollouts: Rollouts,
    about: About,
    *,
    seed: int,
    steps: int,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Policy, LearningCurve]:
    """A policy for patches like those of `rollouts` at the price that `about` says, after `steps` actions.

    With one seed it is the same again on the same machine.
    """
    standard = standards(rollouts)
    seen = standardised(rollouts, standard)
    environments = DummyVecEnv([lambda: PatchEnvironment(seen, price=about.price)] * _AT_ONCE)
    recorder = _Recorder(progress)
    agent = DQN(
        "MlpPolicy",
        environments,
        learning_rate=lambda left: 1e-3 * max(left, 0.02),
        buffer_size=steps,
        learning_starts=min(2_000, steps // 4),
        batch_size=256,
        gamma=1.0,  # episodes are short, and their cost is priced already
        train_freq=1,
        gradient_steps=4,
        target_update_interval=500,
        exploration_fraction=0.5,
        exploration_final_eps=0.05,
        policy_kwargs={
            "net_arch": list(about.hidden),
            "optimizer_class": torch.optim.AdamW,
            "optimizer_kwargs": {"weight_decay": _DECAY},
        },
        seed=seed,
        device="cpu",
    )
    agent.learn(steps, callback=recorder)
    return _plain(agent, about, standard), recorder.curve


def _plain(agent: DQN, about: About, standard: tuple[Array, Array]) -> Policy:
    """The agent's Q-network without its library."""
    policy = Policy(about)
    ours = [layer for layer in policy.values if isinstance(layer, nn.Linear)]
    theirs = [layer for layer in agent.q_net.q_net if isinstance(layer, nn.Linear)]
    for layer, trained in zip(ours, theirs, strict=True):
        layer.load_state_dict(trained.state_dict())
    policy.mean.copy_(torch.from_numpy(standard[0]))
    policy.deviation.copy_(torch.from_numpy(standard[1]))
    return policy.eval()


class _Recorder(BaseCallback):
    """Keeps the learning curve, and tells how far it is."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        super().__init__()
        self.curve = LearningCurve()
        self._progress, self._rewards = progress, np.zeros(_AT_ONCE)
        self._ended: list[tuple[float, float, float]] = []

    def _on_step(self) -> bool:
        self._rewards += self.locals["rewards"]
        for number in np.flatnonzero(self.locals["dones"]):
            info: dict[str, Any] = self.locals["infos"][number]
            self._ended.append((float(self._rewards[number]), info["psnr"], info["spent"]))
            self._rewards[number] = 0.0
        if len(self._ended) >= _LOGGED:
            self._keep()
            self._progress(self.num_timesteps)
        return True

    def _keep(self) -> None:
        reward, psnr, cost = np.mean(self._ended, axis=0).tolist()
        self._ended.clear()
        curve = self.curve
        curve.steps.append(self.num_timesteps)
        curve.reward.append(reward)
        curve.psnr.append(psnr)
        curve.cost.append(cost)
        curve.epsilon.append(float(self.model.exploration_rate))  # type: ignore[attr-defined]


def decisions(policy: Policy, rollouts: Rollouts) -> tuple[Array, Array, list[tuple[int, ...]]]:
    """Where `policy` leads each patch: mean squared error, cost in passes of the dearest, actions before the stop."""
    count, table = len(rollouts), transitions(rollouts.steps)
    node, last = np.zeros(count, np.int64), np.full(count, STOP)
    spent, asking = np.zeros(count, np.float32), np.arange(count)
    taken: list[tuple[int, ...]] = [()] * count
    for steps in range(rollouts.steps):
        seen = observations(rollouts, asking, node[asking], steps=steps, spent=spent[asking], last=last[asking])
        with torch.no_grad():
            wanted = policy(torch.from_numpy(seen)).argmax(dim=1).numpy()
        asking, wanted = asking[wanted != STOP], wanted[wanted != STOP]
        node[asking], last[asking] = table[node[asking], wanted], wanted
        spent[asking] += rollouts.costs[wanted]
        for patch, action in zip(asking.tolist(), wanted.tolist(), strict=True):
            taken[patch] = (*taken[patch], action)
    return rollouts.errors[np.arange(count), node], spent, taken
