"""Strengths of degradations, and the contact sheets that show them."""

from functools import partial

import pytest
import skimage.data
import torch
from PIL import Image

from aio.data.__main__ import main
from aio.data.degradations import DEGRADE, Synthesis, jpeg, low_light, rain
from aio.data.degradations.composite import COMPOSITES
from aio.data.degradations.strength import at_strength, strengths
from aio.data.seeding import seeded
from aio.data.sheet import draw_sheet, write_sheets
from aio.errors import InputError
from aio.vocabulary import SCALES

STEADY = ("clean", "denoise_15", "denoise_25", "denoise_50", *SCALES)


@pytest.fixture(scope="module")
def clean():
    return torch.from_numpy(skimage.data.astronaut()[80:176, 160:256].copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("name", [name for name in DEGRADE if name not in (*STEADY, *COMPOSITES)])
def test_stronger_is_worse(name, clean):
    errors = [
        sum((at_strength(DEGRADE[name], s)(clean, seeded(i)) - clean).square().mean() for i in range(8))
        for s in (0.0, 0.5, 1.0)
    ]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("name", STEADY)
def test_what_has_no_range_has_no_strength(name, clean):
    if name in SCALES or name == "clean":
        assert strengths(DEGRADE[name], 0.5) == {}
    one, other = (at_strength(DEGRADE[name], s)(clean, seeded(0)) for s in (0.0, 1.0))
    assert torch.equal(one, other)


def test_strengths_are_the_ends_of_the_ranges():
    assert strengths(rain, 0) == {"density": 0.8, "brightness": 0.12}
    assert strengths(partial(rain, density=(2.0, 4.0), brightness=(0.1, 0.1)), 0.5) == {"density": 3, "brightness": 0.1}
    assert [strengths(jpeg, s)["quality"] for s in (0, 1)] == [90, 10]
    exposures = [strengths(low_light, s)["exposure"] for s in (0, 0.5, 1)]
    assert exposures == pytest.approx([0.16, (0.16 * 0.008) ** 0.5, 0.008])
    assert strengths(Synthesis(sigma_range=(5, 15)).degrade("denoise_blind"), 0.5) == {"sigma": 10}


def test_all_else_is_drawn_as_before(clean):
    fixed = rain(clean, seeded(3), density=(0.8, 0.8), brightness=(0.12, 0.12))
    assert torch.equal(at_strength(DEGRADE["derain"], 0)(clean, seeded(3)), fixed)


def test_each_of_several_has_the_strength(clean):
    steps = [at_strength(step, 1.0) for step in DEGRADE["low_haze_rain"].keywords["steps"]]
    expected, generator = clean, seeded(5)
    for step in steps:
        expected = step(expected, generator)
    assert torch.equal(at_strength(DEGRADE["low_haze_rain"], 1.0)(clean, seeded(5)), expected)


def pixels(sheet, clean, column):
    """The picture of the first row in that column."""
    height, width = clean.shape[1:]
    left, top = 8 + column * (width + 8), 48
    data = torch.frombuffer(bytearray(sheet.convert("RGB").tobytes()), dtype=torch.uint8)
    image = data.view(sheet.height, sheet.width, 3).permute(2, 0, 1).float() / 255
    return image[:, top : top + height, left : left + width]


def test_a_sheet_shows_the_clean_photograph_and_three_strengths(clean):
    sheet = draw_sheet("lowlight", {"one": clean, "two": clean[:, :50]})
    assert sheet.size == (8 + 4 * 104, 48 + 2 * (96 + 28))
    assert torch.allclose(pixels(sheet, clean, 0), clean, atol=1e-6)
    means = [pixels(sheet, clean, column).mean() for column in range(4)]
    assert means == sorted(means, reverse=True)


def test_low_resolution_is_shown_at_the_size_of_the_clean(clean):
    small = pixels(draw_sheet("sr_x4", {"one": clean}), clean, 1)
    assert torch.equal(small, small[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_sheets_are_written_and_listed(plant, tmp_path, capsys):
    photo = plant({"p": "a.png"}) / "p" / "a.png"
    words = ["sheet", "-o", str(tmp_path / "out"), "--de_type", "dejpeg", "sr_x3", "--photo", str(photo)]
    assert main(words) == 0
    files = [tmp_path / "out" / "jpeg.png", tmp_path / "out" / "sr_x3.png"]
    assert capsys.readouterr().out.split() == [str(path) for path in files]
    first = files[0].read_bytes()
    with Image.open(files[0]) as sheet:
        assert sheet.size[0] > 4 * 32
    write_sheets(["jpeg"], photos=[photo], folder=tmp_path / "out")
    assert files[0].read_bytes() == first


@pytest.mark.parametrize(
    ("words", "named"),
    [(["--de_type", "fog"], "--de_type fog"), (["--photo", "none.png"], "none.png"), (["--seed", "-1"], "--seed -1")],
)
def test_bad_words_are_refused(words, named, tmp_path):
    with pytest.raises(InputError, match=named):
        main(["sheet", "-o", str(tmp_path), *words])
    assert not list(tmp_path.iterdir())
