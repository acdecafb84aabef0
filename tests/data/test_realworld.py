"""The realistic mixture: what it is made of, in which shares, and how severe."""

import math

import pytest
import skimage.data
import torch

from aio.data.degradations import Synthesis, realworld
from aio.data.degradations._common import to_8_bit
from aio.data.degradations.realworld import gaussian_kernel
from aio.data.seeding import seeded
from aio.errors import InputError

NOTHING = {"second": 0.0, "blur": 0.0, "resize": 0.0, "noise": 0.0, "compression": 0.0, "weather": 0.0, "pristine": 0.0}


@pytest.fixture(scope="module")
def clean():
    return torch.from_numpy(skimage.data.astronaut()[80:176, 160:256].copy()).permute(2, 0, 1).float() / 255


def psnr(image, clean):
    return -10 * float((image - clean).square().mean().clamp(min=1e-9).log10())


def test_without_components_nothing_happens(clean):
    assert torch.equal(realworld(clean, seeded(0), **NOTHING), to_8_bit(clean))


@pytest.mark.parametrize("component", ["blur", "resize", "noise", "compression", "weather"])
def test_each_component_acts_alone_and_keeps_the_size(clean, component):
    image = clean[:, :77, :60]
    outs = [realworld(image, seeded(seed), severity=(1, 1), **{**NOTHING, component: 1.0}) for seed in range(16)]
    assert all(out.shape == image.shape for out in outs)
    assert all(torch.equal(out, to_8_bit(out).clamp(0, 1)) for out in outs)
    unlike = sum(not torch.equal(out, image) for out in outs)
    assert unlike >= 13  # the weakest blur or the weakest shrinking rounds to nothing


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (2, 3), (19, 8)])
def test_any_size_with_every_component(size):
    image = torch.rand(3, *size, generator=seeded(0))
    always = {"second": 1.0, "blur": 1.0, "resize": 1.0, "noise": 1.0, "compression": 1.0, "weather": 1.0}
    for seed in range(8):
        out = realworld(image, seeded(seed), severity=(1, 1), pristine=0.0, **always)
        assert out.shape == image.shape
        assert torch.equal(out, to_8_bit(out).clamp(0, 1))


def test_the_probability_of_a_component_is_its_share(clean):
    image = clean[:, :16, :16]
    changed = [
        not torch.equal(realworld(image, seeded(i), **{**NOTHING, "noise": 0.3}), to_8_bit(image)) for i in range(200)
    ]
    assert 0.2 < sum(changed) / 200 < 0.4


def test_severity_is_what_it_says(clean):
    means = [
        sum(psnr(realworld(clean, seeded(i), severity=(s, s), pristine=0.0), clean) for i in range(20)) / 20
        for s in (0.0, 0.5, 1.0)
    ]
    assert means[0] > 36
    assert means == sorted(means, reverse=True)
    assert 20 < means[2] < 30


def test_a_share_stays_nearly_clean(clean):
    nearly = [psnr(realworld(clean, seeded(i), severity=(1, 1), pristine=1.0), clean) for i in range(10)]
    assert min(nearly) > 34
    worse = [psnr(realworld(clean, seeded(i), severity=(1, 1), pristine=0.0), clean) for i in range(10)]
    assert min(worse) < 28


def test_a_second_pass_degrades_further(clean):
    one, two = (
        [psnr(realworld(clean, seeded(i), pristine=0.0, second=s), clean) for i in range(20)] for s in (0.0, 1.0)
    )
    assert sum(two) < sum(one) - 20


@pytest.mark.parametrize("round_", [True, False])
def test_gaussian_kernels_have_their_sigmas(round_):
    for seed in range(6):
        kernel = gaussian_kernel(seeded(seed), sigma=(1.5, 4.0), round_=round_)
        axis = torch.arange(len(kernel)) - len(kernel) // 2.0
        xy = (kernel * axis * axis[:, None]).sum()
        xx, yy = ((kernel.sum(d) * axis**2).sum() for d in (0, 1))
        values = torch.linalg.eigvalsh(torch.tensor([[xx, xy], [xy, yy]])).sqrt()
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert len(kernel) % 2 == 1
        assert 1.4 < values[0] <= values[1] < 4.05
        assert math.isclose(values[0], values[1], rel_tol=1e-3) == round_


def test_the_chosen_severity_arrives(clean):
    chosen = Synthesis(severity=(0.2, 0.2)).degrade("realworld")
    assert torch.equal(chosen(clean, seeded(4)), realworld(clean, seeded(4), severity=(0.2, 0.2)))
    with pytest.raises(InputError, match="severity"):
        Synthesis(severity=(0, 1.5))
