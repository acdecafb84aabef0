"""Mirrored borders, against NumPy's."""

import numpy as np
import pytest
import torch

from aio.borders import mirrored


@pytest.mark.parametrize(("side", "before", "after"), [(1, 3, 5), (2, 4, 3), (5, 0, 0), (5, 4, 4), (5, 23, 17)])
def test_indices_are_those_that_numpy_pads_with(side, before, after):
    index = mirrored(side, -before, side + after, torch.device("cpu"))
    np.testing.assert_array_equal(index, np.pad(np.arange(side), (before, after), mode="reflect"))


def test_a_range_may_begin_within():
    assert mirrored(4, 2, 9, torch.device("cpu")).tolist() == [2, 3, 2, 1, 0, 1, 2]
