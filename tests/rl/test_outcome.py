"""What choices reach: bounds, the frontier's shape, and choices shuffled over the patches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.rl.actions import sequences
from aio.rl.outcome import (
    Outcome,
    fixed_outcomes,
    frontier,
    name_of,
    oracle_outcome,
    random_outcome,
    reached_at,
    shuffled_outcome,
)
from rl.toy_rollouts import toy_rollouts

THOUSANDTHS = st.integers(0, 3000).map(lambda number: number / 1000)
POINTS = st.lists(st.tuples(THOUSANDTHS, st.floats(10, 40)), min_size=1, max_size=12)


@given(POINTS)
def test_the_frontier_lies_above_all_and_rises_ever_slower(points):
    outcomes = [Outcome("", cost, psnr) for cost, psnr in points]
    hull = frontier(outcomes)
    assert set(hull) <= set(outcomes)
    for outcome in outcomes:
        assert reached_at(hull, outcome.cost) >= outcome.psnr - 1e-6
    costs, psnr = [p.cost for p in hull], [p.psnr for p in hull]
    assert costs == sorted(costs)
    assert psnr == sorted(psnr)
    slopes = np.diff(psnr) / np.maximum(np.diff(costs), 1e-9)
    assert (np.diff(slopes) <= 1e-3 * np.abs(slopes[:-1])).all()


def test_no_choice_is_better_than_the_oracle():
    rollouts = toy_rollouts(steps=3)
    for price in (0.0, 0.3, 2.0):
        best = oracle_outcome(rollouts, price)
        for outcome in (*fixed_outcomes(rollouts), random_outcome(rollouts)):
            assert best.psnr - price * best.cost >= outcome.psnr - price * outcome.cost - 1e-4


def test_an_oracle_that_pays_too_much_does_nothing():
    assert oracle_outcome(toy_rollouts(), 100.0).cost == 0


def test_fixed_choices_are_named_and_the_first_is_to_stop():
    outcomes = fixed_outcomes(toy_rollouts(steps=2))
    assert outcomes[0].name == "stop"
    assert outcomes[0].cost == 0
    assert [name_of(path) for path in sequences(2)] == [outcome.name for outcome in outcomes]
    assert "64 offsets + refine" in {outcome.name for outcome in outcomes}


def test_shuffled_choices_cost_the_same_and_lose_what_was_looked_at():
    rollouts = toy_rollouts(count=400)
    taken = [(4,) if kind > 0 else () for kind in rollouts.looks[:, 0, 0]]
    shuffled = shuffled_outcome(rollouts, taken)
    share = np.mean([bool(path) for path in taken])
    assert shuffled.cost == pytest.approx(share, rel=1e-5)
    unlooked = 20 + 3 * share * (2 * share - 1)  # the share that gains, of the share that is passed over
    assert shuffled.psnr == pytest.approx(unlooked, abs=0.1)
