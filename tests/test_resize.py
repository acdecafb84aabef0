"""Bicubic as MATLAB's: against PyTorch away from the edges, against its own definition at them."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from aio.resize import bicubic


def imresize_line(values, new):
    """MATLAB's `imresize` of one line, by its documentation: one output pixel after the other."""
    old, scale = len(values), new / len(values)
    stretch = max(1, 1 / scale)
    line = []
    for out in range(1, new + 1):
        centre = out / scale + 0.5 * (1 - 1 / scale)
        taps = range(math.floor(centre - 2 * stretch), math.ceil(centre + 2 * stretch) + 1)
        weights = [keys((centre - tap) / stretch) for tap in taps]
        mirrored = [[*range(old), *reversed(range(old))][(tap - 1) % (2 * old)] for tap in taps]
        line.append(sum(w * values[i] for w, i in zip(weights, mirrored, strict=True)) / sum(weights))
    return line


def keys(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


@given(old=st.integers(1, 23), new=st.integers(1, 23), seed=st.integers(0, 9))
def test_a_line_is_that_of_imresize(old, new, seed):
    values = torch.rand(old, generator=torch.Generator().manual_seed(seed))
    expected = torch.tensor(imresize_line(values.tolist(), new))
    assert torch.allclose(bicubic(values.view(1, 1, old), (1, new)).flatten(), expected, atol=1e-5)
    assert torch.allclose(bicubic(values.view(1, old, 1), (new, 1)).flatten(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 12), (24, 20), (128, 96), (37, 90)])
def test_inside_it_is_pytorchs_antialiased_bicubic(size):
    image = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(image, size=size, mode="bicubic", antialias=True)
    edge = max(3, 3 * size[0] // 64, 3 * size[1] // 48)
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    assert torch.allclose(bicubic(image, size)[inside], expected[inside], atol=2e-5)


def test_size_and_constants_are_kept():
    image = torch.rand(3, 9, 7)
    assert torch.allclose(bicubic(image, (9, 7)), image, atol=1e-6)
    assert torch.allclose(bicubic(torch.full((1, 9, 7), 0.3), (4, 21)), torch.full((1, 4, 21), 0.3), atol=1e-6)


def test_it_computes_in_float32_under_autocast():
    image = torch.rand(1, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        small = bicubic(image.bfloat16(), (4, 4))
    assert small.dtype == torch.float32
    assert torch.equal(small, bicubic(image.bfloat16(), (4, 4)))
