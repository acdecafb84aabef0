"""Files that are no image, half an image, too large or badly named; and outputs that cannot be written."""

from __future__ import annotations

import errno
import os
import socket
import struct
import tempfile
import threading
import warnings
from pathlib import Path

import image_files
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aio.errors import InputError
from aio.images import MAX_PIXELS, Photo, image_size, open_strips, output_format, read_photo, read_rgb, write_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".bmp", ".ppm", ".gif", ".tga", ".avif", ".jp2")


def photo(height: int = 4, width: int = 5, **about: object) -> Photo:
    return Photo(np.zeros((height, width, 3), np.float32), **about)  # type: ignore[arg-type]


def saved(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"photo{suffix}"
        Image.fromarray(PIXELS).save(path)
        return path.read_bytes()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """A whole file of each kind."""
    found = {suffix: saved(suffix) for suffix in SUFFIXES}
    found["deep.png"] = image_files.png(PIXELS.astype(np.uint16) * 257)
    with tempfile.TemporaryDirectory() as folder:
        for name, options in {"deep.tif": {}, "tiled.tif": {"tile": (16, 16), "compression": "zlib"}}.items():
            tifffile.imwrite(Path(folder) / name, PIXELS.astype(np.uint16), photometric="rgb", **options)
            found[name] = (Path(folder) / name).read_bytes()
        image_files.lzw_tiff(Path(folder) / "lzw.tif", PIXELS.astype(np.uint16))
        found["lzw.tif"] = (Path(folder) / "lzw.tif").read_bytes()
    return found


KINDS = (*SUFFIXES, "deep.png", "deep.tif", "tiled.tif", "lzw.tif")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF")
def test_cut_off(tmp_path, files, kind, part):
    path = tmp_path / f"photo{kind}"
    path.write_bytes(files[kind][: max(1, int(part * len(files[kind])))])
    with pytest.raises(InputError, match=f"photo{kind}: (expected an image, but it cannot be read|holds a)"):
        read_photo(path)


@pytest.mark.parametrize("kind", [".png", "deep.png", ".jpg"])
@pytest.mark.parametrize("missing", [1, 2, 12])
def test_only_the_last_bytes_are_missing(tmp_path, files, kind, missing):
    path = tmp_path / f"photo{kind}"
    path.write_bytes(files[kind][:-missing])
    for read in (read_photo, image_size):
        with pytest.raises(InputError, match="photo"):
            read(path)


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_cameras_may_append_to_a_whole_file(tmp_path, files, kind):
    path = tmp_path / f"photo{kind}"
    path.write_bytes(files[kind] + b"a film of the moment" * 500)
    assert read_photo(path).pixels.shape == (40, 50, 3)
    assert image_size(path) == (40, 50)


def read_or_refused(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            said = f"{path}: read" if np.isfinite(read_photo(path, max_pixels=100_000).pixels).all() else "not finite"
        except InputError as error:
            said = str(error)
    assert said.startswith(f"{path}: ")


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_are_read_or_refused(files, kind, data):
    content = bytearray(files[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 200) | st.integers(0, 10_000)) % len(content)
        content[at] = data.draw(st.sampled_from([0, 1, 127, 128, 255]) | st.integers(0, 255))
    read_or_refused(content, f"photo{kind}")


@given(st.binary(min_size=1, max_size=400), st.sampled_from(["", *SUFFIXES]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused(content, suffix):
    read_or_refused(content, f"photo{suffix}")


@pytest.mark.parametrize(
    "layout", [{278: (20,)}, {322: (1 << 20,), 323: (1 << 20,), 324: (8,), 325: (9,)}], ids=["strips", "tiles"]
)
def test_missing_strips_are_not_black_and_tiles_no_bombs(tmp_path, layout):
    fields = {256: (50,), 257: (40,), 258: (16,), 259: (1,), 262: (1,), 277: (1,), **layout}
    (tmp_path / "photo.tif").write_bytes(image_files.tiff(fields, bytes(range(250)) * 8))
    with pytest.raises(InputError, match=r"1 strips or tiles where 2 were expected|tiles of 1048576 x 1048576"):
        read_photo(tmp_path / "photo.tif")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "pipe", "socket", "device", "text", "loop"])
@pytest.mark.parametrize("read", [read_photo, read_rgb, image_size])
def test_no_image(tmp_path, monkeypatch, kind, read):
    monkeypatch.chdir(tmp_path)
    path = Path("photo.png")
    expected = {
        "missing": "expected an image file, but there is none",
        "empty": "expected an image, but the file is empty",
        "folder": "expected an image file, but this is a folder",
        "pipe": "expected an image file, but this is a named pipe",
        "socket": "expected an image file, but this is a socket",
        "device": "expected an image file, but this is a device",
        "text": "expected an image, but it cannot be read .its bytes belong to no known image format",
        "loop": "expected an image, but it cannot be read",
    }[kind]
    match kind:
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        case "device":
            path.symlink_to("/dev/null")
        case "text":
            path.write_text("This is not a photograph.")
        case "loop":
            path.symlink_to(path)
    with pytest.raises(InputError, match=f"photo.png: {expected}"):
        read(path)


def test_unreadable(tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    path.write_bytes(image_files.png(PIXELS))

    def refuse(self: Path, *args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"photo\.png.*Permission denied"):
        read_photo(path)


def test_formats_that_run_programs_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *args: pytest.fail("Ghostscript was run"))
    path = tmp_path / "photo.eps"
    Image.fromarray(PIXELS).save(path)
    with pytest.raises(InputError, match="no known image format"):
        read_photo(path)


@pytest.mark.parametrize("name", ["photo.png", "photo.txt", "photo.tif", "photo.v2"])
def test_names_that_speak_of_another_format(tmp_path, files, name):
    path = tmp_path / name
    path.write_bytes(files[".jpg"])
    with pytest.raises(InputError, match=rf"{name}: holds a JPEG.*\.jpeg, \.jpg"):
        read_photo(path)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC images are not read here; convert it to JPEG, PNG or TIFF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw photographs of cameras are not read here"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL images are not read here"),
    ],
)
def test_photographs_that_only_other_programs_read(tmp_path, start, said):
    (tmp_path / "photo").write_bytes(start + bytes(100))
    with pytest.raises(InputError, match=said):
        read_photo(tmp_path / "photo")


def test_a_raw_photograph_is_not_taken_for_the_preview_in_it(tmp_path, files):
    for name in ("photo.dng", "photo.NEF"):
        (tmp_path / name).write_bytes(files["deep.tif"])
        with pytest.raises(InputError, match=rf"{name}: raw photographs of cameras are not read here"):
            read_photo(tmp_path / name)


def test_names_without_a_suffix_say_nothing(tmp_path, files):
    path = tmp_path / "photo"
    path.write_bytes(files[".png"])
    found = read_photo(path)
    write_photo(found, tmp_path / "restored")
    with Image.open(tmp_path / "restored") as image:
        assert image.format == "PNG"
    write_photo(found, tmp_path / "restored", "jpg")
    with Image.open(tmp_path / "restored") as image:
        assert image.format == "JPEG"


NAMES = [
    "two words.PNG",
    "line\nfeed.png",
    "%s {0}.png",
    "é.png",
    "e\u0301.png",
    "🦊.png",
    "-rf.png",
    "a" * 251 + ".png",
    "ф" * 125 + ".jpg",
]


@pytest.mark.parametrize(
    "name", [*NAMES, *(os.fsdecode(b"\xff\xfe" + suffix) for suffix in (b".png", b".jpg", b".tif"))]
)
def test_any_name(tmp_path, name):
    write_photo(photo(), tmp_path / name)
    assert read_photo(tmp_path / name).pixels.shape == (4, 5, 3)
    with open_strips(tmp_path / name) as rows:
        assert rows.read(9)[0].shape == (4, 5, 3)
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208 - the bytes of the name, not a path
    (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(InputError):
        read_photo(tmp_path / name)


def bombs() -> dict[str, bytes]:
    """Small files that promise 20000 x 20000 pixels."""
    side = 20000
    bmp = bytearray(saved(".bmp"))
    struct.pack_into("<ii", bmp, 18, side, side)
    gif = bytearray(saved(".gif"))
    struct.pack_into("<HH", gif, 6, side, side)
    webp = bytearray(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (side - 1).to_bytes(3, "little") * 2)
    struct.pack_into("<I", webp, 4, len(webp) - 8)
    fields = {256: (side,), 257: (side,), 259: (8,), 262: (2,), 277: (3,), 278: (side,)}
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return {
        ".png": image_files.png(PIXELS).replace(image_files.png(PIXELS)[12:33], _with_crc(b"IHDR" + head)),
        ".bmp": bytes(bmp),
        ".gif": bytes(gif),
        ".webp": bytes(webp),
        "8.tif": image_files.tiff({**fields, 258: (8, 8, 8)}, b"x" * 100),
        "16.tif": image_files.tiff({**fields, 258: (16, 16, 16)}, b"x" * 100),
        ".ppm": b"P6 20000 20000 255 abc",
    }


def _with_crc(body: bytes) -> bytes:
    return body + struct.pack(">I", image_files.crc(body[:4], body[4:]))


@pytest.mark.parametrize("kind", bombs())
@pytest.mark.parametrize("read", [read_photo, read_rgb, image_size])
def test_bombs_are_refused_with_their_size(tmp_path, kind, read):
    path = tmp_path / f"photo{kind}"
    path.write_bytes(bombs()[kind])
    refused = r"photo.*400,?000,?000.* pixels.*raise max_pixels"
    if kind == ".webp":  # before Pillow 13 it is the decoder that refuses this half of a file
        refused += "|could not create decoder"
    with pytest.raises(InputError, match=refused):
        read(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".gif"])
def test_the_limit_can_be_raised_and_lowered(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(PIXELS).save(path)
    with pytest.raises(InputError, match=r"50 x 40 = 2,000 pixels, expected at most 1,999.*max_pixels to 2000"):
        read_photo(path, max_pixels=1999)
    assert read_photo(path, max_pixels=2000).pixels.shape == (40, 50, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # Pillow refuses beyond twice as many
    assert read_photo(path, max_pixels=2000).pixels.shape == (40, 50, 3)
    assert Image.MAX_IMAGE_PIXELS == 500


def test_threads_share_the_limit(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "photo.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    faults: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                read_photo(tmp_path / "photo.tif")
        except (InputError, Warning) as error:
            faults.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert Image.MAX_IMAGE_PIXELS == 500


def test_the_limit_is_pillows():
    assert MAX_PIXELS == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("photo.gif", None, "not written as GIF; expected a name ending in .*png"),
        ("photo.txt", None, r"not written as a \.txt file"),
        ("photo", "PSD", "not written as PSD"),
        ("photo.png", "JPEG", "JPEG was asked for, but the name says PNG"),
    ],
)
def test_formats_that_are_not_written(tmp_path, name, format, message):
    with pytest.raises(InputError, match=message):
        write_photo(photo(), tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


def test_what_the_format_cannot_hold_is_refused_before_the_work():
    alpha = np.ones((4, 5), np.float32)
    assert output_format(photo(alpha=alpha), "photo.jpg") == "JPEG"
    with pytest.raises(InputError, match="transparent in part, which JPEG cannot hold"):
        output_format(photo(alpha=alpha * np.float32(0.5)), "photo.jpg")
    wide = photo(2, 5000)
    assert output_format(wide, "photo.webp", scale=3) == "WEBP"
    with pytest.raises(InputError, match="20000 x 8 pixels, but WEBP ends at 16383"):
        output_format(wide, "photo.webp", scale=4)
    with pytest.raises(InputError, match="longer than a JPEG can hold"):
        output_format(photo(exif=b"II*\0" + bytes(70000)), "photo.jpg")


def test_opaque_alpha_is_left_out_where_there_is_none(tmp_path):
    write_photo(photo(alpha=np.ones((4, 5), np.float32)), tmp_path / "photo.jpg")
    assert read_photo(tmp_path / "photo.jpg").alpha is None


def test_what_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(InputError, match=r"photo\.png: the restored pixels are not all finite"):
        write_photo(Photo(np.full((2, 2, 3), np.nan, np.float32)), tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"quality: expected 1\.\.100, got 0"):
        write_photo(photo(), tmp_path / "photo.jpg", quality=0)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_full_disk_leaves_the_old_file_and_no_trace(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_photo(photo(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_warns(tmp_path, files):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind, content in files.items():
            path = tmp_path / f"photo{kind}"
            path.write_bytes(content)
            read_photo(path)
    assert caught == []
