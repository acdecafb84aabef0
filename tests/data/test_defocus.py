"""Defocus: the aperture's kernel by its moments, the thin lens by its laws."""

import math

import pytest
import skimage.data
import torch

from aio.colour import to_linear
from aio.data.degradations import Synthesis, defocus
from aio.data.degradations.blur import convolve
from aio.data.degradations.defocus import aperture
from aio.data.seeding import seeded
from aio.errors import InputError

EVEN = {"varying": 0.0, "quantise": False}


def picture(*size):
    return torch.randint(256, (3, *size), generator=seeded(0)).float() / 255


def square_radius(kernel):
    """The mean of the squared distance from the middle."""
    axis = torch.arange(len(kernel)) - len(kernel) // 2.0
    return float((kernel * (axis[:, None].square() + axis.square())).sum())


@pytest.mark.parametrize("roundness", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("radius", [0.3, 1.0, 2.5, 7.0, 15.0])
def test_an_aperture_is_a_distribution_round_its_middle(radius, roundness):
    for seed in range(4):
        (kernel,) = aperture([radius], seeded(seed), roundness=(roundness, roundness))
        axis = torch.arange(len(kernel)) - len(kernel) // 2
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert (kernel.sum(0) * axis).sum() == pytest.approx(0, abs=0.03 * radius)
        assert (kernel.sum(1) * axis).sum() == pytest.approx(0, abs=0.03 * radius)
        assert max(edge.sum() for edge in (kernel[0], kernel[-1], kernel[:, 0], kernel[:, -1])) < 1e-6


@pytest.mark.parametrize("radius", [2.0, 3.3, 8.0, 20.0])
def test_a_disc_has_its_radius(radius):
    """A disc's mean square radius is R^2 / 2, to which the pixels' own squares add 1/12 along each axis."""
    (kernel,) = aperture([radius], seeded(0), roundness=(1, 1))
    assert square_radius(kernel) == pytest.approx(radius**2 / 2 + 1 / 6, rel=0.04)


def test_polygons_have_the_area_of_the_disc_and_reach_farther():
    for seed in range(8):
        polygon, disc = (aperture([12.0], seeded(seed), roundness=(r, r))[0] for r in (0, 1))
        assert (polygon / polygon.max()).sum() == pytest.approx(math.pi * 12**2, rel=0.02)
        assert 1.0 < square_radius(polygon) / square_radius(disc) < 1.06


def test_no_radius_no_blur():
    image = picture(20, 20)
    torch.testing.assert_close(defocus(image, seeded(0), radius=(0, 0), **EVEN), image, atol=1e-5, rtol=0)


def test_without_highlights_it_is_the_aperture_on_linear_light():
    image = picture(30, 40)
    out = defocus(image, seeded(3), radius=(4, 4), roundness=(1, 1), highlights=(1, 1), **EVEN)
    (disc,) = aperture([4.0], seeded(0), roundness=(1, 1))
    torch.testing.assert_close(to_linear(out), convolve(to_linear(image), disc).clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("value", [0.0, 0.2, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("varying", [0.0, 1.0])
def test_a_constant_image_stays_constant(value, varying):
    image = torch.full((3, 30, 21), value)
    for seed in range(4):
        out = defocus(image, seeded(seed), varying=varying, quantise=False)
        torch.testing.assert_close(out, image, atol=2e-4, rtol=0)


def test_a_lamp_becomes_a_brighter_disc_the_brighter_it_was():
    image = torch.zeros(3, 41, 41)
    image[:, 20, 20] = 1
    dim, bright = (
        defocus(image, seeded(0), radius=(6, 6), roundness=(1, 1), highlights=(h, h), **EVEN) for h in (1, 4)
    )
    disc = (torch.cartesian_prod(torch.arange(41), torch.arange(41)) - 20).square().sum(1).sqrt().view(41, 41) < 5
    torch.testing.assert_close(to_linear(bright), 4 * to_linear(dim), atol=1e-4, rtol=1e-3)
    assert bright[0][disc].std() < 1e-4


def test_what_lies_in_the_plane_of_focus_is_sharp():
    image = picture(24, 24)
    depth = torch.full((24, 24), 0.4)
    out = defocus(image, seeded(0), varying=1.0, focus=(0.4, 0.4), depth=depth, quantise=False)
    torch.testing.assert_close(out, image, atol=1e-5, rtol=0)


def test_what_is_far_has_the_whole_radius():
    image, far = picture(24, 24), torch.full((24, 24), 1e4)
    given = {"radius": (5, 5), "focus": (0.1, 0.1), "quantise": False}
    varying, even = (defocus(image, seeded(1), varying=v, depth=far, **given) for v in (1.0, 0.0))
    torch.testing.assert_close(varying, even, atol=1e-3, rtol=0)


def test_blur_grows_behind_the_plane_of_focus_without_dark_seams():
    image = torch.full((3, 60, 200), 0.5)
    image[:, ::4] = 0.6
    depth = torch.linspace(0.2, 1, 200).expand(60, 200)
    out = defocus(image, seeded(0), varying=1.0, radius=(8, 8), focus=(0.2, 0.2), depth=depth, quantise=False)
    contrast = [out[0, 10:50, column].std().item() for column in (0, 25, 100, 199)]
    assert contrast[0] > 5 * contrast[1]
    assert contrast[1] > 3 * max(contrast[2:])
    assert out.min() > 0.499


def test_a_photograph_is_sharp_in_some_places_and_blurred_in_others():
    clean = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1).float()[:, :256] / 255
    spreads = []
    for seed in range(6):
        error = (defocus(clean, seeded(seed), varying=1.0, radius=(8, 8)) - clean).square().mean(0)
        detail = (clean - clean.roll(1, -1)).square().mean(0)
        share = [(error[rows].mean() / detail[rows].mean()).item() for rows in (slice(0, 64), slice(192, 256))]
        spreads.append(max(share) / min(share))
    assert max(spreads) > 2


def test_the_chosen_radius_arrives():
    image = picture(32, 32)
    chosen = Synthesis(defocus_radius=(3, 3)).degrade("defocus")
    assert torch.equal(chosen(image, seeded(2)), defocus(image, seeded(2), radius=(3, 3)))
    with pytest.raises(InputError, match="defocus_radius"):
        Synthesis(defocus_radius=(5, 2))
