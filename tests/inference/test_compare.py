"""Before and after in one picture: what is shown, where it is looked for, and which pairs belong together."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from aio.errors import InputError
from aio.inference.compare import write_comparison
from aio.inference.reduced import reduce_photo
from aio.pictures import Panel, draw_sheet


@pytest.fixture
def draw(tmp_path):
    def write(pixels: np.ndarray, name: str):
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    return write


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_the_second_row_is_where_they_differ(draw, tmp_path):
    before = np.full((1200, 1600, 3), 100, np.uint8)
    after = before.copy()
    after[1000:1100, 1300:1400] = (200, 0, 0)
    source, restored, target = draw(before, "a.png"), draw(after, "b.png"), tmp_path / "both.png"
    write_comparison(source, restored, target)
    shown = np.asarray(Image.open(target))
    red = (shown == (200, 0, 0)).all(axis=2)
    left, right = np.split(red, [shown.shape[1] // 2], axis=1)
    assert not left.any()
    assert red.sum() == pytest.approx(100 * 100 + 50 * 50, abs=110)  # whole in the second row, halved in the first
    assert right.any()
    assert max(shown.shape) <= 2000


def test_the_first_row_holds_the_means(draw, tmp_path):
    pixels = noise(1001, 1500)
    path = draw(pixels, "a.png")
    reduced = reduce_photo(path, 4)
    assert reduced.shape == (251, 375, 3)
    expected = pixels[:1000].reshape(250, 4, 375, 4, 3).mean(axis=(1, 3)) / 255
    assert np.abs(reduced[:250] - expected).max() < 1e-6
    assert np.abs(reduced[250] - pixels[1000].reshape(375, 4, 3).mean(axis=1) / 255).max() < 1e-6


def test_strips_change_nothing(draw, monkeypatch, tmp_path):
    a, b = draw(noise(700, 1100), "a.png"), draw(noise(700, 1100)[::-1], "b.png")
    write_comparison(a, b, tmp_path / "one.png")
    monkeypatch.setattr("aio.inference.compare.CHUNK", 5000)
    write_comparison(a, b, tmp_path / "many.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "one.png")), np.asarray(Image.open(tmp_path / "many.png")))


def test_small_photographs_are_enlarged_and_shown_as_they_are(draw, tmp_path):
    pixels = noise(24, 32)
    a, b = draw(pixels, "a.png"), draw(pixels, "b.png")
    write_comparison(a, b, tmp_path / "both.png")
    sheet = np.asarray(Image.open(tmp_path / "both.png"))
    whole = pixels.repeat(15, axis=0).repeat(15, axis=1)  # 480 / 32
    margin, above = 8, 26
    assert np.array_equal(sheet[above : above + 360, margin : margin + 480], whole)
    assert np.array_equal(sheet[above : above + 360, 2 * margin + 480 : 2 * margin + 960], whole)


@pytest.mark.parametrize("scale", [2, 4])
def test_super_resolution_is_shown_beside_its_source(draw, tmp_path, scale):
    small = noise(30, 40)
    large = small.repeat(scale, axis=0).repeat(scale, axis=1)
    write_comparison(draw(small, "a.png"), draw(large, "b.png"), tmp_path / "both.png")
    sheet = np.asarray(Image.open(tmp_path / "both.png")).astype(int)
    panel = slice(26, 26 + 360)
    assert np.abs(sheet[panel, 8 : 8 + 480] - sheet[panel, 16 + 480 : 16 + 960]).max() <= 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (noise(20, 30)[..., 0], noise(20, 30)),
        (noise(20, 30, 4), noise(20, 30, 4)),
        (noise(20, 30)[..., 0].astype(np.uint16) * 257, noise(20, 30)[..., 0]),
        (noise(1, 1), noise(1, 1)),
        (noise(3, 2500), noise(3, 2500)),
    ],
    ids=["gray", "alpha", "16 bit", "one pixel", "wide"],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_any_kind_of_pair(draw, tmp_path, before, after, suffix):
    target = tmp_path / f"both.{suffix}"
    write_comparison(draw(before, "a.png"), draw(after, "b.png"), target)
    with Image.open(target) as sheet:
        sheet.load()
        assert max(sheet.size) <= 2000


def test_transparency_shows_paper(draw, tmp_path):
    clear = noise(32, 48, 4)
    clear[..., 3] = 0
    a = draw(clear, "a.png")
    write_comparison(a, a, tmp_path / "both.png")
    sheet = np.asarray(Image.open(tmp_path / "both.png"))
    assert (sheet[26:346, 8:488] == 250).all()


def test_a_pair_that_does_not_belong_together_is_refused(draw, tmp_path):
    a, b = draw(noise(20, 30), "a.png"), draw(noise(20, 31), "b.png")
    with pytest.raises(InputError, match=r"b\.png: 31 x 20 pixels, expected the size of .*a\.png, 30 x 20"):
        write_comparison(a, b, tmp_path / "both.png")
    with pytest.raises(InputError, match=r"both\.txt: expected a name that ends in \.png or \.jpg"):
        write_comparison(a, a, tmp_path / "both.txt")
    with pytest.raises(InputError, match="none"):
        write_comparison(tmp_path / "none.png", a, tmp_path / "both.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_sheet_has_its_labels():
    import torch

    plain = draw_sheet([[Panel("", torch.ones(3, 40, 200))]])
    labelled = draw_sheet([[Panel("before: 20 x 30", torch.ones(3, 40, 200))]])
    assert np.asarray(plain)[:26].min() > 200 > np.asarray(labelled)[:26].min()
