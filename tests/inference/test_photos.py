"""Photographs in memory and from file to file: the same pixels, and memory that the image's size does not move."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from aio.errors import InputError
from aio.images import read_photo, write_photo
from aio.inference.photos import restore_large, restore_photo
from aio.inference.settings import Settings
from inference.local_net import Brightening, Local

SIZE = (150, 211)
_KINDS = {
    "gray.png": ("uint8", 1),
    "gray_alpha.png": ("uint8", 2),
    "colour.png": ("uint8", 3),
    "alpha.png": ("uint8", 4),
    "deep.tif": ("uint16", 3),
    "floats.tif": ("float32", 3),
}


def drawn(folder: Path, name: str) -> Path:
    kind, channels = _KINDS[name]
    rng = np.random.default_rng(len(name))
    pixels = rng.random((*SIZE, channels))
    pixels = pixels.astype(kind) if kind == "float32" else (pixels * np.iinfo(kind).max).astype(kind)
    if name.endswith(".tif"):
        tifffile.imwrite(folder / name, pixels, photometric="rgb")
    else:
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(folder / name)
    return folder / name


@pytest.mark.parametrize("kind", [Local, Brightening])
@pytest.mark.parametrize("net", [{}, {"scale": 2}, {"channels": 1}, {"channels": 1, "scale": 2}], ids=str)
@pytest.mark.parametrize("name", _KINDS)
def test_the_road_of_strips_gives_the_pixels_of_the_road_in_memory(tmp_path, name, net, kind):
    source, net = drawn(tmp_path, name), kind(**net).eval()
    settings = Settings(tile=80, strength=0.7)
    whole, strips = tmp_path / f"whole_{name}", tmp_path / f"strips_{name}"
    write_photo(restore_photo(net, read_photo(source), settings), whole)
    seen = []
    restore_large(net, source, strips, settings, progress=lambda *done: seen.append(done))
    one, other = read_photo(whole), read_photo(strips)
    assert one.head == other.head
    assert one.pixels.shape[:2] == tuple(side * net.scale for side in SIZE)
    assert np.array_equal(one.pixels, other.pixels)
    assert (one.alpha is None) == (_KINDS[name][1] % 2 == 1)
    if one.alpha is not None:
        assert np.array_equal(one.alpha, other.alpha)
        if net.scale == 1:
            assert np.array_equal(one.alpha, read_photo(source).alpha)
    assert seen[-1][0] == seen[-1][1] > 4


def test_what_is_restored_in_tiles_is_what_is_restored_whole(tmp_path):
    photo = read_photo(drawn(tmp_path, "alpha.png"))
    whole, tiled = (restore_photo(Local().eval(), photo, Settings(tile=tile)) for tile in ("none", 70))
    assert np.abs(whole.pixels - tiled.pixels).max() < 1e-5
    assert np.array_equal(whole.alpha, photo.alpha)
    assert np.array_equal(tiled.alpha, photo.alpha)


def test_a_photograph_that_cannot_be_changed_is_restored(tmp_path):
    photo = read_photo(drawn(tmp_path, "gray.png"))
    photo.pixels.flags.writeable = False
    assert restore_photo(Local(channels=1).eval(), photo, Settings(tile=70)).pixels.shape == photo.pixels.shape


def test_a_net_for_other_channels_is_refused_before_anything_is_written(tmp_path):
    source, net = drawn(tmp_path, "gray.png"), Local(channels=6).eval()
    with pytest.raises(InputError, match="Local takes 6 channels: a photograph has 1 or 3"):
        restore_photo(net, read_photo(source), Settings())
    with pytest.raises(InputError, match="Local takes 6 channels: a photograph has 1 or 3"):
        restore_large(net, source, tmp_path / "out.png", Settings())
    assert not (tmp_path / "out.png").exists()


_WIDE = """
import resource, sys
sys.path.insert(0, sys.argv[3])
import numpy as np, tifffile
from pathlib import Path
from aio.inference.photos import restore_large
from aio.inference.settings import Settings
from inference.local_net import Identity

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def restore(source):
    restore_large(Identity().eval(), source, Path(sys.argv[2]), Settings(tile=256), max_pixels=1 << 30)

folder = Path(sys.argv[1])
restore(folder / "small.tif")
before = peak()
restore(folder / "wide.tif")
print(peak() - before)
"""


def wide_tiff(path: Path, height: int, width: int) -> None:
    """16-row strips, each of another gray, written one by one."""
    row = (np.arange(width * 3, dtype=np.uint32) % 251).astype(np.uint8).reshape(width, 3)
    strips = (
        (np.broadcast_to(row, (min(16, height - top), width, 3)) + top % 97).astype(np.uint8)
        for top in range(0, height, 16)
    )
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(strips, shape=(height, width, 3), dtype=np.uint8, photometric="rgb", rowsperstrip=16)


@pytest.mark.parametrize("height", [1200, pytest.param(20000, marks=pytest.mark.slow)])
def test_twenty_thousand_pixels_wide_stay_within_a_band_of_memory(tmp_path, height):
    wide_tiff(tmp_path / "small.tif", 512, 512)
    wide_tiff(tmp_path / "wide.tif", height, 20000)
    target = tmp_path / "out.tif"
    command = [sys.executable, "-c", _WIDE, str(tmp_path), str(target), str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # 256 rows of 20000 pixels in floats are 61 MB, of input and of result; all of the lower image would be 576 MB.
    assert float(done.stdout) < 250
    with tifffile.TiffFile(target) as restored, tifffile.TiffFile(tmp_path / "wide.tif") as given:
        assert restored.pages[0].shape == (height, 20000, 3)
        for top in range(0, height, 400):
            key = (slice(top, top + 16), slice(19000, 19100))
            assert np.array_equal(_window(restored, key), _window(given, key))


def _window(file: tifffile.TiffFile, key: tuple[slice, slice]) -> np.ndarray:
    page = file.pages[0]
    height = page.rowsperstrip
    rows, columns = key
    parts = []
    for index in range(rows.start // height, -(-rows.stop // height)):
        file.filehandle.seek(page.dataoffsets[index])
        data = file.filehandle.read(page.databytecounts[index])
        parts.append(np.atleast_3d(page.decode(data, index, jpegtables=None)[0].squeeze()))
    first = rows.start // height * height
    return np.concatenate(parts)[rows.start - first : rows.stop - first, columns]
