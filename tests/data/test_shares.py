"""How an epoch is shared: by weights, exact counts, or sizes with a temperature; and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.data.shares import Shares, patch_size_per_task
from aio.errors import InputError
from aio.vocabulary import expand

AIO5 = {"denoise": 46296, "derain": 24000, "dehaze": 72135, "deblur": 10515, "lowlight": 9700}


def no_sizes(task):
    pytest.fail(f"the number of images of {task} decides nothing here")


def test_counts_of_the_all_in_one_protocol():
    """As PromptIR's list of AIO-5: noise 46296 in three levels, rain, haze, blur, low light; 162646 in all."""
    tasks = expand(AIO5)
    shares = Shares(tasks, counts=AIO5)
    assert shares.samples_per_epoch == 162646
    quotas = shares.quotas(tasks, no_sizes)
    assert [quotas[f"denoise_{sigma}"] for sigma in (15, 25, 50)] == [15432] * 3
    assert [quotas[task] for task in ("derain", "dehaze", "deblur", "lowlight")] == [24000, 72135, 10515, 9700]


def test_counts_that_an_alias_cannot_share_evenly():
    quotas = Shares(expand(["denoise"]), counts={"denoise": 11}).quotas(expand(["denoise"]), no_sizes)
    assert sorted(quotas.values()) == [3, 4, 4]


def test_counts_of_some_tasks_are_those_counts():
    shares = Shares(["derain", "dehaze"], counts={"derain": 3, "dehaze": 5})
    assert shares.quotas(["dehaze"], no_sizes) == {"dehaze": 5}


def test_weights_of_some_tasks_fill_the_epoch():
    shares = Shares(["derain", "dehaze", "deblur"], weights={"derain": 3}, samples_per_epoch=8)
    assert shares.quotas(["derain", "dehaze", "deblur"], no_sizes) == {"derain": 5, "dehaze": 2, "deblur": 1}
    assert shares.quotas(["derain", "deblur"], no_sizes) == {"derain": 6, "deblur": 2}


def test_an_epoch_is_ten_thousand_by_default():
    assert Shares(["derain"]).samples_per_epoch == 10_000


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=4), st.floats(1, 100))
@settings(max_examples=60, deadline=None)
def test_temperature_is_the_formula(sizes, temperature):
    tasks = ["derain", "dehaze", "deblur", "lowlight"][: len(sizes)]
    shares = Shares(tasks, temperature=temperature, samples_per_epoch=1000)
    quotas = shares.quotas(tasks, dict(zip(tasks, sizes, strict=True)).__getitem__)
    exact = np.exp(np.log(sizes) / temperature)
    assert sum(quotas.values()) == 1000
    assert np.abs(np.array(list(quotas.values())) - 1000 * exact / exact.sum()).max() < 1 + 1e-6


def test_temperature_goes_from_proportional_to_uniform():
    sizes = {"derain": 200, "dehaze": 72135, "deblur": 2103}
    tasks = list(sizes)
    quotas = {
        T: Shares(tasks, temperature=T, samples_per_epoch=74438).quotas(tasks, sizes.__getitem__)
        for T in (1, 2, math.inf)
    }
    assert quotas[1] == sizes
    assert quotas[1]["derain"] < quotas[2]["derain"] < quotas[math.inf]["derain"]
    assert set(quotas[math.inf].values()) == {24812, 24813}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": {"derain": 1}, "counts": {"derain": 1}}, "--data.weights and --data.counts: .* one of them"),
        ({"weights": {"derain": 1}, "temperature": 2}, "--data.weights and --data.temperature"),
        ({"counts": {"derain": 1}, "temperature": 2}, "--data.counts and --data.temperature"),
        ({"counts": {"derain": 1}}, "--data.counts: none for dehaze; expected one for each of derain, dehaze"),
        ({"counts": {"derain": 1, "dehaze": -1}}, "count -1 for 'dehaze': expected a whole number >= 0"),
        ({"counts": {"derain": 0, "dehaze": 0}}, "every count is 0"),
        ({"counts": {"derain": 1, "snow": 1}}, "count 1 for 'snow'"),
        ({"counts": {"derain": 1, "fog": 1}}, "count 1 for 'fog': unknown degradation 'fog'"),
        ({"counts": {"derain": 3, "dehaze": 5}, "samples_per_epoch": 9}, "--samples_per_epoch 9: data.counts say 8"),
        ({"temperature": 0.5}, "--data.temperature 0.5: expected a number of at least 1"),
        ({"temperature": math.nan}, "--data.temperature nan: expected"),
    ],
)
def test_what_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        Shares(["derain", "dehaze"], **options)


def test_tasks_without_any_weight_are_refused():
    shares = Shares(["derain", "dehaze"], weights={"derain": 0})
    with pytest.raises(InputError, match=r"data\.weights: those of derain are all 0"):
        shares.quotas(["derain"], no_sizes)


def test_patch_sizes_of_names_and_aliases():
    tasks = expand(["denoise", "deblur"])
    assert patch_size_per_task(tasks, {"denoise": 64}, scale=1) == dict.fromkeys(expand(["denoise"]), 64)
    for sizes, said in (
        ({"deblur": 0}, "--data.patch_sizes: 0 for 'deblur', expected a whole number of at least 1"),
        ({"derain": 64}, "patch size 64 for 'derain': expected a number for one of denoise_15"),
    ):
        with pytest.raises(InputError, match=said):
            patch_size_per_task(tasks, sizes, scale=1)
    with pytest.raises(InputError, match="18 for 'sr_x4', expected a multiple of the scale 4"):
        patch_size_per_task(["sr_x4"], {"sr_x4": 18}, scale=4)
