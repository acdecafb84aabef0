"""EXIF, XMP, ICC profiles, orientation and the class of compression pass from file to file."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import image_files
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, ImageOps, JpegImagePlugin

from aio.images import Photo, image_size, read_photo, write_photo

SMOOTH = np.add.outer(np.arange(48), np.arange(64))[..., None] * np.array([2, 1, 2]) % 256
PIXELS = SMOOTH.astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="1" dc:title="\xc3\xa9"/></x:xmpmeta>'
MAKER_NOTE = b"Maker\0" + bytes(range(200))
HOLDERS = (".jpg", ".png", ".webp", ".tif", ".avif")


def exif(orientation: int = 1, order: str = ">") -> bytes:
    block = Image.Exif()
    block.endian = order
    block[0x010F], block[0x0112], block[0x0132] = "Maker", orientation, "2024:05:06 07:08:09"
    inner = block.get_ifd(0x8769)
    inner[0xA002], inner[0xA003], inner[0x927C], inner[0x829A] = 64, 48, MAKER_NOTE, 0.01
    inner[0xA005] = {1: "R98"}
    block.get_ifd(0x8825)[1] = "N"
    return block.tobytes()


def saved(path: Path, pixels: np.ndarray = PIXELS, **options: object) -> Path:
    if path.suffix == ".webp":
        options["lossless"] = True
    image = Image.fromarray(pixels)
    if path.suffix == ".png" and "xmp" in options:
        chunk = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + bytes(options.pop("xmp")))  # type: ignore[call-overload]
        image.save(path, **options)
        data = path.read_bytes()
        body = struct.pack(">I", len(chunk[1])) + b"".join(chunk) + struct.pack(">I", image_files.crc(*chunk))
        path.write_bytes(data[:33] + body + data[33:])
    elif path.suffix == ".tif" and "xmp" in options:
        block = Image.Exif()
        block.load(bytes(options.pop("exif", b"")))  # type: ignore[call-overload]
        block[700] = options.pop("xmp")
        image.save(path, exif=block, **options)
    else:
        image.save(path, **options)
    return path


def said(exif_block: bytes | None) -> dict[str, object]:
    """What the EXIF block says, by Pillow's reading."""
    block = Image.Exif()
    block.load(exif_block or b"")
    inner = dict(block.get_ifd(0x8769))
    return {
        "first": {tag: value for tag, value in block.items() if tag not in (0x0112, 0x8769, 0x8825)},
        "orientation": block.get(0x0112, 1),
        "inner": {tag: value for tag, value in inner.items() if tag != 0xA005},
        "interop": dict(block.get_ifd(0xA005)) if 0xA005 in inner else {},
        "gps": dict(block.get_ifd(0x8825)),
        "thumbnail": dict(block.get_ifd(ExifTags.IFD.IFD1)),
    }


@pytest.mark.parametrize("target", HOLDERS)
@pytest.mark.parametrize("source", HOLDERS)
def test_metadata_passes_between_formats(tmp_path, source, target):
    path = saved(tmp_path / f"source{source}", exif=exif(), icc_profile=SRGB, xmp=XMP)
    photo = read_photo(path)
    assert photo.icc_profile == SRGB
    assert photo.xmp == XMP
    expected = said(exif())
    if source == ".tif":  # Pillow's writer leaves the innermost directory out
        expected["interop"] = {}
    assert said(photo.exif) == expected
    write_photo(photo, tmp_path / f"target{target}")
    found = read_photo(tmp_path / f"target{target}")
    assert (found.icc_profile, found.xmp) == (SRGB, XMP)
    assert said(found.exif) == expected
    with Image.open(tmp_path / f"target{target}") as image:  # others find them as well
        assert image.info["icc_profile"] == SRGB
        assert image.info["xmp"] == XMP
        assert image.getexif()[0x010F] == "Maker"
        assert image.getexif().get_ifd(0x8769)[0x927C] == MAKER_NOTE


@pytest.mark.parametrize("bits", [8, 16])
def test_metadata_of_deep_files(tmp_path, bits):
    photo = replace(read_photo(saved(tmp_path / "photo.jpg", exif=exif(), icc_profile=SRGB, xmp=XMP)), bits=bits)
    for suffix in (".png", ".tif"):
        write_photo(photo, tmp_path / f"photo{suffix}")
        found = read_photo(tmp_path / f"photo{suffix}")
        assert (found.bits, found.icc_profile, found.xmp) == (bits, SRGB, XMP)
        assert said(found.exif) == said(exif())


def test_nothing_comes_of_nothing(tmp_path):
    for suffix in (*HOLDERS, ".bmp", ".tga", ".ppm"):
        write_photo(read_photo(saved(tmp_path / f"photo{suffix}")), tmp_path / f"photo{suffix}")
        found = read_photo(tmp_path / f"photo{suffix}")
        assert (found.exif, found.icc_profile, found.xmp) == (None, None, None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [*HOLDERS, "16.tif", "16.png", "lzw.tif"])
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    path = tmp_path / f"photo{suffix}"
    if suffix == "16.png":
        path.write_bytes(image_files.png(PIXELS.astype(np.uint16) * 257, chunks=((b"eXIf", exif(orientation)[6:]),)))
    elif suffix == "16.tif":
        tag = (0x0112, 3, 1, orientation, True)
        tifffile.imwrite(path, PIXELS.astype(np.uint16) * 257, photometric="rgb", extratags=[tag])
    elif suffix == "lzw.tif":
        image_files.lzw_tiff(path, PIXELS.astype(np.uint16) * 257, fields={0x0112: (orientation,)})
    else:
        saved(path, exif=exif(orientation))
    turned = Image.fromarray(PIXELS)
    turned.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned))
    for _ in range(2):  # and not again once it is written
        photo = read_photo(path)
        assert photo.pixels.shape == expected.shape
        lossy = suffix in (".jpg", ".avif")
        assert np.abs(photo.pixels * 255 - expected).mean() < (12 if lossy else 1e-4)
        assert said(photo.exif)["orientation"] == 1
        assert image_size(path) == expected.shape[:2]
        write_photo(photo, path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("style", [b'tiff:Orientation="6"', b"<tiff:Orientation>6</tiff:Orientation>"])
def test_orientation_in_xmp_alone(tmp_path, suffix, style):
    xmp = b"<x:xmpmeta>" + style + b"</x:xmpmeta>"
    photo = read_photo(saved(tmp_path / f"photo{suffix}", xmp=xmp))
    assert photo.pixels.shape == (64, 48, 3)
    assert photo.xmp == xmp.replace(b"6", b"1")


@pytest.mark.parametrize("order", ["<", ">"])
def test_only_what_is_untrue_changes_in_the_block(tmp_path, order):
    """Makers' notes point into the block by byte, so nothing in it may move."""
    block = exif(6, order)[6:]
    found = read_photo(saved(tmp_path / "photo.jpg", exif=exif(6, order))).exif
    assert found is not None
    assert found[:2] == (b"II" if order == "<" else b"MM")
    assert len(found) == len(block)
    assert sum(a != b for a, b in zip(found, block, strict=True)) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_stated_size_follows_the_pixels(tmp_path, order):
    photo = read_photo(saved(tmp_path / "photo.jpg", exif=exif(6, order)))  # now 48 wide
    write_photo(replace(photo, pixels=np.repeat(photo.pixels[:8], 2000, axis=1)), tmp_path / "wide.png")
    inner = said(read_photo(tmp_path / "wide.png").exif)["inner"]
    assert (inner[0xA002], inner[0xA003]) == (96000, 8)  # type: ignore[index]


def test_the_thumbnail_of_the_old_image_goes(tmp_path):
    block = bytearray(exif()[6:])
    order = "<" if block[:2] == b"II" else ">"
    (entries,) = struct.unpack_from(order + "H", block, 8)
    struct.pack_into(order + "I", block, 10 + 12 * entries, len(block))
    block += struct.pack(order + "HHHIIHHIIHHIII", 3, 259, 3, 1, 6, 513, 4, 1, 0, 514, 4, 1, 0, 0)
    path = saved(tmp_path / "photo.jpg", exif=b"Exif\0\0" + block)
    with Image.open(path) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    photo = read_photo(path)
    assert said(photo.exif) == said(exif())
    assert said(photo.exif)["thumbnail"] == {}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # so says Pillow
@pytest.mark.parametrize(
    "block", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"no block at all"]
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_broken_block_passes_as_it_is(tmp_path, suffix, block):
    path = tmp_path / f"photo{suffix}"
    if suffix == ".png":
        path.write_bytes(image_files.png(PIXELS, chunks=((b"eXIf", block),)))
    else:
        saved(path, exif=b"Exif\0\0" + block)
    photo = read_photo(path)
    assert photo.exif == (block or None)
    write_photo(photo, path)
    assert read_photo(path).exif == (block or None)
    write_photo(photo, tmp_path / "photo.tif")
    assert read_photo(tmp_path / "photo.tif").exif is None


def test_profiles_are_kept_only_where_they_fit(tmp_path):
    gray = SRGB[:16] + b"GRAY" + SRGB[20:]
    for pixels, profile, kept in (
        (np.zeros((4, 4, 1), np.float32), gray, gray),
        (np.zeros((4, 4, 1), np.float32), SRGB, None),
        (np.zeros((4, 4, 3), np.float32), gray, None),
        (np.zeros((4, 4, 3), np.float32), image_files.ink_profile(), None),
    ):
        for suffix in (".png", ".tif", ".jpg"):
            write_photo(Photo(pixels, icc_profile=profile), tmp_path / f"photo{suffix}")
            assert read_photo(tmp_path / f"photo{suffix}").icc_profile == kept


def jpeg_facts(path: Path) -> tuple[object, ...]:
    with Image.open(path) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return image.mode, image.quantization, JpegImagePlugin.get_sampling(image), image.info.get("progressive", 0)


@pytest.mark.parametrize("quality", [5, 50, 83, 95, 100])
@pytest.mark.parametrize("options", [{"subsampling": s} for s in (0, 1, 2)] + [{"progressive": True}, {"gray": True}])
def test_jpegs_keep_their_class(tmp_path, quality, options):
    pixels = PIXELS[..., 0] if options.get("gray") else PIXELS
    path = saved(tmp_path / "photo.jpg", pixels, quality=quality, **options)
    photo = read_photo(path)
    write_photo(photo, tmp_path / "again.jpg")
    assert jpeg_facts(tmp_path / "again.jpg") == jpeg_facts(path)
    # Compressing again by the same tables changes little: far less than their step.
    again = read_photo(tmp_path / "again.jpg").pixels
    assert (
        np.abs(again - photo.pixels).mean()
        < np.abs(photo.pixels - pixels.reshape(photo.pixels.shape) / 255).mean() + 0.01
    )
    write_photo(photo, tmp_path / "other.jpg", quality=60)
    with Image.open(tmp_path / "other.jpg") as image:
        Image.fromarray(pixels).save(tmp_path / "expected.jpg", quality=60)
        with Image.open(tmp_path / "expected.jpg") as expected:
            assert image.quantization == expected.quantization


def test_jpegs_of_cameras_are_photos_like_others(tmp_path):
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[:24, :32])]
    frames[0].save(tmp_path / "photo.jpg", "MPO", save_all=True, append_images=frames[1:], quality=88)
    photo = read_photo(tmp_path / "photo.jpg")
    assert (photo.format, photo.frames, photo.pixels.shape) == ("JPEG", 1, (48, 64, 3))
    write_photo(photo, tmp_path / "again.jpg")
    assert jpeg_facts(tmp_path / "again.jpg")[1] == jpeg_facts(tmp_path / "photo.jpg")[1]


def test_colours_given_to_a_gray_jpeg(tmp_path):
    photo = read_photo(saved(tmp_path / "gray.jpg", PIXELS[..., 0]))
    write_photo(replace(photo, pixels=np.repeat(photo.pixels, 3, axis=2)), tmp_path / "colour.jpg")
    assert np.abs(read_photo(tmp_path / "colour.jpg").pixels - photo.pixels).mean() < 0.02
    colour = read_photo(saved(tmp_path / "colour.jpg"))
    write_photo(replace(colour, pixels=colour.pixels[..., :1]), tmp_path / "gray.jpg")
    assert read_photo(tmp_path / "gray.jpg").pixels.shape == (48, 64, 1)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("animated", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_webps_without_loss_stay_so(tmp_path, lossless, animated, alpha):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4 if alpha else 3), dtype=np.uint8)
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)][: 2 if animated else 1]
    path = tmp_path / "photo.webp"
    frames[0].save(path, save_all=animated, append_images=frames[1:], lossless=lossless, exact=True, exif=exif())
    photo = read_photo(path)
    assert photo.encoding == {"lossless": lossless}
    write_photo(photo, path)
    again = read_photo(path)
    assert again.encoding == {"lossless": lossless}
    assert (np.array_equal(again.pixels, photo.pixels)) == lossless
    if alpha:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    if lossless:
        write_photo(photo, path, quality=50)
        assert read_photo(path).encoding == {"lossless": False}


def test_quality_is_that_of_the_files_own_format_alone(tmp_path):
    photo = read_photo(saved(tmp_path / "photo.jpg", quality=5))
    write_photo(photo, tmp_path / "photo.webp")
    assert np.abs(read_photo(tmp_path / "photo.webp").pixels - photo.pixels).mean() < 0.02
    write_photo(read_photo(tmp_path / "photo.webp"), tmp_path / "back.jpg")
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", quality=95)
    with Image.open(buffer) as expected:
        assert jpeg_facts(tmp_path / "back.jpg")[1:3] == (expected.quantization, 0)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("turned", [1, 6])
def test_the_size_of_a_png_needs_no_pixels_but_sees_its_orientation(tmp_path, behind, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    path = tmp_path / "a.png"
    Image.new("RGB", (5, 3)).save(path, exif=exif)
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4])
    without, chunk = content[:start] + content[end:], content[start:end]
    if behind:
        path.write_bytes(without[:-12] + chunk + without[-12:])
    assert image_size(path) == ((3, 5) if turned == 1 else (5, 3))
    data = without.index(b"IDAT") + 4
    path.write_bytes(without[:data] + bytes(4) + without[data + 4 :])  # no pixel can be decoded
    assert image_size(path) == (3, 5)
