"""Restormer and its four official variants."""

import pytest

from aio.nets.base import count_parameters
from aio.nets.restormer import Restormer
from support import assert_official

VARIANTS = {
    "restormer": ({}, 26_126_644),
    "restormer_color_biasfree": ({"LayerNorm_type": "BiasFree"}, 26_111_668),
    "restormer_gray_biasfree": ({"LayerNorm_type": "BiasFree", "inp_channels": 1, "out_channels": 1}, 26_109_076),
    "restormer_dual_pixel": ({"inp_channels": 6, "dual_pixel_task": True}, 26_132_548),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_the_official_release(name):
    arguments, parameters = VARIANTS[name]
    net = Restormer(**arguments)
    assert count_parameters(net) == parameters
    assert_official(net, name)
