"""`aio.restore`: the same kind of thing out as in, equal to what the net computes; a clear error for all else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import aio
from aio.errors import InputError
from aio.images import read_photo
from aio.nets.base import RestorationNet
from tiny_nets import build

COLOUR = np.random.default_rng(0).integers(0, 256, (20, 26, 3), dtype=np.uint8)


class Darken(RestorationNet):
    """Halves what it is given; with a task, quarters it. Local, so that every way of tiling is equal."""

    def __init__(self, *, scale: int = 1) -> None:
        super().__init__()
        self.scale, self.factor = scale, nn.Parameter(torch.tensor(0.5))

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        factor = self.factor if task is None else self.factor**2
        return image.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2) * factor


@pytest.fixture
def net() -> RestorationNet:
    return Darken().eval()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 2), (9, 7, 3), (9, 7, 4)])
def test_arrays_keep_shape_type_and_alpha(net, kind, shape):
    peak = np.iinfo(kind).max if np.dtype(kind).kind == "u" else 1
    image = (np.random.default_rng(1).random(shape) * peak).astype(kind)
    kept = image.copy()
    restored = aio.restore(image, net)
    assert (restored.shape, restored.dtype) == (image.shape, image.dtype)
    assert np.array_equal(image, kept)
    colours = shape[2] - (shape[2] + 1) % 2 if len(shape) == 3 else None
    half = image.astype(float)[..., :colours] / 2
    tolerance = {np.uint8: 0.5, np.uint16: 0.51, np.float16: 5e-4}.get(kind, 1e-6)
    assert np.abs(restored[..., :colours] - half).max() <= tolerance
    if colours is not None:
        assert np.array_equal(restored[..., colours:], image[..., colours:].astype(np.float32).astype(kind))


def test_sixteen_bits_are_exact():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(aio.restore(every, Darken().eval(), strength=0), every)


def test_the_net_sees_what_was_given():
    net = build("nafnet")
    image = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = net(image).clamp(0, 1)
    assert (aio.restore(image, net) - expected).abs().max() < 1e-5
    array = aio.restore(image[0].permute(1, 2, 0).numpy(), net)
    assert np.abs(array - expected[0].permute(1, 2, 0).numpy()).max() < 1e-5


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.uint8])
@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 8, 9), (2, 3, 8, 9), (2, 1, 8, 9)])
def test_tensors_keep_shape_and_type(net, kind, shape):
    image = torch.rand(shape)
    image = (image * 255).to(kind) if kind == torch.uint8 else image.to(kind)
    restored = aio.restore(image, net)
    assert (restored.shape, restored.dtype) == (image.shape, image.dtype)
    assert (restored.double() - image.double() / 2).abs().max() <= (0.51 if kind == torch.uint8 else 4e-3)


def test_tensors_come_back_to_their_device_without_gradient(net):
    image = torch.rand(3, 8, 9, requires_grad=True)
    assert not aio.restore(image, net).requires_grad
    if torch.cuda.is_available():
        assert aio.restore(image.detach().cuda(), net).is_cuda


def test_a_net_of_other_channels_takes_tensors():
    net = build("restormer_dual_pixel")
    assert aio.restore(torch.rand(6, 16, 16), net).shape == (3, 16, 16)
    with pytest.raises(InputError, match=r"a tensor \(4, 16, 16\), expected .* with C 1 or 3 or 6"):
        aio.restore(torch.rand(4, 16, 16), net)


@pytest.mark.parametrize(
    ("mode", "back"),
    [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("1", "L"), ("P", "RGB"), ("PA", "RGBA")],
)
def test_pictures_keep_mode_and_alpha(net, mode, back):
    alpha = COLOUR[..., :1]
    picture = Image.fromarray(COLOUR if back == "RGB" else np.dstack([COLOUR, alpha])).convert(mode)
    restored = aio.restore(picture, net)
    assert (restored.mode, restored.size) == (back, picture.size)
    if back.endswith("A"):
        assert restored.getchannel("A").tobytes() == picture.convert(back).getchannel("A").tobytes()
    assert np.abs(np.asarray(restored.convert("RGB")) - np.asarray(picture.convert("RGB")) / 2.0).max() <= 1.0


def test_deep_pictures_stay_deep(net):
    deep = Image.fromarray(np.arange(0, 60000, 500, dtype=np.uint16).reshape(10, 12))
    restored = aio.restore(deep, net)
    assert restored.mode == deep.mode == "I;16"
    assert np.array_equal(np.asarray(restored), np.asarray(deep) // 2)
    floats = Image.fromarray(np.full((4, 5), 0.25, np.float32))
    assert np.asarray(aio.restore(floats, net)) == pytest.approx(0.125)


def test_pictures_keep_what_they_say(net, tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    for name in ("a.jpg", "a.png", "a.tif"):
        Image.fromarray(COLOUR).save(tmp_path / name, exif=exif, dpi=(300, 300))
        with Image.open(tmp_path / name) as picture:
            restored = aio.restore(picture, net)
            assert restored.size == picture.size
            assert restored.getexif()[0x010F] == "maker"
            assert restored.info["dpi"][0] == pytest.approx(300, abs=0.01)


def test_a_transparent_colour_becomes_alpha(net):
    picture = Image.fromarray(COLOUR[..., 0])
    picture.info["transparency"] = int(COLOUR[0, 0, 0])
    restored = aio.restore(picture, net)
    assert restored.mode == "LA"
    assert "transparency" not in restored.info
    assert restored.getpixel((0, 0))[1] == 0


def test_paths_give_a_picture_or_write_a_file(net, tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    source, target = tmp_path / "a.jpg", tmp_path / "out" / "b.jpg"
    smooth = np.add.outer(4 * np.arange(20), 5 * np.arange(26)).astype(np.uint8)
    Image.fromarray(np.dstack([smooth] * 3)).save(source, exif=exif)
    picture = aio.restore(source, net)
    assert picture.size == (20, 26)  # upright
    assert (picture.getexif()[0x010F], picture.getexif()[0x0112]) == ("maker", 1)
    assert aio.restore(str(source), net, output=target) == target
    written = read_photo(target)
    assert (written.format, written.exif is None) == ("JPEG", False)
    assert np.abs(written.pixels * 255 - np.asarray(picture)).max() < 8  # what JPEG loses


def test_a_path_equals_the_command(tmp_path):
    from aio.restore import main

    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    checkpoint = tmp_path / "net"
    build("nafnet").save_pretrained(checkpoint)
    main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--checkpoint", str(checkpoint)])
    aio.restore(tmp_path / "a.png", checkpoint, output=tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "out" / "a.png").read_bytes()


def test_the_command_does_not_hide_the_function(net):
    from aio.restore import main

    assert callable(main)
    assert np.array_equal(aio.restore(COLOUR, net), aio.restore(image=COLOUR, net=net))


def test_deep_colours_need_a_file(net, tmp_path):
    from aio.images import Photo, write_photo

    deep = tmp_path / "deep.png"
    write_photo(Photo(np.full((4, 5, 3), 0.3, np.float32), bits=16), deep)
    with pytest.raises(InputError, match=r"deep\.png: a PIL image cannot hold colours of 16 bits; .*output="):
        aio.restore(deep, net)
    aio.restore(deep, net, output=tmp_path / "out.png")
    assert read_photo(tmp_path / "out.png").bits == 16


def test_lists_and_sizes(net):
    pair = aio.restore([COLOUR, Image.fromarray(COLOUR)], net)
    assert np.array_equal(pair[0], np.asarray(pair[1]))
    large = aio.restore(np.dstack([COLOUR, COLOUR[..., :1]]), Darken(scale=2).eval())
    assert large.shape == (40, 52, 4)
    assert np.abs(large[1::2, ::2, :3] - COLOUR / 2.0).max() <= 0.5


def test_task_strength_and_views_reach_the_net(net):
    image = np.full((8, 8, 3), 0.8, np.float32)
    assert aio.restore(image, net, "derain") == pytest.approx(0.2)
    assert aio.restore(image, net, "derain", strength=0.5) == pytest.approx(0.5)
    assert aio.restore(image, net, tta=True, tile="none") == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.full((4, 4), 3.0), r"floats from 3 to 3, expected them in \[0, 1\]"),
        (np.full((4, 4), np.nan, np.float32), r"expected them in \[0, 1\]"),
        (np.full((4, 4), -0.1, np.float16), r"expected them in \[0, 1\]"),
        (np.zeros((4, 4), np.int64), "an array of int64, expected uint8"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"an array of shape \(2, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"an array of shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 5), np.uint8), "with 1 to 4 channels"),
        (torch.full((3, 4, 4), 1.5), r"floats from 1.5 to 1.5, expected them in \[0, 1\]"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "a tensor of torch.int64"),
        (torch.zeros(4, 4), r"a tensor \(4, 4\), expected"),
        (Image.new("CMYK", (4, 4)), "of the mode CMYK, expected"),
        (b"bytes", "expected a PIL image, .* got bytes"),
        (None, "got NoneType"),
        ("none.png", r"none\.png"),
    ],
)
def test_what_cannot_be_restored_is_named(net, image, said):
    with pytest.raises(InputError, match=said):
        aio.restore(image, net)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"strength": 1.1}, r"strength 1\.1: expected 0\.\.1"),
        ({"strength": float("nan")}, "strength nan"),
        ({"tile": 8}, "tile 8: expected auto, none, or a whole number above 64"),
        ({"tile": "all"}, "tile 'all'"),
        ({"task": "dust"}, "task dust: unknown degradation"),
        ({"output": "b.png"}, "output: goes with the path of a photograph"),
    ],
)
def test_bad_options_are_named(net, words, said):
    with pytest.raises(InputError, match=said):
        aio.restore(COLOUR, net, **words)


def test_what_is_no_net_is_named(net):
    with pytest.raises(InputError, match="restormer: no such file"):  # a preset alone has no weights
        aio.restore(COLOUR, "restormer")
    with pytest.raises(InputError, match=r"net: in training mode; expected net\.eval\(\)"):
        aio.restore(COLOUR, net.train())


def test_a_photograph_is_never_replaced(net, tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for output in (tmp_path / "a.png", tmp_path):
        with pytest.raises(InputError, match="expected the name of a new file"):
            aio.restore(tmp_path / "a.png", net, output=output)
    with pytest.raises(InputError, match="output: goes with one path"):
        aio.restore([tmp_path / "a.png"], net, output=tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == before
