"""The words for a pairing rule name the rule by which `pair_up` found the partner."""

from pathlib import Path

import pytest

from aio.data.pairing import pair_up, rule_of


@pytest.mark.parametrize(
    ("degraded", "clean", "rule"),
    [
        ("7.png", "7.jpg", "the same name"),
        ("rain-3.png", "norain-3.png", "rain-1 with norain-1"),
        ("blur_2.png", "gt_2.png", "blur_1 with gt_1"),
        ("0025_0.8_0.04.jpg", "0025.png", "the text before the first underscore"),
        ("babyx4.png", "baby.png", "the low-resolution mark"),
        ("img_001_SRF_4_LR.png", "img_001_SRF_4_HR.png", "the low-resolution mark"),
        ("a.png", "z.png", "in sorted order, since no name fits"),
    ],
)
def test_the_rule_is_named(plant, degraded, clean, rule):
    root = plant({"input": degraded, "target": clean})
    (pair,) = pair_up([root / "input"], root / "target")
    assert [path.name for path in pair] == [degraded, clean]
    assert rule_of(*pair) == rule
    assert rule_of(*map(Path, (degraded, clean))) == rule
