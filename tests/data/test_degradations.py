"""Degradations: laws of each model, references computed another way, and likeness to the field's benchmarks."""

import math
import pickle

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F

from aio.colour import to_linear, to_srgb
from aio.data.degradations import (
    DEGRADE,
    Synthesis,
    gaussian_noise,
    haze,
    low_light,
    low_resolution,
    motion_blur,
    rain,
    snow,
)
from aio.data.degradations._common import deposit
from aio.data.degradations.blur import convolve, motion_kernel
from aio.data.degradations.haze import pseudo_depth, transmission
from aio.data.degradations.rain import streak_layer
from aio.data.seeding import seeded
from aio.errors import InputError
from aio.vocabulary import DEGRADATIONS, SCALES

NAMES = pytest.mark.parametrize("name", [name for name in DEGRADATIONS if name not in SCALES])
# One of each model: the three fixed sigmas are the blind one with other numbers.
_MODELS = "denoise_blind derain dehaze deblur lowlight desnow defocus denoise_real jpeg realworld"
MODELS = pytest.mark.parametrize("name", _MODELS.split())
SIZES = pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (17, 33)])


def picture(*size, channels=3, seed=0):
    """Random 8-bit values."""
    return torch.randint(256, (channels, *size), generator=seeded(seed)).float() / 255


@pytest.fixture(scope="module")
def astronaut():
    return torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1).float() / 255


def levels(image):
    """Distance of the values from the 256 levels of 8 bit, in levels."""
    return (image * 255 - (image * 255).round()).abs().max()


# Every degradation


def test_the_vocabulary_is_covered_in_its_order():
    assert tuple(DEGRADE) == DEGRADATIONS


@NAMES
def test_same_seed_same_bytes_and_the_input_is_left_alone(name):
    image = picture(24, 24)
    kept, state = image.clone(), torch.get_rng_state()
    first, again, other = (DEGRADE[name](image, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "clean")
    assert torch.equal(image, kept)
    assert torch.equal(torch.get_rng_state(), state)  # all randomness comes from the generator
    assert first.data_ptr() != image.data_ptr()


@MODELS
@SIZES
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_keeps_shape_type_and_range(name, size, channels):
    flat = torch.ones(channels, *size)
    for seed, image in enumerate([picture(*size, channels=channels), 0 * flat, flat, 0.999 * flat]):
        out = DEGRADE[name](image, seeded(seed))
        assert out.shape == image.shape
        assert out.dtype == torch.float32
        assert torch.equal(out, out.clamp(0, 1))  # which NaN is not


@NAMES
def test_a_worker_process_can_receive_it(name):
    image = picture(8, 8)
    assert torch.equal(pickle.loads(pickle.dumps(DEGRADE[name]))(image, seeded(3)), DEGRADE[name](image, seeded(3)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@MODELS
def test_same_seed_same_bytes_on_a_gpu(name):
    image = picture(40, 50).cuda()
    first, again = (DEGRADE[name](image, seeded(1, device="cuda")) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("derain", 23, 29), ("dehaze", 11.5, 15.5), ("lowlight", 6, 10), ("deblur", 20, 27)]
)
def test_inputs_are_as_hard_as_those_of_the_benchmarks(name, low, high, astronaut):
    """Mean PSNR of Rain100L 25.5, SOTS indoor 12.4, LOL-v1 8.5, GoPro 25.6 dB; a margin for one photograph."""
    clean = astronaut[:, 100:356, 100:356]
    errors = [(DEGRADE[name](clean, seeded(5, i)) - clean).square().mean() for i in range(24)]
    assert low < np.mean([-10 * math.log10(error) for error in errors]) < high


# What they share


def test_srgb_curve():
    values = torch.tensor([0.0, 0.04045, 0.5, 1.0])
    torch.testing.assert_close(to_linear(values), torch.tensor([0.0, 0.0031308, 0.2140411, 1.0]), atol=1e-6, rtol=1e-5)
    levels_8_bit = torch.arange(256) / 255
    torch.testing.assert_close(to_srgb(to_linear(levels_8_bit)), levels_8_bit, atol=1e-6, rtol=0)
    assert to_srgb(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([0, 1])


def test_deposit_shares_a_mass_among_four_pixels():
    image = deposit(torch.tensor([1.25]), torch.tensor([0.5]), torch.tensor([8.0]), 4, 3)
    expected = torch.zeros(4, 3)
    expected[1, :2], expected[2, :2] = 3, 1
    assert torch.equal(image, expected)


def test_deposit_loses_what_falls_outside():
    y, x = torch.tensor([-0.5, 3.5, -9.0, 1.0]), torch.tensor([1.0, 1.0, 1.0, 2.5])
    image = deposit(y, x, torch.ones(4), 4, 3)
    assert image.sum() == 1.5
    assert (image[0, 1], image[3, 1], image[1, 2]) == (0.5, 0.5, 0.5)


# Noise


def test_noise_without_clipping_has_the_asked_moments():
    image = torch.full((3, 200, 200), 0.95)
    noise = gaussian_noise(image, seeded(0), sigma=(25, 25), quantise=False) * 255 - 0.95 * 255
    assert noise.std() == pytest.approx(25, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.25)
    assert noise.max() > 0.05 * 255  # so that the image leaves [0, 1]
    assert abs(torch.corrcoef(noise.flatten(1)).fill_diagonal_(0)).max() < 0.02


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_quantised_noise_is_the_protocol_of_the_all_in_one_papers(sigma):
    image = picture(32, 32)
    noise = (gaussian_noise(image, seeded(7), sigma=(sigma, sigma), quantise=False) - image).double().numpy() * 255
    eight_bit = (image * 255).round().numpy().astype(np.uint8)
    expected = np.clip(eight_bit + noise, 0, 255).astype(np.uint8)
    out = (gaussian_noise(image, seeded(7), sigma=(sigma, sigma)) * 255).round().numpy()
    assert np.mean(out != expected) < 0.002  # float32 and float64 may fall on different sides of a level
    assert np.abs(out - expected).max() <= 1


def test_truncation_darkens_by_half_a_level():
    image = torch.full((3, 300, 300), 128 / 255)
    out = DEGRADE["denoise_15"](image, seeded(0)) * 255
    assert out.mean() - 128 == pytest.approx(-0.5, abs=0.1)
    assert out.var() == pytest.approx(15**2 + 1 / 12, rel=0.02)
    assert levels(out / 255) < 1e-3


def test_no_noise_leaves_8_bit_values_as_they_are():
    image = torch.arange(256).view(1, 16, 16) / 255
    assert torch.equal(gaussian_noise(image, seeded(0), sigma=(0, 0)), image)


def test_blind_noise_draws_its_level_from_the_range():
    image = torch.full((1, 64, 64), 0.5)
    blind = Synthesis(sigma_range=(10, 30)).degrade("denoise_blind")
    found = torch.stack([(blind(image, seeded(i)) * 255).std() for i in range(100)])
    assert found.min() > 9
    assert found.max() < 31.5
    assert found.mean() == pytest.approx(20, abs=2)
    assert found.std() == pytest.approx(20 / math.sqrt(12), rel=0.2)


# Rain

CLEAR = {"veil": (0, 0), "brightness": (0.15, 0.15)}


def test_rain_only_brightens_and_is_grey():
    image = picture(64, 64) * 0.5
    streaks = rain(image, seeded(0), **CLEAR, density=(2, 2)) - image
    assert streaks.min() > -1e-6
    assert (streaks > 0.05).float().mean() > 0.01
    free = (image.amax(0) + streaks.amax(0)) < 0.99
    torch.testing.assert_close(streaks[0][free], streaks[2][free])


def test_no_drops_no_rain():
    image = picture(32, 32)
    assert torch.equal(rain(image, seeded(0), density=(0, 0), veil=(0, 0)), image)


def test_a_full_veil_hides_the_scene():
    out = rain(picture(16, 16), seeded(0), veil=(1, 1), airlight=0.8)
    torch.testing.assert_close(out, torch.full_like(out, 0.8))


def test_screen_spares_what_is_bright_already():
    image = torch.full((3, 64, 64), 0.8)
    added, screened = (rain(image, seeded(3), **CLEAR, composition=c) - image for c in ("additive", "screen"))
    dark = added < 0.19
    torch.testing.assert_close(screened[dark], 0.2 * added[dark], atol=1e-5, rtol=1e-4)


def test_streaks_carry_the_light_that_their_numbers_promise():
    given = {"length": 20.0, "thickness": 0.8, "density": 0.004, "brightness": 0.1}
    layer = streak_layer((400, 400), seeded(0), angle=0.3, **given)
    # mean length, half of it by fading, times the area of the Gaussian cross-section
    expected = 0.004 * 0.1 * 20 * 0.5 * 0.8 * math.sqrt(2 * math.pi)
    assert layer.mean() == pytest.approx(expected, rel=0.1)
    halves = [part.mean() for part in (layer[:200], layer[200:], layer[:, :200], layer[:, 200:])]
    assert max(halves) < 1.3 * min(halves)


def test_drops_enter_from_beyond_the_borders():
    layers = [
        streak_layer((48, 48), seeded(i), angle=0.5, length=40, thickness=0.6, density=0.004, brightness=0.1)
        for i in range(150)
    ]
    mean = torch.stack(layers).mean(0)
    for border in (mean[:5], mean[-5:], mean[:, :5], mean[:, -5:]):
        assert border.mean() == pytest.approx(float(mean[12:-12, 12:-12].mean()), rel=0.2)


@pytest.mark.parametrize("angle", [-30, 0, 25])
def test_streaks_run_at_their_angle(angle):
    layer = streak_layer(
        (200, 200), seeded(1), angle=math.radians(angle), length=60, thickness=3.0, density=0.001, brightness=0.1
    )
    down, right = torch.gradient(layer)
    tensor = torch.stack([down.square().mean(), (down * right).mean(), (down * right).mean(), right.square().mean()])
    along = torch.linalg.eigh(tensor.view(2, 2)).eigenvectors[:, 0]  # where the layer changes least
    difference = math.degrees(math.atan2(along[1], along[0])) - angle
    assert abs((difference + 90) % 180 - 90) < 2


def test_streaks_have_no_beads():
    """A long vertical streak, whose points lie farthest apart, changes slowly along its path."""
    layer = streak_layer((100, 9), seeded(4), angle=0.0, length=60, thickness=0.5, density=0.004, brightness=0.2)
    line = layer.sum(1)
    assert torch.diff(line, n=2).abs().max() < 0.08 * line.max()


# Haze


def test_haze_is_the_scattering_model():
    image, depth = picture(20, 30), torch.rand(20, 30, generator=seeded(1))
    out = haze(image, seeded(0), depth=depth, beta=(1.3, 1.3), airlight=(0.85, 0.85), tint=0)
    t = np.exp(-1.3 * depth.numpy())
    np.testing.assert_allclose(out.numpy(), image.numpy() * t + 0.85 * (1 - t), atol=1e-6)


def test_without_scattering_there_is_no_haze():
    image = picture(33, 20)
    assert torch.equal(haze(image, seeded(0), beta=(0, 0)), image)


def test_behind_endless_haze_lies_the_tinted_airlight():
    out = haze(picture(9, 9), seeded(0), beta=(1e6, 1e6), airlight=(0.8, 0.8), tint=0.05)
    light = out[:, :1, :1]
    torch.testing.assert_close(out, light.expand_as(out))
    assert (light - 0.8).abs().max() <= 0.05
    assert light.std() > 0


@pytest.mark.parametrize("seed", range(8))
def test_made_up_depth_is_near_below_and_gives_a_transmission(seed, astronaut):
    depth = pseudo_depth(astronaut, seeded(seed), objects=(0, 0))
    assert depth.shape == (512, 512)
    assert torch.equal(depth, depth.clamp(0.05, 1))
    assert depth[:100].mean() > depth[-100:].mean() + 0.1
    t = transmission(depth, 1.8)
    assert 0 < t.min() < t.max() <= 1


def test_made_up_depth_keeps_edges_and_drops_texture():
    """Between depths with and without objects lies the relief of a grey image: half its edge, little of its texture."""
    image = torch.full((1, 64, 64), 0.2)
    image[..., 32:] = 0.8
    image += 0.05 * (2 * torch.rand(image.shape, generator=seeded(0)) - 1)
    plain, depth = (pseudo_depth(image, seeded(6), relief=(0, 0), objects=(c, c)) for c in (0, 0.5))
    relief = depth - plain
    step = relief[:, 33:36].mean() - relief[:, 28:31].mean()
    assert 0.2 < abs(step) < 0.3
    assert relief[:, 44:].std() < abs(step) / 60


def test_a_small_image_is_a_crop_of_a_photograph():
    """Its depth spans less than that of a whole frame."""
    spans = [pseudo_depth(picture(96, 96) * 0, seeded(i), relief=(0, 0)) for i in range(20)]
    assert np.mean([float(depth.max() - depth.min()) for depth in spans]) < 0.3


# Blur


@pytest.mark.parametrize("seed", range(20))
def test_kernel_is_a_distribution_with_its_mean_in_the_middle(seed):
    kernel = motion_kernel(seeded(seed))
    size = len(kernel)
    assert kernel.shape == (size, size)
    assert size in range(3, 32, 2)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    offsets = torch.arange(size) - size // 2
    assert (kernel.sum(0) * offsets).sum() == pytest.approx(0, abs=1e-3)
    assert (kernel.sum(1) * offsets).sum() == pytest.approx(0, abs=1e-3)


def test_kernel_reaches_as_far_as_asked():
    for seed in range(10):
        kernel = motion_kernel(seeded(seed), radius=(6, 6))
        assert len(kernel) == 13
        assert max(edge.sum() for edge in (kernel[0], kernel[-1], kernel[:, 0], kernel[:, -1])) > 0


def test_a_calm_hand_moves_in_a_straight_line():
    for seed in range(10):
        kernel = motion_kernel(seeded(seed), radius=(10, 10), agitation=(0, 0))
        offsets = torch.arange(21) - 10.0
        xy = (kernel * offsets).mul(offsets[:, None]).sum()
        moments = torch.tensor([[(kernel.sum(0) * offsets**2).sum(), xy], [xy, (kernel.sum(1) * offsets**2).sum()]])
        across, along = torch.linalg.eigvalsh(moments)
        assert across < 0.3  # a pixel's own width
        assert along > 30  # 10^2 / 3 on the longer axis


@pytest.mark.parametrize("size", [(20, 27), (5, 4), (1, 9), (1, 1)])
def test_convolution_equals_a_direct_sum(size):
    image, kernel = picture(*size), motion_kernel(seeded(2), radius=(4, 4))
    padded = np.pad(image.numpy(), [(0, 0), (4, 4), (4, 4)], mode="reflect")
    direct = F.conv2d(torch.from_numpy(padded)[:, None], kernel.flip(0, 1)[None, None])[:, 0]
    torch.testing.assert_close(convolve(image, kernel), direct, atol=1e-5, rtol=0)


@pytest.mark.parametrize("value", [0.0, 2 / 255, 0.5, 1.0])
def test_blur_leaves_a_constant_image(value):
    image = torch.full((3, 30, 21), value)
    torch.testing.assert_close(motion_blur(image, seeded(1), quantise=False), image, atol=1e-5, rtol=0)


def test_blur_keeps_the_light():
    """Of a scene far enough from the borders: light is moved, not lost, and it is light, not sRGB values."""
    image = torch.full((3, 96, 96), 0.1)
    image[:, 32:64, 32:64] = picture(32, 32)
    out = motion_blur(image, seeded(3), radius=(12, 12), quantise=False)
    assert to_linear(out).mean() == pytest.approx(float(to_linear(image).mean()), rel=1e-4)
    assert out.mean() > image.mean() + 1e-3


def test_blur_takes_a_given_kernel_and_noise():
    image = picture(12, 12)
    still = torch.zeros(5, 5)
    still[2, 2] = 1
    torch.testing.assert_close(motion_blur(image, seeded(0), kernel=still), image, atol=1e-6, rtol=0)
    still[2, 2], still[2, 3] = 0, 1  # mass one to the right moves the image there
    torch.testing.assert_close(motion_blur(image, seeded(0), kernel=still)[..., 1:], image[..., :-1])
    grey = torch.full((3, 100, 100), 0.5)
    noisy = motion_blur(grey, seeded(0), kernel=still, read_noise=(2, 2), quantise=False)
    assert (noisy * 255).std() == pytest.approx(2, rel=0.03)


def test_blur_and_low_light_come_as_8_bit():
    for degrade in (motion_blur, low_light):
        assert levels(degrade(picture(20, 20), seeded(0))) < 1e-3
        assert levels(degrade(picture(20, 20), seeded(0), quantise=False)) > 0.1


# Low light

STILL = {"gamma": (1, 1), "cast": (1, 1), "quantise": False}


@pytest.mark.parametrize("seed", range(5))
def test_low_light_darkens(seed, astronaut):
    assert low_light(astronaut, seeded(seed)).mean() < 0.6 * astronaut.mean()


def test_full_exposure_without_noise_is_the_image():
    image = picture(16, 16)
    out = low_light(image, seeded(0), **STILL, exposure=(1, 1), shot=(1e-16, 1e-16), read=(1e-9, 1e-9))
    torch.testing.assert_close(out, image, atol=1e-5, rtol=0)


def test_exposure_gamma_and_cast_act_on_linear_light():
    image = torch.full((1, 4, 4), 0.6)
    quiet = {"shot": (1e-16, 1e-16), "read": (1e-9, 1e-9), "quantise": False}
    out = low_light(image, seeded(0), exposure=(0.1, 0.1), gamma=(1.4, 1.4), cast=(0.9, 0.9), **quiet)
    expected = 0.1 * 0.9 * to_linear(image) ** 1.4
    torch.testing.assert_close(to_linear(out), expected, atol=0, rtol=1e-3)


def test_noise_follows_the_signal_and_the_white_balance():
    a, b = 1e-3, 0.01**2
    sensor = {"shot": (a, a), "read": (0.01, 0.01), "red": (2, 2), "blue": (1.5, 1.5), "exposure": (0.5, 0.5)}
    gains = torch.tensor([2, 1, 1.5])
    previous = torch.zeros(3)
    for value in (0.5, 0.75, 1.0):
        image = torch.full((3, 200, 200), value)
        light = to_linear(low_light(image, seeded(0), **STILL, **sensor))
        signal = 0.5 * to_linear(image)[0, 0, 0]
        torch.testing.assert_close(light.mean((1, 2)), signal.expand(3), rtol=0.01, atol=0)
        variance = light.var((1, 2))
        torch.testing.assert_close(variance, gains * a * signal + gains**2 * b, rtol=0.03, atol=0)
        assert (variance > previous).all()
        previous = variance


# Snow, and several at once


def test_snow_covers_as_much_as_it_says():
    black = torch.zeros(3, 200, 300)
    covers = [snow(black, seeded(i), brightness=(1, 1)).mean().item() for i in range(20)]
    assert 0.03 < sum(covers) / 20 < 0.12
    assert max(covers) > 3 * min(covers)
    some, more = (snow(black, seeded(0), density=(d, d), opacity=(0.6, 0.6)).mean() for d in (1.0, 4.0))
    assert more > 2 * some


def test_snow_is_white_before_dark_and_grey_before_white():
    dark, bright = (snow(torch.full((3, 64, 64), v), seeded(1), brightness=(0.9, 0.9)) for v in (0.0, 1.0))
    opacity = dark / 0.9
    assert torch.allclose(bright, 1 - opacity * 0.1, atol=1e-5)
    assert dark.max() > 0.5


def test_composites_are_one_after_the_other_from_one_generator():
    image = picture(32, 40)
    for name, order in {
        "low_haze": [low_light, haze],
        "low_rain": [low_light, rain],
        "low_snow": [low_light, snow],
        "haze_rain": [rain, haze],
        "haze_snow": [snow, haze],
        "low_haze_snow": [low_light, snow, haze],
        "low_haze_rain": [low_light, rain, haze],
    }.items():
        steps = DEGRADE[name].keywords["steps"]
        assert [getattr(step, "func", step) for step in steps] == order
        expected, generator = image, seeded(4)
        for step in steps:
            expected = step(expected, generator)
        assert torch.equal(DEGRADE[name](image, seeded(4)), expected)


# Low resolution

KERNELS = pytest.mark.parametrize("kernel", ["bicubic", "bilinear", "area"])


@KERNELS
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_low_resolution_is_smaller_and_of_8_bit(kernel, scale):
    image = picture(5 * scale, 7 * scale)
    kept, small = image.clone(), low_resolution(image, seeded(0), scale=scale, kernels=[kernel])
    assert small.shape == (3, 5, 7)
    assert levels(small) < 1e-4
    assert 0 <= small.min() <= small.max() <= 1
    assert torch.equal(image, kept)


@KERNELS
def test_low_resolution_keeps_a_constant_and_the_place_of_things(kernel):
    assert torch.equal(
        low_resolution(torch.full((3, 12, 12), 0.2), seeded(0), scale=3, kernels=[kernel]), torch.full((3, 4, 4), 0.2)
    )
    ramp = (torch.arange(48) / 47).expand(1, 48, 48)
    centres = ramp[0, 0].view(12, 4).mean(1)  # no shift by half a pixel
    small = low_resolution(ramp, seeded(0), scale=4, kernels=[kernel])
    assert torch.allclose(small[0, 5, 2:-2], centres[2:-2], atol=0.51 / 255)


def test_area_is_the_mean_of_the_pixels_it_covers():
    image = picture(6, 8)
    mean = image.unflatten(1, (3, 2)).unflatten(3, (4, 2)).mean((2, 4))
    assert torch.allclose(low_resolution(image, seeded(0), scale=2, kernels=["area"]), mean, atol=0.51 / 255)


def test_every_kernel_is_drawn():
    image, both = picture(16, 16), Synthesis(lr_kernels=["bicubic", "area"]).degrade("sr_x4")
    alone = [low_resolution(image, seeded(0), scale=4, kernels=[kernel]) for kernel in ("bicubic", "area")]
    drawn = [both(image, seeded(i)) for i in range(20)]
    counts = [sum(torch.equal(small, expected) for small in drawn) for expected in alone]
    assert min(counts) > 3
    assert sum(counts) == 20


def test_unknown_kernels_are_refused():
    for kernels in (["lanczos"], []):
        with pytest.raises(InputError, match="choose one or more of bicubic, bilinear, area"):
            Synthesis(lr_kernels=kernels)


@pytest.mark.parametrize("gray", [False, True])
def test_blind_noise_of_chosen_levels(gray):
    """One of them for each sample, all in turn, and none between."""
    degrade = Synthesis(sigmas=(15, 25, 50), quantise=False).degrade("denoise_blind", gray=gray)
    image = torch.full((3, 100, 100), 0.5)
    levels = [float((degrade(image, seeded(0, i)) - image)[0].std() * 255) for i in range(30)]
    nearest = [min((15, 25, 50), key=lambda sigma: abs(sigma - level)) for level in levels]
    assert levels == pytest.approx(nearest, rel=0.04)
    assert set(nearest) == {15, 25, 50}
    with pytest.raises(InputError, match=r"sigmas \[15, 300\]: expected numbers from 0 to 255"):
        Synthesis(sigmas=(15, 300))
