"""Colour round a net of one channel."""

import numpy as np
import torch
from PIL import Image

from aio.colour import luma, with_luma


def test_luma_is_that_of_jpeg():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    ours = luma(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)
    assert ours.shape == (1, 9, 7)
    assert np.abs(ours[0].numpy() * 255 - expected).max() < 1
    gray = torch.rand(2, 1, 4, 4)
    assert luma(gray) is gray
    assert torch.allclose(luma(gray.expand(2, 3, 4, 4)), gray, atol=1e-6)


def test_a_new_luma_keeps_the_colours():
    image, wanted = torch.rand(2, 3, 6, 5), torch.rand(2, 1, 6, 5)
    result = with_luma(image, wanted)
    assert torch.allclose(luma(result), wanted, atol=1e-6)
    differences = (result - image).diff(dim=1)  # red, green and blue move alike: both colour differences stay
    assert differences.abs().max() < 1e-6


def test_an_enlarged_luma_takes_enlarged_colours():
    image = torch.tensor([0.6, 0.3, 0.1]).view(3, 1, 1).expand(3, 4, 5)
    result = with_luma(image, torch.full((1, 12, 15), 0.5))
    assert result.shape == (3, 12, 15)
    assert torch.allclose(luma(result), torch.full((1, 12, 15), 0.5), atol=1e-6)
    assert torch.allclose(result[0] - result[2], torch.full((12, 15), 0.5), atol=1e-6)
