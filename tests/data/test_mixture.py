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


def batches_of_ranks(mixture, *, batch_size, world_size, epoch, **options):
    """Per rank, the batches of an epoch as arrays of keys."""
    samplers = [
        EpochSampler(mixture, batch_size=batch_size, rank=rank, world_size=world_size, **options)
        for rank in range(world_size)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    keys = [np.array(list(sampler), dtype=int) for sampler in samplers]
    if not options.get("start"):
        assert [len(part) for part in keys] == [len(sampler) for sampler in samplers]
    return [part.reshape(-1, batch_size) for part in keys]


@given(st.integers(1, 50), st.integers(1, 8), st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_ranks_part_an_epoch_between_them(length, world_size, batch_size, epoch):
    """With one patch size, what all ranks see at a step is the next part of the epoch in its order."""
    mixture = Mixture(sizes=[3, 4], weights=[1, 2], length=length, seed=0)
    ranks = batches_of_ranks(mixture, batch_size=batch_size, world_size=world_size, epoch=epoch)
    together = np.stack(ranks, axis=-1).ravel()
    width = world_size * batch_size
    assert together.tolist() == list(range(epoch * length, epoch * length + length // width * width))


@given(mixtures(), st.data())
@settings(max_examples=100, deadline=None)
def test_batches_are_of_one_patch_size_and_lose_only_the_last_of_each(case, data):
    _, mixture = case
    sizes = data.draw(st.lists(st.sampled_from([64, 128, 256]), min_size=len(mixture.sizes), max_size=4))
    sizes = sizes[: len(mixture.sizes)]
    world_size, batch_size = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    for epoch in (0, 2):
        ranks = batches_of_ranks(mixture, batch_size=batch_size, world_size=world_size, epoch=epoch, patch_sizes=sizes)
        steps = np.stack(ranks, axis=1) - epoch * mixture.length
        of_key = np.array(sizes)[mixture.sources(epoch)]
        assert all(len(set(of_key[step].ravel())) == 1 for step in steps)
        seen = steps.ravel()
        assert len(set(seen.tolist())) == len(seen)
        for size in set(sizes):
            there, taken = np.flatnonzero(of_key == size), np.sort(seen[of_key[seen] == size])
            assert taken.tolist() == there[: len(there) // (width := world_size * batch_size) * width].tolist()


def test_patch_sizes_take_turns():
    """None waits for the end of an epoch: a batch comes as soon as its samples are together."""
    mixture = Mixture(sizes=[9, 9], weights=[3, 1], length=400, seed=0)
    (batches,) = batches_of_ranks(mixture, batch_size=4, world_size=1, epoch=0, patch_sizes=[128, 256])
    assert len(batches) == 100
    large = np.flatnonzero(mixture.sources(0)[batches[:, 0]] == 1)
    assert len(large) == 25
    assert large[0] < 12
    assert np.diff(large).max() < 16


@given(mixtures(), st.integers(0, 20), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_a_later_start_leaves_out_the_first_batches_alone(case, start, world_size):
    _, mixture = case
    sizes = [64 + i % 2 for i in range(len(mixture.sizes))]
    for rank in range(world_size):
        sampler = EpochSampler(mixture, batch_size=2, patch_sizes=sizes, rank=rank, world_size=world_size)
        sampler.set_epoch(3)
        whole = list(sampler)
        sampler.start = start
        assert list(sampler) == whole[2 * start :]
        assert len(sampler) == len(whole)


@given(st.integers(0, 50), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_shards_neither_repeat_nor_drop(length, world_size):
    shards = [ShardSampler(length=length, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(itertools.chain(*shards)) == list(range(length))
    sizes = [len(shard) for shard in shards]
    assert sizes == [len(list(shard)) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
