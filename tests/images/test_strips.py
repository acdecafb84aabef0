"""Photographs by strips against the same photographs whole: pixels, metadata, what is refused, and memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import image_files
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from aio.errors import InputError
from aio.images import LARGEST, Photo, create_strips, jpeg_rows, open_strips, read_photo, write_photo

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf dc:title="strips"/></x:xmpmeta>'
DEPTHS = {8: np.uint8, 16: np.uint16, 32: np.float32}


def drawn(height: int, width: int, channels: int, bits: int = 8) -> np.ndarray:
    """Smooth, with noise: all of a format's filters and predictors have work."""
    rng = np.random.default_rng(height * width + channels)
    y, x, c = np.ogrid[:height, :width, :channels]
    image = (1 + np.sin(x / 9 + y / 7 + c)) / 2 * 0.9 + 0.1 * rng.random((height, width, channels))
    return image.astype(np.float32) if bits == 32 else (image * ((1 << bits) - 1)).astype(DEPTHS[bits])


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x010F], block[0x0112] = "Maker", orientation
    return block


def by_strips(path: Path, rows: int, **options: int) -> Photo:
    """The photograph put together again."""
    with open_strips(path, **options) as strips:
        pixels, alpha = [], []
        for _ in range(0, strips.height, rows):
            found = strips.read(rows)
            assert found[0].shape[0] <= rows
            pixels.append(found[0])
            alpha.append(found[1])
        assert len(strips.read(rows)[0]) == 0
        whole = np.concatenate(pixels)
        assert whole.shape == (strips.height, strips.width, strips.channels)
        assert strips.has_alpha == (alpha[0] is not None)
        return Photo(whole, np.concatenate(alpha) if strips.has_alpha else None, **vars(strips.head))


def assert_same(found: Photo, expected: Photo) -> None:
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert (found.alpha is None) == (expected.alpha is None)
    if found.alpha is not None:
        np.testing.assert_array_equal(found.alpha, expected.alpha)
    assert found.head == expected.head


def pillow(suffix: str, mode: str = "RGB", **options: object) -> Callable[[Path, int, int, int], Path]:
    def write(folder: Path, height: int, width: int, orientation: int) -> Path:
        path = folder / f"photo{suffix}"
        image = Image.fromarray(drawn(height, width, 4)).convert(mode)
        image.save(path, **({} if suffix in (".bmp", ".ppm", ".tga") else {"exif": exif(orientation)}), **options)
        return path

    return write


def deep_png(channels: int, *, interlaced: bool = False) -> Callable[[Path, int, int, int], Path]:
    def write(folder: Path, height: int, width: int, orientation: int) -> Path:
        samples = drawn(height, width, channels, 16)
        key = (b"tRNS", samples[0, 0].astype(">u2").tobytes())
        chunks = ((b"eXIf", exif(orientation).tobytes()[6:]), *([key] if channels % 2 else []))
        (folder / "photo.png").write_bytes(image_files.png(samples, interlaced=interlaced, chunks=chunks))
        return folder / "photo.png"

    return write


def deep_tiff(dtype: str, channels: int = 3, **options: object) -> Callable[[Path, int, int, int], Path]:
    def write(folder: Path, height: int, width: int, orientation: int) -> Path:
        samples = drawn(height, width, channels, 16) if dtype == "u2" else drawn(height, width, channels, 32)
        stored = np.moveaxis(samples, -1, 0) if options.get("planarconfig") else samples
        tag = (0x0112, 3, 1, orientation, True)
        gray = "minisblack" if channels < 3 else "rgb"
        tifffile.imwrite(
            folder / "photo.tif",
            np.ascontiguousarray(stored.squeeze(-1) if channels == 1 else stored).astype(dtype),
            **{
                "photometric": gray,
                "extratags": [tag],
                **({"rowsperstrip": 3} if "tile" not in options else {}),
                **options,
            },
        )
        return folder / "photo.tif"

    return write


def lzw_tiff(folder: Path, height: int, width: int, orientation: int) -> Path:
    image_files.lzw_tiff(folder / "photo.tif", drawn(height, width, 3, 16), {0x0112: (orientation,)})
    return folder / "photo.tif"


STRIP = {"strip_size": 200}
FILES = {
    **{f"{mode}.png": pillow(".png", mode) for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "I;16")},
    "16.png": deep_png(1),
    "16a.png": deep_png(2),
    "48.png": deep_png(3),
    "64.png": deep_png(4),
    "adam7.png": deep_png(3, interlaced=True),
    **{f"{mode}.jpg": pillow(".jpg", mode) for mode in ("L", "RGB", "CMYK")},
    "progressive.jpg": pillow(".jpg", progressive=True),
    "422.jpg": pillow(".jpg", subsampling=1, quality=98),
    **{f"{mode}.tif": pillow(".tif", mode, compression="tiff_lzw", **STRIP) for mode in ("L", "RGBA", "P", "CMYK")},
    **{f"{packed}.tif": pillow(".tif", compression=packed, **STRIP) for packed in ("packbits", "raw")},
    "jpeg.tif": pillow(".tif", compression="jpeg"),
    "deflate.tif": pillow(".tif", compression="tiff_adobe_deflate", **STRIP),
    "fax.tif": pillow(".tif", "1", compression="group4", **STRIP),
    "lzw16.tif": lzw_tiff,
    "plain16.tif": deep_tiff("u2", rowsperstrip=None),
    "gray16.tif": deep_tiff("u2", 1, compression="zlib", predictor=True),
    "tiled16.tif": deep_tiff("u2", 4, tile=(16, 32), compression="zlib", extrasamples=["unassalpha"]),
    "planes16.tif": deep_tiff("u2", planarconfig="separate", byteorder=">"),
    "planes16z.tif": deep_tiff("u2", planarconfig="separate", tile=(16, 16), compression="zlib"),
    "big16.tif": deep_tiff("u2", bigtiff=True, compression="lzma"),
    "float.tif": deep_tiff("f4", compression="zlib"),
    "double.tif": deep_tiff("f8", 1),
    "lossless.webp": pillow(".webp", "RGBA", lossless=True),
    "photo.webp": pillow(".webp"),
    "photo.bmp": pillow(".bmp"),
    "photo.ppm": pillow(".ppm"),
    "photo.gif": pillow(".gif", "P"),
}


@pytest.mark.parametrize("kind", FILES)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    rows=st.integers(1, 100),
    orientation=st.sampled_from(range(1, 9)),
)
@settings(max_examples=5, deadline=None)
def test_strips_are_the_photograph(kind, height, width, rows, orientation):
    with tempfile.TemporaryDirectory() as folder:
        path = FILES[kind](Path(folder), height, width, orientation)
        assert_same(by_strips(path, rows), read_photo(path))


@pytest.mark.parametrize("module", ["png_rows", "tiff_parts", "jpeg_rows", "modes"])
@pytest.mark.parametrize("kind", ["RGB.png", "48.png", "RGB.jpg", "gray16.tif", "L.tif", "plain16.tif", "photo.webp"])
def test_bands_of_few_rows(tmp_path, monkeypatch, kind, module):
    """As in images so large that a band holds no more."""
    path = FILES[kind](tmp_path, 83, 61, 6)
    expected = read_photo(path)
    name = "_BLOCK" if module == "modes" else "_BAND"
    monkeypatch.setattr(f"aio.images.{module}.{name}", 2000)
    monkeypatch.setattr("aio.images.turning._SIDE", 16)
    monkeypatch.setattr("aio.images.tiff_parts._FEW_ROWS", 7)
    assert_same(by_strips(path, 13), expected)


def test_jpegs_without_libvips(tmp_path, monkeypatch):
    path = pillow(".jpg")(tmp_path, 70, 50, 8)
    streamed = by_strips(path, 9)
    monkeypatch.setattr(jpeg_rows, "find_spec", lambda name: None)
    assert_same(by_strips(path, 9), streamed)


WRITTEN = [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".tif", 32), (".ppm", 8), (".ppm", 16), (".jpg", 8)]
WRITTEN += [(".bmp", 8), (".webp", 8), (".tga", 8), (".avif", 8)]


@pytest.mark.parametrize(("suffix", "bits"), WRITTEN)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    rows=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    alpha=st.booleans(),
)
@settings(max_examples=5, deadline=None)
def test_what_strips_write_is_what_is_written_whole(suffix, bits, height, width, rows, channels, alpha):
    samples = (drawn(height, width, channels, bits) / (1 if bits == 32 else (1 << bits) - 1)).astype(np.float32)
    opaque = np.ones((height, width), np.float32) if alpha else None
    photo = Photo(samples, opaque, bits, exif=exif(1).tobytes()[6:], xmp=XMP)
    with tempfile.TemporaryDirectory() as folder:
        whole, strips = Path(folder) / f"whole{suffix}", Path(folder) / f"strips{suffix}"
        write_photo(photo, whole)
        write_by_strips(photo, strips, rows)
        assert_same(read_photo(strips), read_photo(whole))
        assert suffix == ".jpg" or strips.read_bytes() == whole.read_bytes()
        assert sorted(path.name for path in Path(folder).iterdir()) == [strips.name, whole.name]


def write_by_strips(photo: Photo, path: Path, rows: int) -> None:
    height, width, channels = photo.pixels.shape
    has_alpha = photo.alpha is not None
    with create_strips(path, photo.head, height=height, width=width, channels=channels, has_alpha=has_alpha) as target:
        for start in range(0, height, rows):
            part = slice(start, start + rows)
            target.write(photo.pixels[part], None if photo.alpha is None else photo.alpha[part])


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "options", [{"subsampling": s, "quality": q} for s, q in ((0, 97), (1, 60), (2, 88))] + [{"progressive": True}]
)
@pytest.mark.parametrize("height", [1, 255, 256, 257, 600])
def test_a_jpeg_of_bands_is_the_jpeg_of_the_whole(tmp_path, mode, options, height):
    path = pillow(".jpg", mode, **options)(tmp_path, height, 45, 1)
    photo = read_photo(path)
    write_photo(photo, tmp_path / "whole.jpg")
    write_by_strips(photo, tmp_path / "strips.jpg", 100)
    assert_same(
        read_photo(tmp_path / "strips.jpg"),
        replace(read_photo(tmp_path / "whole.jpg"), encoding={**photo.encoding, "progressive": False}),
    )
    with Image.open(tmp_path / "strips.jpg") as strips, Image.open(tmp_path / "whole.jpg") as whole:
        assert isinstance(strips, JpegImagePlugin.JpegImageFile)
        assert isinstance(whole, JpegImagePlugin.JpegImageFile)
        assert strips.quantization == whole.quantization
        assert strips.layer == whole.layer


def test_what_does_not_come_leaves_no_file(tmp_path):
    head, strip = read_photo(pillow(".png")(tmp_path, 8, 8, 1)).head, np.zeros((4, 8, 3), np.float32)
    target = tmp_path / "target.png"
    size = {"height": 8, "width": 8, "channels": 3, "has_alpha": False}
    with pytest.raises(ValueError, match="4 rows came, expected 8"), create_strips(target, head, **size) as rows:
        rows.write(strip)
    with pytest.raises(ZeroDivisionError), create_strips(target, head, **size) as rows:
        rows.write(strip / (1 // 0))
    for wrong in (np.zeros((9, 8, 3), np.float32), np.zeros((2, 7, 3), np.float32)):
        with pytest.raises(ValueError, match="after 0 rows of"), create_strips(target, head, **size) as rows:
            rows.write(wrong)
    with pytest.raises(InputError, match="not all finite"), create_strips(target, head, **size) as rows:
        rows.write(strip * np.nan)
    alpha = np.full((4, 8), 0.5, np.float32)
    size["has_alpha"] = True
    with (
        pytest.raises(InputError, match="transparent in part, which JPEG cannot hold"),
        create_strips(tmp_path / "target.jpg", head, **size) as rows,
    ):
        rows.write(strip, alpha)
    with pytest.raises(InputError, match="ends at 65500 on a side"):
        create_strips(tmp_path / "a.jpg", head, **{**size, "width": 70000}).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_errors_of_the_block_stay_what_they_are(tmp_path):
    path = pillow(".png")(tmp_path, 8, 8, 1)
    with pytest.raises(ValueError, match=r"^of the net$"), open_strips(path):
        raise ValueError("of the net")


@pytest.mark.parametrize(
    "kind", ["RGB.png", "48.png", "RGB.jpg", "deflate.tif", "tiled16.tif", "plain16.tif", "photo.webp"]
)
@pytest.mark.parametrize("part", [0.05, 0.6, 0.9])
def test_half_a_file_is_refused_at_the_latest_where_it_ends(tmp_path, kind, part):
    path = FILES[kind](tmp_path, 90, 90, 1)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InputError, match=f"{path.name}: "):
        by_strips(path, 16)


def test_the_limit_of_strips(tmp_path):
    assert LARGEST == 2**28
    for kind in ("RGB.png", "RGB.jpg", "deflate.tif", "photo.webp"):
        path = FILES[kind](tmp_path, 30, 40, 1)
        assert by_strips(path, 16, max_pixels=1200).pixels.shape == (30, 40, 3)
        with pytest.raises(InputError, match=r"40 x 30 = 1,200 pixels, expected at most 1,199.*--max_pixels 1200"):
            by_strips(path, 16, max_pixels=1199)


def test_files_beyond_4_gib_are_bigtiffs_here_too(tmp_path, monkeypatch):
    monkeypatch.setattr("aio.images.tiff_writing._CLASSIC", 0)
    photo = read_photo(deep_tiff("u2")(tmp_path, 50, 60, 1))
    write_by_strips(photo, tmp_path / "large.tif", 7)
    assert (tmp_path / "large.tif").read_bytes()[2] == 43
    assert_same(by_strips(tmp_path / "large.tif", 11), photo)


MEASURE = """
    import resource, sys
    from pathlib import Path
    from aio.images import create_strips, open_strips
    source, target = map(Path, sys.argv[1:])
    with open_strips(source) as rows:
        size = {"height": rows.height, "width": rows.width, "channels": rows.channels, "has_alpha": rows.has_alpha}
        with create_strips(target, rows.head, **size) as out:
            for _ in range(0, rows.height, 128):
                out.write(*rows.read(128))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def copied(source: Path) -> int:
    """Peak MiB of a process that copies the photograph by strips."""
    arguments = [sys.executable, "-c", textwrap.dedent(MEASURE), source, source.with_stem("copy")]
    return int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_memory_does_not_grow_with_the_image(tmp_path, suffix):
    """60 million pixels against 5: in memory 180 MB, and 720 MB as floats."""
    strip = np.tile(drawn(500, 250, 3), (1, 40, 1)).astype(np.float32) / 255
    head = Photo(strip[:1]).head
    peaks = []
    for height in (500, 6000):
        path = tmp_path / f"photo{suffix}"
        with create_strips(path, head, height=height, width=10000, channels=3, has_alpha=False) as rows:
            for _ in range(0, height, 500):
                rows.write(strip)
        peaks.append(copied(path))
    assert peaks[1] < 1.15 * peaks[0] + 20
    assert peaks[1] < 300


def test_strips_of_jpeg_in_tiff(tmp_path):
    image = Image.fromarray(drawn(100, 900, 3))
    image.save(tmp_path / "photo.tif", compression="jpeg", quality=60)
    with Image.open(tmp_path / "photo.tif") as opened:
        assert len(opened.tag_v2[273]) > 1
    assert_same(by_strips(tmp_path / "photo.tif", 33), read_photo(tmp_path / "photo.tif"))
