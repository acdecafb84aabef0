"""The environment against Gymnasium's own check, the sum of its rewards, and what agents see of real patches."""

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from aio.rl.actions import ACTIONS, STOP, passed
from aio.rl.environment import PatchEnvironment
from aio.rl.observation import observe
from aio.rl.rollouts import roll_out
from rl.test_actions import tiny
from rl.toy_rollouts import COSTS, toy_rollouts


def test_gymnasium_finds_no_fault():
    check_env(PatchEnvironment(toy_rollouts(), price=0.5), skip_render_check=True)


@given(patch=st.integers(0, 63), actions=st.lists(st.integers(0, len(ACTIONS) - 1), min_size=1, max_size=3))
def test_rewards_add_up_to_the_gain_less_the_price(patch, actions):
    environment = PatchEnvironment(toy_rollouts(steps=3), price=0.7)
    _, start = environment.reset(options={"patch": patch})
    total, ended, info = 0.0, False, start
    for number, action in enumerate(actions):
        if ended:
            break
        _, reward, ended, truncated, info = environment.step(action)
        total += reward
        assert not truncated
        assert ended == (action == STOP or number == 2)
    assert total == pytest.approx(info["psnr"] - start["psnr"] - 0.7 * info["spent"], abs=1e-4)


def test_an_agent_sees_what_it_would_see_of_the_patch_itself():
    torch.manual_seed(0)
    net, degraded, clean = tiny(), torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    environment = PatchEnvironment(roll_out(net, degraded, clean, costs=COSTS, tasks=[0, 0], steps=3), price=0)
    estimate, spent, last, steps = degraded[1:], 0.0, STOP, 0
    seen, _ = environment.reset(options={"patch": 1})
    for action in (4, 5):
        told = {"steps": steps, "spent": torch.tensor([spent]), "last": torch.tensor([last])}
        np.testing.assert_allclose(seen, observe(degraded[1:], estimate, **told)[0], atol=1e-4)
        seen, *_ = environment.step(action)
        estimate = passed(net, action, degraded[1:], estimate)
        spent, last, steps = spent + float(COSTS[action]), action, steps + 1
    told = {"steps": steps, "spent": torch.tensor([spent]), "last": torch.tensor([last])}
    np.testing.assert_allclose(seen, observe(degraded[1:], estimate, **told)[0], atol=1e-4)


def test_patches_are_drawn_by_the_seed():
    drawn = []
    for _ in range(2):
        environment = PatchEnvironment(toy_rollouts(), price=0)
        first, _ = environment.reset(seed=3)
        drawn.append(np.stack([first, *(environment.reset()[0] for _ in range(5))]))
    np.testing.assert_array_equal(*drawn)
    assert len(np.unique(drawn[0], axis=0)) > 3
