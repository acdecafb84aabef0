"""The same photograph is found however it was saved, and different ones are told apart."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from aio.data.duplicates import SAME, fingerprint, same_photographs

NAMES = [
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
    *("gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "moon.png"),
    *("motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg"),
]


@pytest.fixture(scope="module")
def photos():
    """Photographs of at most 400 pixels a side, which scikit-image's wheel carries."""
    found = []
    for name in NAMES:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
            image = image.convert("RGB")
            image.thumbnail((400, 400))
            found.append(np.asarray(image))
    return found


@pytest.fixture(scope="module")
def fingerprints(photos):
    return np.stack([fingerprint(photo) for photo in photos])


def encoded(image, rng):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


def resized(image, rng):
    height, width = image.shape[:2]
    return np.asarray(Image.fromarray(image).resize((width // 2, height * 2 // 3), Image.Resampling.BICUBIC))


def turned(image, rng):
    image = np.rot90(image, rng.integers(4))
    return np.ascontiguousarray(image[::-1] if rng.random() < 0.5 else image)


def cropped(image, rng):
    """Without a twentieth of each side, from anywhere."""
    height, width = image.shape[:2]
    top, left = rng.integers(height // 20 + 1), rng.integers(width // 20 + 1)
    return image[top : top + height - height // 20, left : left + width - width // 20]


def exposed(image, rng):
    return np.clip((image / 255) ** rng.uniform(0.5, 2.2) * rng.uniform(0.3, 1.4) * 255, 0, 255).astype(np.uint8)


def dark(image, rng):
    """As LOL's low light: a tenth of the light, shifted by four pixels, noisy."""
    shifted = np.roll(image, (4, -4), (0, 1))
    return np.clip(shifted * 0.1 + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def rainy(image, rng):
    streaks = (rng.random(image.shape[:2]) < 0.01).astype(float)
    streaks = sum(np.roll(streaks, i, axis=0) for i in range(12)) * 60
    return np.clip(image + streaks[..., None], 0, 255).astype(np.uint8)


def hazy(image, rng):
    transmission = np.linspace(0.3, 0.9, image.shape[0])[:, None, None]
    return (image * transmission + 230 * (1 - transmission)).astype(np.uint8)


@pytest.mark.parametrize("change", [encoded, resized, turned, cropped, exposed, dark, rainy, hazy])
def test_each_is_found_and_nothing_else(photos, fingerprints, change):
    rng = np.random.default_rng(0)
    changed = np.stack([fingerprint(change(photo, rng)) for photo in photos])
    assert [(m.query, m.other) for m in same_photographs(changed, fingerprints)] == [(i, i) for i in range(len(photos))]


def test_all_changes_at_once(photos, fingerprints):
    rng = np.random.default_rng(1)
    changed = np.stack([fingerprint(encoded(turned(exposed(cropped(p, rng), rng), rng), rng)) for p in photos])
    assert [(m.query, m.other) for m in same_photographs(changed, fingerprints)] == [(i, i) for i in range(len(photos))]


def test_equal_images_correlate_fully(fingerprints):
    matches = same_photographs(fingerprints, fingerprints)
    assert [m.query for m in matches] == [m.other for m in matches] == list(range(len(fingerprints)))
    assert min(m.similarity for m in matches) == pytest.approx(1, abs=1e-5)


def test_the_most_alike_comes_first(photos):
    noisy = fingerprint(rainy(photos[0], np.random.default_rng(0)))
    others = np.stack([noisy, fingerprint(photos[4]), fingerprint(photos[0])])
    matches = same_photographs(fingerprint(photos[0])[None], others)
    assert [m.other for m in matches] == [2, 0]
    assert matches[0].similarity > matches[1].similarity >= SAME


def test_the_few_best_of_many_candidates_are_looked_at(fingerprints):
    others = np.concatenate([fingerprints, np.repeat(fingerprints[:1], 40, axis=0)])
    assert len(same_photographs(fingerprints[:1], others)) == 16


def test_two_horizons_under_wide_skies_are_two_photographs():
    rng = np.random.default_rng(0)
    skies = [np.full((120, 160, 3), 200.0) for _ in range(2)]
    for sky in skies:
        sky[70:] = 60
        sky[70:] += rng.normal(0, 20, (50, 160, 1))
    one, other = (fingerprint(np.clip(sky, 0, 255).astype(np.uint8))[None] for sky in skies)
    assert same_photographs(one, other) == []


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_image_is_like_nothing(fingerprints, value):
    blank = fingerprint(np.full((50, 60, 3), value, np.uint8))
    assert not blank.any()
    assert same_photographs(blank[None], np.concatenate([fingerprints, blank[None]])) == []


def test_noise_is_like_no_other_noise():
    rng = np.random.default_rng(0)
    noise = np.stack([fingerprint(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)) for _ in range(30)])
    assert all(m.query == m.other for m in same_photographs(noise, noise))


def test_sixteen_bits_give_the_same_fingerprint(photos):
    shallow, deep = fingerprint(photos[0]), fingerprint(photos[0].astype(np.uint16) * 257)
    shallow, deep = (x.astype(float).ravel() for x in (shallow, deep))
    assert np.corrcoef(shallow, deep)[0, 1] > 0.99


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (5, 7)])
def test_tiny_images_have_fingerprints(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert fingerprint(image).shape == (64, 64)


def test_fingerprints_turn_with_their_images(photos):
    for photo in photos[:4]:
        upright, upside_down = fingerprint(photo), fingerprint(np.ascontiguousarray(photo[::-1]))
        np.testing.assert_allclose(upright[::-1], upside_down, atol=1)


def test_no_queries_and_no_others(fingerprints):
    nothing = np.empty((0, 64, 64), np.int8)
    assert same_photographs(nothing, fingerprints) == same_photographs(fingerprints, nothing) == []
