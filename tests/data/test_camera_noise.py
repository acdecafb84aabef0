"""Camera noise: Poisson-Gaussian on the sensor, coloured and correlated by the way to sRGB."""

import numpy as np
import pytest
import torch

from aio.colour import to_linear
from aio.data.degradations import camera_noise
from aio.data.degradations.camera_noise import sensor
from aio.data.seeding import seeded

PLAIN = {"toned": 0.0, "smoothing": (0, 0), "saturation": (0, 0), "red": (1, 1), "blue": (1, 1), "quantise": False}
# Sums of the squared weights of Malvar's filters (ICASSP 2004, figure 2): a plus, two lines, a cross
PLUS, LINE, CROSS = 36 / 64, 63.5 / 64, 61 / 64
SHARE = torch.tensor([(1 + 2 * LINE + CROSS) / 4, (2 + 2 * PLUS) / 4, (1 + 2 * LINE + CROSS) / 4])


def noise_of(value, *, channels=3, side=256, **ranges):
    """Of a flat image, in linear light."""
    image = torch.full((channels, side, side), value)
    return to_linear(camera_noise(image, seeded(0), **{**PLAIN, **ranges})) - to_linear(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_variance_is_affine_in_the_signal(channels):
    a, b = 1e-3, 0.01**2
    values = [0.4, 0.55, 0.7, 0.85]
    noise = [noise_of(value, channels=channels, shot=(a, a), read=(0.01, 0.01)) for value in values]
    variances = torch.stack([n.var((1, 2)) for n in noise])
    signals = to_linear(torch.tensor(values)).numpy()
    for channel, share in enumerate(SHARE.tolist() if channels == 3 else [1.0]):
        slope, intercept = np.polyfit(signals, variances[:, channel].numpy(), 1)
        assert slope == pytest.approx(share * a, rel=0.05)
        assert intercept == pytest.approx(share * b, rel=0.2)
    assert max(n.mean().abs() for n in noise) < 3e-4


def test_white_balance_raises_the_noise_of_red_and_blue():
    """At a site of its own, a colour behind a gain g has the variance g a x + g^2 b: fewer photons, multiplied."""
    noise = noise_of(0.7, shot=(1e-3, 1e-3), read=(0.01, 0.01), red=(2, 2), blue=(1.5, 1.5))
    light = to_linear(torch.tensor(0.7))
    for channel, gain in ((0, 2), (1, 1), (2, 1.5)):
        own = (gain * 1e-3 * light + gain**2 * 1e-4).item()
        sites = [noise[channel, i::2, j::2].var().item() for i in (0, 1) for j in (0, 1)]
        assert min(abs(site / own - 1) for site in sites) < 0.04
    assert noise[0].var() > noise[2].var() > noise[1].var()


def test_read_noise_follows_the_line_of_brooks():
    """log b is normal with mean 2.18 log a + 1.20 and a deviation of 0.26."""
    found = [sensor(seeded(seed), (1e-3, 1e-2), None) for seed in range(400)]
    rest = [np.log(b) - (2.18 * np.log(a) + 1.20) for a, b in found]
    assert np.mean(rest) == pytest.approx(0, abs=0.04)
    assert np.std(rest) == pytest.approx(0.26, abs=0.03)
    assert np.mean([np.log(a) for a, _ in found]) == pytest.approx(np.log(1e-3 * 1e-2) / 2, abs=0.12)
    assert sensor(seeded(0), (1e-3, 1e-3), (0.02, 0.02)) == pytest.approx((1e-3, 4e-4))


def neighbours(noise):
    """Correlation of each pixel with that to its right, mean over the channels."""
    noise = noise - noise.mean((1, 2), keepdim=True)
    return ((noise[..., 1:] * noise[..., :-1]).mean((1, 2)) / noise.square().mean((1, 2))).mean().item()


def test_the_mosaic_correlates_pixels_and_colours_and_smoothing_more_so():
    ranges = {"shot": (1e-3, 1e-3), "red": (2, 2), "blue": (1.6, 1.6)}
    noise, smooth = (noise_of(0.6, smoothing=(s, s), **ranges) for s in (0, 1))
    assert 0.1 < neighbours(noise) < 0.5 < neighbours(smooth)
    assert torch.corrcoef(noise.flatten(1))[0, 2] > 0.1
    assert abs(neighbours(noise_of(0.6, channels=1, shot=(1e-3, 1e-3)))) < 0.02


def test_noise_resembles_that_of_photographs():
    """Nam et al.'s cross-channel set: neighbours correlate by 0.7 (0.59 to 0.76), colours by 0.4 (0.0 to 0.7)."""
    grey = torch.full((3, 96, 96), 0.5)
    near, across = [], []
    for seed in range(60):
        noise = camera_noise(grey, seeded(seed), shot=(5e-4, 5e-3)) - grey
        near.append(neighbours(noise))
        across.append(torch.corrcoef(noise.flatten(1))[0, 1].item())
    assert 0.5 < np.mean(near) < 0.75
    assert 0.1 < np.mean(across) < 0.5


@pytest.mark.parametrize("toned", [0.0, 1.0])
def test_a_silent_sensor_changes_nothing(toned):
    image = torch.randint(256, (3, 20, 30), generator=seeded(1)).float() / 255
    out = camera_noise(image, seeded(0), shot=(1e-12, 1e-12), read=(1e-9, 1e-9), toned=toned)
    assert (out - image).abs().max() < 0.6 / 255


def test_the_tone_curve_hides_the_noise_of_the_dark():
    ranges = {"shot": (1e-3, 1e-3), "read": (5e-3, 5e-3)}
    dark, mid = torch.full((3, 64, 64), 0.05), torch.full((3, 64, 64), 0.5)
    plain, toned = (
        [(camera_noise(flat, seeded(0), **{**PLAIN, **ranges, "toned": t}) - flat).std() for flat in (dark, mid)]
        for t in (0.0, 1.0)
    )
    assert toned[0] / toned[1] < plain[0] / plain[1]
