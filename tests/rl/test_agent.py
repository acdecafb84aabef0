"""An agent on patches whose gain can be seen: it learns to ask for passes there and nowhere else."""

import numpy as np
import torch

from aio.rl.actions import ACTIONS
from aio.rl.agent import decisions, standardised, standards, train_agent
from aio.rl.environment import PatchEnvironment
from aio.rl.observation import SIZE
from aio.rl.outcome import fixed_outcomes, frontier, oracle_outcome, outcome_of, reached_at
from aio.rl.policy import About
from rl.toy_rollouts import COSTS, toy_rollouts

ABOUT = About("net", 32, 2, 0.5, [int(1000 * cost) for cost in COSTS], (32,))


def train(seed=0, steps=3000, count=256):
    return train_agent(toy_rollouts(count), ABOUT, seed=seed, steps=steps)


def test_it_learns_where_computation_pays():
    policy, curve = train()
    unseen = toy_rollouts(seed=9)
    errors, spent, taken = decisions(policy, unseen)
    reached, best = outcome_of("learned", errors, spent), oracle_outcome(unseen, ABOUT.price)
    assert reached.psnr > reached_at(frontier(fixed_outcomes(unseen)), reached.cost) + 1
    assert reached.psnr > best.psnr - 0.5
    pays = unseen.looks[:, 0, 0] > 0
    assert np.mean([bool(actions) == bool(pay) for actions, pay in zip(taken, pays, strict=True)]) > 0.9
    assert curve.steps == sorted(curve.steps)
    assert curve.reward[-1] > curve.reward[0]
    assert curve.epsilon[0] > curve.epsilon[-1]


def test_one_seed_is_one_policy():
    (first, curve), (second, again), (other, _) = train(steps=600), train(steps=600), train(seed=1, steps=600)
    assert curve == again
    observation = torch.randn(5, SIZE)
    torch.testing.assert_close(first(observation), second(observation), rtol=0, atol=0)
    assert not torch.equal(first(observation), other(observation))


def test_what_it_sees_in_training_is_what_its_policy_standardises():
    rollouts = toy_rollouts()
    mean, deviation = standards(rollouts)
    plain = PatchEnvironment(rollouts, price=0)
    scaled = PatchEnvironment(standardised(rollouts, (mean, deviation)), price=0)
    for environment in (plain, scaled):
        environment.reset(options={"patch": 5})
    seen, expected = scaled.step(4)[0], (plain.step(4)[0] - mean) / deviation
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-4)
    assert len(ACTIONS) == len(COSTS)
