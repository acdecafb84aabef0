"""Seeds: equal in every process, different for different numbers."""

import itertools

import pytest
import torch

from aio.data.seeding import name_seed, seeded


def test_equal_numbers_give_equal_streams():
    assert torch.equal(torch.rand(9, generator=seeded(1, 2, 3)), torch.rand(9, generator=seeded(1, 2, 3)))


def test_every_number_its_place_and_their_count_matter():
    values = (0, 1, 2, 2**32, 2**33, 2**64 - 1)
    tuples = [numbers for n in range(4) for numbers in itertools.product(values, repeat=n)]
    assert len({seeded(*numbers).initial_seed() for numbers in tuples}) == len(tuples)


def test_neighbouring_indices_are_unrelated():
    draws = torch.stack([torch.randn(64, generator=seeded(0, 0, index)) for index in range(256)])
    correlation = torch.corrcoef(draws).fill_diagonal_(0)
    assert correlation.abs().max() < 0.7
    assert abs(correlation.mean()) < 0.01


@pytest.mark.parametrize("number", [-1, 2**64])
def test_other_numbers_are_refused_by_value(number):
    with pytest.raises(ValueError, match=str(number)):
        seeded(0, number)


def test_a_name_gives_its_crc32():
    assert name_seed("123456789") == 0xCBF43926  # the check value of CRC-32
    assert name_seed("übung.png") != name_seed("ubung.png")
