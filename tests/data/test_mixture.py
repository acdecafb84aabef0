"""The mixture: exact quotas, every image once per pass, and nothing that depends on the order of access."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.data.mixture import EpochSampler, Mixture, ShardSampler

WEIGHTS = st.floats(0, 100, allow_subnormal=False)


@st.composite
def mixtures(draw):
    sizes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    weights = draw(st.lists(WEIGHTS, min_size=len(sizes), max_size=len(sizes)).filter(lambda w: sum(w) > 1e-3))
    arguments = {
        "sizes": sizes,
        "weights": weights,
        "length": draw(st.integers(1, 20)),
        "seed": draw(st.integers(0, 99)),
    }
    return arguments, Mixture(**arguments)


def epoch_of(mixture, epoch):
    return [mixture.locate(epoch, index) for index in range(mixture.length)]


@given(mixtures())
@settings(max_examples=60, deadline=None)
def test_quotas_are_exact_in_every_epoch(case):
    arguments, mixture = case
    exact = np.asarray(arguments["weights"]) / sum(arguments["weights"]) * mixture.length
    assert mixture.quotas.sum() == mixture.length
    assert np.all(np.abs(mixture.quotas - exact) < 1)
    for epoch in range(3):
        sources = [source for source, _ in epoch_of(mixture, epoch)]
        assert [sources.count(source) for source in range(len(exact))] == mixture.quotas.tolist()


@given(mixtures())
@settings(max_examples=60, deadline=None)
def test_each_image_comes_once_before_any_comes_again(case):
    """Passes run on from one epoch into the next."""
    _, mixture = case
    drawn = [sample for epoch in range(6) for sample in epoch_of(mixture, epoch)]
    for source, size in enumerate(mixture.sizes):
        images = [image for s, image in drawn if s == source]
        assert all(0 <= image < size for image in images)
        for start in range(0, len(images), size):
            one_pass = images[start : start + size]
            assert len(set(one_pass)) == len(one_pass)


@given(mixtures(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_sample_depends_on_seed_epoch_and_index_alone(case, random):
    arguments, mixture = case
    expected = {(epoch, index): mixture.locate(epoch, index) for epoch in range(4) for index in range(mixture.length)}
    keys = list(expected)
    random.shuffle(keys)
    again = Mixture(**arguments)
    received = pickle.loads(pickle.dumps(again))  # as a worker process gets it
    for key in keys:
        assert again.locate(*key) == received.locate(*key) == expected[key]


def test_epochs_seeds_and_passes_differ():
    def mixture(seed):
        return Mixture(sizes=[50, 50], weights=[1, 1], length=100, seed=seed)

    orders = [epoch_of(mixture(seed), epoch) for seed in (0, 1) for epoch in range(3)]
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    images = [[image for source, image in order if source == 0] for order in orders]  # a whole pass each
    assert all(a != b for a, b in itertools.combinations(images, 2))
    assert images[0] != [image for source, image in orders[0] if source == 1]
    sources = [[source for source, _ in order] for order in orders]
    assert all(a != b for a, b in itertools.combinations(sources, 2))


def test_quotas_of_the_all_in_one_protocol():
    """Three tasks by the numbers of AIO-3: noise 46296, rain 24000, haze 72135 of 142431."""
    mixture = Mixture(sizes=[5144, 200, 72135], weights=[46296, 24000, 72135], length=142431, seed=0)
    assert mixture.quotas.tolist() == [46296, 24000, 72135]


def test_weight_zero_is_never_drawn():
    assert {source for source, _ in epoch_of(Mixture(sizes=[3, 3], weights=[0, 1], length=9, seed=0), 0)} == {1}


@pytest.mark.parametrize(
    "change",
    [{"sizes": [3]}, {"sizes": [3, 0]}, {"weights": [2, -1]}, {"weights": [0, 0]}, {"length": 0}],
)
def test_what_cannot_be_mixed_is_refused(change):
    with pytest.raises(ValueError, match="cannot mix sizes"):
        Mixture(**({"sizes": [3, 3], "weights": [1, 1], "length": 4, "seed": 0} | change))


@given(st.integers(1, 50), st.integers(1, 8), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_ranks_part_an_epoch_between_them(length, world_size, epoch):
    ranks = [EpochSampler(length=length, rank=rank, world_size=world_size) for rank in range(world_size)]
    for sampler in ranks:
        sampler.set_epoch(epoch)
    keys = [list(sampler) for sampler in ranks]
    assert {len(part) for part in keys} == {len(sampler) for sampler in ranks} == {length // world_size}
    together = list(itertools.chain(*zip(*keys, strict=True)))  # what all ranks see, step by step
    assert together == list(range(epoch * length, epoch * length + length // world_size * world_size))


@given(st.integers(0, 50), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_shards_neither_repeat_nor_drop(length, world_size):
    shards = [ShardSampler(length=length, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(itertools.chain(*shards)) == list(range(length))
    sizes = [len(shard) for shard in shards]
    assert sizes == [len(list(shard)) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
