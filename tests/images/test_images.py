"""Pixels of every mode and depth, read and written back; against Pillow, tifffile and files made by hand."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import image_files
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aio.errors import InputError
from aio.images import Photo, image_size, list_images, read_photo, read_rgb, read_samples, write_photo

DEPTHS = {8: np.uint8, 16: np.uint16, 32: np.float32}
LOSSLESS = [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".tif", 32), (".bmp", 8), (".tga", 8)]
LOSSLESS += [(".ppm", 8), (".ppm", 16), (".webp", 8)]


def noise(*shape: int, bits: int = 8) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    if bits == 32:
        return rng.normal(0.5, 1, shape).astype(np.float32)
    return rng.integers(0, 1 << bits, shape, dtype=DEPTHS[bits])


def photo_of(samples: np.ndarray, **about: object) -> Photo:
    """The photo of `(H, W, 1..4)`, by the definition of `Photo`."""
    bits = 8 * samples.itemsize
    scaled = (samples / (1 if bits == 32 else (1 << bits) - 1)).astype(np.float32)
    colours = 3 if samples.shape[2] >= 3 else 1
    alpha = scaled[..., -1] if samples.shape[2] > colours else None
    return Photo(scaled[..., :colours], alpha, bits, **about)  # type: ignore[arg-type]


def assert_same(found: Photo, expected: Photo) -> None:
    assert found.bits == expected.bits
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert (found.alpha is None) == (expected.alpha is None)
    if found.alpha is not None:
        np.testing.assert_array_equal(found.alpha, expected.alpha)


@pytest.mark.parametrize(("suffix", "bits"), LOSSLESS)
@given(height=st.integers(1, 40), width=st.integers(1, 40), channels=st.integers(1, 4))
@settings(max_examples=12, deadline=None)
def test_what_is_written_without_loss_is_read_back_bit_for_bit(suffix, bits, height, width, channels):
    held = {".ppm": (1, 3, 1, 3), ".bmp": (1, 3, 3, 4), ".webp": (3, 4, 3, 4)}
    channels = held.get(suffix, (1, 2, 3, 4))[channels - 1]
    formats = {".webp": {"format": "WEBP", "encoding": {"lossless": True}}}
    photo = photo_of(noise(height, width, channels, bits=bits), **formats.get(suffix, {}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"photo{suffix}"
        write_photo(photo, path)
        found = read_photo(path)
        assert_same(found, photo)
        first = path.read_bytes()
        write_photo(found, path)
        assert path.read_bytes() == first
        assert [child.name for child in Path(folder).iterdir()] == [path.name]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_is_that_of_the_specification(tmp_path, bits, channels):
    samples = noise(11, 7, channels, bits=bits)
    write_photo(photo_of(samples), tmp_path / "ours.png")
    decoded, _ = image_files.decode_png((tmp_path / "ours.png").read_bytes())
    np.testing.assert_array_equal(decoded, samples)
    for interlaced in (False, True):
        (tmp_path / "theirs.png").write_bytes(image_files.png(samples, interlaced=interlaced))
        assert_same(read_photo(tmp_path / "theirs.png"), photo_of(samples))


def test_large_png_is_compressed_in_blocks(tmp_path):
    samples = noise(1200, 1300, 3)
    write_photo(photo_of(samples), tmp_path / "large.png")
    with Image.open(tmp_path / "large.png") as image:
        np.testing.assert_array_equal(np.asarray(image), samples)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_other_programs_read_our_tiff(tmp_path, bits, channels):
    samples = noise(700, 300, channels, bits=bits)
    photo = photo_of(samples, icc_profile=b"x" * 16 + (b"RGB " if channels > 2 else b"GRAY"), xmp=b"<x:xmpmeta/>")
    write_photo(photo, tmp_path / "ours.tif")
    with tifffile.TiffFile(tmp_path / "ours.tif") as file:
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray().reshape(samples.shape), samples)
        assert len(page.dataoffsets) > 1 or samples.nbytes <= 1 << 20
        assert page.tags[700].value == photo.xmp
        assert page.iccprofile == photo.icc_profile
    if bits == 8 or channels == 1:
        with Image.open(tmp_path / "ours.tif") as image:
            np.testing.assert_array_equal(np.asarray(image).reshape(samples.shape), samples)


@pytest.mark.parametrize("bits", [8, 16])
def test_files_beyond_4_gib_are_bigtiffs(tmp_path, monkeypatch, bits):
    monkeypatch.setattr("aio.images.tiff_writing._CLASSIC", 0)
    samples = noise(700, 300, 4, bits=bits)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    write_photo(photo_of(samples, exif=exif.tobytes()[6:], xmp=b"<x:xmpmeta/>"), tmp_path / "large.tif")
    with tifffile.TiffFile(tmp_path / "large.tif") as file:
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.pages[0].asarray(), samples)
    found = read_photo(tmp_path / "large.tif")
    assert_same(found, photo_of(samples))
    block = Image.Exif()
    block.load(found.exif or b"")
    assert (block[0x010F], found.xmp) == ("Maker", b"<x:xmpmeta/>")


@pytest.mark.parametrize("dtype", [np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"compression": "zlib"},
        {"compression": "lzma"},
        {"planarconfig": "separate"},
    ],
    ids=str,
)
def test_deep_tiff_of_other_programs(tmp_path, dtype, options):
    samples = noise(21, 34, 3, bits=16).astype(dtype)
    if dtype != np.uint16:
        samples /= 30000
    stored = np.moveaxis(samples, -1, 0) if "planarconfig" in options else samples
    tifffile.imwrite(tmp_path / "photo.tif", stored, photometric="rgb", **options)
    assert_same(read_photo(tmp_path / "photo.tif"), photo_of(samples.astype(np.uint16 if dtype == np.uint16 else "f4")))


@pytest.mark.parametrize(("channels", "extra"), [(3, ()), (4, (2,)), (4, ()), (4, (0,))])
def test_lzw_tiff_of_16_bits(tmp_path, channels, extra):
    samples = noise(13, 17, channels, bits=16)
    image_files.lzw_tiff(tmp_path / "photo.tif", samples, {338: extra} if extra else {})
    expected = samples[..., :3] if extra == (0,) else samples  # zero: no one knows what it is
    assert_same(read_photo(tmp_path / "photo.tif"), photo_of(expected))


def test_gray_lzw_tiff_of_16_bits(tmp_path):
    samples = noise(13, 17, 1, bits=16)
    Image.fromarray(samples[..., 0]).save(tmp_path / "photo.tif", compression="tiff_lzw")
    assert_same(read_photo(tmp_path / "photo.tif"), photo_of(samples))


@pytest.mark.parametrize("lzw", [False, True])
def test_alpha_multiplied_into_colours_is_divided_out(tmp_path, lzw):
    samples = np.array([[[100, 200, 300, 32768], [65535, 0, 1, 65535], [0, 0, 0, 0]]], np.uint16)
    if lzw:
        image_files.lzw_tiff(tmp_path / "photo.tif", samples, {338: (1,)})
    else:
        tifffile.imwrite(tmp_path / "photo.tif", samples, photometric="rgb", extrasamples=["assocalpha"])
    expected = np.array([[[200, 400, 600, 32768], [65535, 0, 1, 65535], [0, 0, 0, 0]]], np.uint16)
    assert_same(read_photo(tmp_path / "photo.tif"), photo_of(expected))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_white_is_zero(tmp_path, options):
    samples = noise(5, 6, 1, bits=16)
    tifffile.imwrite(tmp_path / "photo.tif", samples[..., 0], photometric="miniswhite", **options)
    assert_same(read_photo(tmp_path / "photo.tif"), photo_of(65535 - samples))


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.int32])
def test_other_integers_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "photo.tif", np.ones((4, 4), dtype), photometric="minisblack")
    with pytest.raises(InputError, match=r"photo\.tif.*expected 8 or 16 bits, or floats"):
        read_photo(tmp_path / "photo.tif")


def test_floats_keep_their_range_and_must_be_finite(tmp_path):
    samples = np.array([[[-0.5], [7.25]]], np.float32)
    tifffile.imwrite(tmp_path / "photo.tif", samples[..., 0])
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").pixels, samples)
    tifffile.imwrite(tmp_path / "nan.tif", samples[..., 0] * np.nan)
    with pytest.raises(InputError, match=r"nan\.tif.*finite"):
        read_photo(tmp_path / "nan.tif")


def palette_image() -> Image.Image:
    image = Image.frombytes("P", (2, 2), bytes((0, 1, 2, 3)))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    return image


COLOURS = [[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]]
MODES = {
    "one bit": (Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), {}, [[[0], [255]]]),
    "palette": (palette_image(), {}, [COLOURS[:2], COLOURS[2:]]),
    "palette, one colour transparent": (
        palette_image(),
        {"transparency": 2},
        [[[*COLOURS[0], 255], [*COLOURS[1], 255]], [[*COLOURS[2], 0], [*COLOURS[3], 255]]],
    ),
    "palette, alpha per colour": (
        palette_image(),
        {"transparency": bytes((5, 6, 7, 8))},
        [[[*COLOURS[0], 5], [*COLOURS[1], 6]], [[*COLOURS[2], 7], [*COLOURS[3], 8]]],
    ),
    "gray, a key": (
        Image.fromarray(np.array([[3, 4]], np.uint8)),
        {"transparency": 3},
        [[[3, 0], [4, 255]]],
    ),
    "colour, a key": (
        Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)),
        {"transparency": (1, 2, 3)},
        [[[1, 2, 3, 0], [1, 2, 4, 255]]],
    ),
}


@pytest.mark.parametrize("name", MODES)
def test_modes_of_png(tmp_path, name):
    image, options, expected = MODES[name]
    image.save(tmp_path / "photo.png", **options)
    found = read_photo(tmp_path / "photo.png")
    assert_same(found, photo_of(np.array(expected, np.uint8)))
    write_photo(found, tmp_path / "photo.png")
    assert_same(read_photo(tmp_path / "photo.png"), found)


@pytest.mark.parametrize("channels", [1, 3])
def test_key_of_16_bits(tmp_path, channels):
    samples = np.arange(2 * channels, dtype=np.uint16).reshape(1, 2, channels) * 300
    chunk = (b"tRNS", samples[0, 1].astype(">u2").tobytes())
    (tmp_path / "photo.png").write_bytes(image_files.png(samples, chunks=(chunk,)))
    alpha = np.array([[[65535], [0]]], np.uint16)
    assert_same(read_photo(tmp_path / "photo.png"), photo_of(np.concatenate((samples, alpha), axis=-1)))


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {"quality": 100}), (".tif", {})])
def test_inks_become_srgb_through_their_profile(tmp_path, suffix, options):
    path = tmp_path / f"photo{suffix}"
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    image.save(path, icc_profile=image_files.ink_profile(), **options)
    through_profile = read_photo(path)
    assert through_profile.icc_profile is None
    assert np.abs(through_profile.pixels - [1, 0, 0]).max() < 0.05  # what this profile says of cyan
    image.save(path, **options)
    assert np.abs(read_photo(path).pixels - [0, 1, 1]).max() < 0.05
    image.save(path, icc_profile=b"no profile", **options)
    assert np.abs(read_photo(path).pixels - [0, 1, 1]).max() < 0.05


def test_lab_becomes_srgb(tmp_path):
    Image.new("LAB", (4, 4), (138, 209, 198)).save(tmp_path / "photo.tif")
    assert np.abs(read_photo(tmp_path / "photo.tif").pixels - [1, 0, 0]).max() < 0.02


@pytest.mark.parametrize(("head", "largest"), [(b"P6 2 1 1023 ", 1023), (b"P5\n# a note\n6 1\n65535\n", 65535)])
def test_deep_ppm_of_other_programs(tmp_path, head, largest):
    stored = np.array([0, 1, 2, 500, 1022, 1023], ">u2")
    (tmp_path / "photo.ppm").write_bytes(head + stored.tobytes())
    found = read_photo(tmp_path / "photo.ppm")
    assert found.bits == 16
    np.testing.assert_allclose(found.pixels.ravel(), stored / largest, atol=0.5 / 65535)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_of_several_frames_the_first_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"photo{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == ".webp" else {}))
    photo = read_photo(path)
    assert photo.frames == 3
    assert (photo.pixels == np.float32([1, 0, 0])).all()
    if suffix != ".gif":
        write_photo(photo, path)
        assert read_photo(path).frames == 1


def test_a_format_that_holds_less_gets_its_most(tmp_path):
    photo = photo_of(np.array([[[0, 32767, 65535], [128, 129, 65535]]], np.uint16))
    write_photo(photo, tmp_path / "photo.bmp")
    with Image.open(tmp_path / "photo.bmp") as image:
        assert np.asarray(image).tolist() == [[[0, 127, 255], [0, 1, 255]]]
    beyond = replace(photo, pixels=photo.pixels * 3 - 1, bits=8)
    write_photo(beyond, tmp_path / "photo.png")
    assert read_photo(tmp_path / "photo.png").pixels.tolist()[0][0] == pytest.approx([0, 127 / 255, 1])


def test_gray_is_written_as_colour_where_the_format_knows_no_gray(tmp_path):
    samples = noise(5, 6, 2)
    write_photo(photo_of(samples), tmp_path / "photo.bmp")
    expected = np.concatenate((samples[..., :1],) * 3 + (samples[..., 1:],), axis=-1)
    assert_same(read_photo(tmp_path / "photo.bmp"), photo_of(expected))


def test_photo_refuses_what_it_is_not():
    for pixels in (np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 3))):
        with pytest.raises(ValueError, match="pixels: expected float32"):
            Photo(pixels)
    with pytest.raises(ValueError, match="alpha: expected"):
        Photo(np.zeros((2, 2, 3), np.float32), np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="bits: expected"):
        Photo(np.zeros((2, 2, 3), np.float32), bits=10)


def test_loaders_see_16_bits_and_turned_files_as_they_are(tmp_path):
    samples = np.full((2, 3, 1), 32768, np.uint16)
    write_photo(photo_of(samples), tmp_path / "deep.png")
    assert (read_rgb(tmp_path / "deep.png") == 128).all()
    assert read_rgb(tmp_path / "deep.png").shape == (2, 3, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = noise(4, 7, 3)
    for suffix in (".png", ".tif", ".webp"):
        path = tmp_path / f"turned{suffix}"
        Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
        assert image_size(path) == (7, 4)
        np.testing.assert_array_equal(read_rgb(path), np.rot90(pixels, -1))
    assert [path.name for path in list_images(tmp_path)] == ["deep.png", "turned.png", "turned.tif", "turned.webp"]


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".png", 1), (".png", 2), (".png", 3), (".png", 4), (".tif", 1), (".tif", 3), (".tif", 4)]
)
def test_loaders_get_16_bit_samples_exactly(tmp_path, suffix, channels):
    """Gray thrice, without alpha; also where the file is another program's."""
    samples = noise(5, 7, channels, bits=16)
    path = tmp_path / f"deep{suffix}"
    if suffix == ".png":
        path.write_bytes(image_files.png(samples))
    else:
        write_photo(photo_of(samples), path)
    expected = samples[..., :3] if channels > 2 else np.repeat(samples[..., :1], 3, axis=-1)
    found = read_samples(path)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "name", ["gray.png", "colour.png", "colour.tif", "alpha.tif", "colour.jpg", "float.tif", "g.ppm"]
)
def test_loaders_get_other_samples_as_8_bit_rgb(tmp_path, name):
    path, kind = tmp_path / name, {"gray": "L", "alpha": "RGBA"}.get(name.partition(".")[0], "RGB")
    if name == "float.tif":
        write_photo(photo_of(np.random.default_rng(0).random((4, 5, 1), np.float32)), path)
    else:
        Image.fromarray(noise(4, 5, 3)).convert(kind).save(path)
    found = read_samples(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, read_rgb(path))


def test_a_deep_ppm_and_a_broken_file_for_loaders(tmp_path):
    samples = noise(3, 4, 3, bits=16)
    (tmp_path / "deep.ppm").write_bytes(b"P6 4 3 65535\n" + samples.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_samples(tmp_path / "deep.ppm"), samples)
    (tmp_path / "cut.png").write_bytes(image_files.png(samples)[:-30])
    with pytest.raises(InputError, match=r"cut\.png"):
        read_samples(tmp_path / "cut.png")


def test_reading_images_needs_neither_torch_nor_tifffile():
    code = "import sys, aio.images; sys.exit(any(name in sys.modules for name in ('torch', 'tifffile', 'lightning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_avif_and_webp_are_of_high_quality_where_nothing_is_known(tmp_path):
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    photo = Photo(np.stack((ramp[:, None] * ramp, ramp[:, None] * ramp[::-1], 0 * ramp[:, None] * ramp), axis=-1))
    for suffix in (".webp", ".avif", ".jpg"):
        write_photo(photo, tmp_path / f"photo{suffix}")
        assert np.abs(read_photo(tmp_path / f"photo{suffix}").pixels - photo.pixels).mean() < 2 / 255
    with Image.open(io.BytesIO((tmp_path / "photo.jpg").read_bytes())) as image:
        assert image.layer[0][1:3] == (1, 1)  # 4:4:4
