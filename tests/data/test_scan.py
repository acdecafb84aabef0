"""The scan before training: each fault is named with its file and what was expected."""

import re

import pytest

from aio.data.scan import check_files
from aio.errors import InputError


def fault_of(*groups, **options):
    with pytest.raises(InputError) as caught:
        check_files(groups, **options)
    return str(caught.value)


@pytest.fixture
def image(plant):
    """Writes one image: `image("a.png")` of 24 x 32, or of another size."""
    return lambda name, size=(24, 32): plant({".": name}, size=size) / name


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    return path


def test_whole_images_pass_in_silence(image, capsys):
    assert check_files([(image("a.png"), image("b.jpg")), (image("c.bmp"),)], smallest_side=24) is None
    assert check_files([]) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("missing", [1, 12, 100])
def test_truncated(image, name, missing):
    path = image(name, (64, 64))
    cut(path, path.stat().st_size - missing)
    assert fault_of((path,)).startswith(f"{path}: expected an image, but it")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("keep", [0, 7])
def test_empty_or_hardly_begun(image, name, keep):
    path = cut(image(name), keep)
    assert fault_of((path,)).startswith(f"{path}: expected an image, but ")


def test_no_image_and_no_file(tmp_path):
    text, nowhere = tmp_path / "text.png", tmp_path / "nowhere.png"
    text.write_text("this is no image")
    faults = fault_of((text,), (nowhere,)).splitlines()
    assert [line.split(":")[0] for line in faults] == [str(nowhere), str(text)]


def test_pair_of_unequal_size(image):
    degraded, clean = image("a.png", (24, 32)), image("b.png", (32, 24))
    expected = f"{degraded} is 24 x 32 and {clean} is 32 x 24: expected a pair of equal size (height x width)"
    assert fault_of((degraded, clean)) == expected


@pytest.mark.parametrize("size", [(24, 32), (32, 24)])
def test_smaller_than_the_patch(image, size):
    path = image("a.png", size)
    check_files([(path,)], smallest_side=24)
    fault = fault_of((path,), smallest_side=25, hint="--patch_size")
    assert fault == f"{path} is {size[0]} x {size[1]}: expected at least 25 on each side (--patch_size 25)"


def test_the_first_ten_of_many_are_listed_in_order(tmp_path):
    paths = [tmp_path / f"{i:02}.png" for i in range(13)]
    for path in paths:
        path.touch()
    *shown, more = fault_of(*((path,) for path in reversed(paths))).splitlines()
    assert [line.split(":")[0] for line in shown] == [str(path) for path in paths[:10]]
    assert more == "... and 3 more"


def test_a_file_in_many_samples_is_one_fault(tmp_path):
    path = tmp_path / "a.png"
    path.touch()
    assert len(re.findall("a.png", fault_of((path,), (path,), (path,)))) == 1
