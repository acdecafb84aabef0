"""Paired comparison: scipy's test on the differences, an interval round the mean, words that do not say too much."""

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from aio.evaluation.journal import Measured
from aio.evaluation.paired import compare, to_markdown


def rows(scores, column="rain"):
    return [Measured(str(i), column, str(i), {}, {"psnr": float(v)}, 0.0, 0) for i, v in enumerate(scores)]


def test_the_test_is_wilcoxons():
    rng = np.random.default_rng(0)
    a, b = rng.normal(30, 2, 40), rng.normal(29.8, 2, 40)
    (found,) = compare("A", rows(a), "B", rows(b))
    assert found.p == pytest.approx(wilcoxon(a - b).pvalue)
    assert found.gain == pytest.approx((a - b).mean())
    assert found.low < found.gain < found.high
    standard_error = (a - b).std(ddof=1) / math.sqrt(40)
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert found.wins == (a > b).mean()


@pytest.mark.parametrize(("shift", "says"), [(0.5, "A is better"), (-0.5, "B is better"), (0.0, "no difference shown")])
def test_a_constant_gain_is_found_and_nothing_is_not(shift, says):
    base = np.linspace(20, 40, 20)
    wobble = 0.1 * (-1.0) ** np.arange(20)
    (found,) = compare("A", rows(base + shift + wobble), "B", rows(base))
    assert found.verdict == says


def test_columns_alone_and_together():
    a, b = rows([30, 31]) + rows([20, 21], "haze"), rows([29, 30]) + rows([22, 23], "haze")
    found = compare("A", a, "B", b)
    assert [(c.column, c.images, c.gain) for c in found] == [
        ("rain", 2, 1.0),
        ("haze", 2, -2.0),
        ("all images", 4, -0.5),
    ]
    assert all(c.verdict == "no difference shown" for c in found)  # two images prove nothing
    assert to_markdown(found).count("\n") == 5


def test_equal_and_perfect_images_are_no_difference():
    (found,) = compare("A", rows([math.inf, 30]), "B", rows([math.inf, 30]))
    assert (found.gain, found.low, found.high, found.p, found.wins) == (0, 0, 0, 1, 0)
