"""`aio restore`: files and folders in, the same kind of file out, a bad one named and passed over."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from aio.errors import InputError
from aio.images import read_photo, write_photo
from aio.inference.photos import restore_photo
from aio.nets.grla_seed import GRLASeed
from aio.restore import main, plan


@pytest.fixture
def album(tmp_path):
    """Photographs of several kinds and depths in nested folders."""
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (37, 45, 3), dtype=np.uint8)
    (tmp_path / "album" / "été").mkdir(parents=True)
    Image.fromarray(colour).save(tmp_path / "album" / "colour.png")
    Image.fromarray(colour[..., 0]).save(tmp_path / "album" / "gray.jpg")
    Image.fromarray(np.dstack([colour, colour[..., :1]])).save(tmp_path / "album" / "été" / "alpha.png")
    Image.fromarray(colour[..., 0].astype(np.uint16) * 257).save(tmp_path / "album" / "deep.tif")
    return tmp_path / "album"


def test_an_album_keeps_tree_formats_depth_and_alpha(album, finished_run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(album), "-o", str(out), "--checkpoint", str(finished_run / "best.ckpt")]) == 0
    assert "4 of 4" in capsys.readouterr().out
    for source in sorted(p for p in album.rglob("*") if p.is_file()):
        before, after = read_photo(source), read_photo(out / source.relative_to(album))
        assert (after.format, after.bits, after.pixels.shape) == (before.format, before.bits, before.pixels.shape)
    alpha = read_photo(out / "été" / "alpha.png").alpha
    assert np.array_equal(alpha, read_photo(album / "été" / "alpha.png").alpha)


def test_the_file_holds_what_the_net_computes(album, finished_run, tmp_path):
    import aio
    from aio.nets.base import restore_any_size

    checkpoint = finished_run / "best.ckpt"
    main([str(album / "colour.png"), "-o", str(tmp_path / "out"), "--checkpoint", str(checkpoint)])
    pixels = np.asarray(Image.open(album / "colour.png"))
    image = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.inference_mode():
        expected = (restore_any_size(aio.load(checkpoint), image).clamp(0, 1) * 255).round()[0].permute(1, 2, 0)
    restored = np.asarray(Image.open(tmp_path / "out" / "colour.png"))
    assert np.abs(restored.astype(float) - expected.numpy()).max() <= 1  # a half may round either way


def test_a_bad_file_is_named_and_the_others_are_restored(album, finished_run, tmp_path, capsys):
    (album / "broken.jpg").write_bytes((album / "gray.jpg").read_bytes()[:200])
    code = main([str(album), "-o", str(tmp_path / "out"), "--checkpoint", str(finished_run / "best.ckpt")])
    said = capsys.readouterr()
    assert code == 1
    assert "broken.jpg" in said.err
    assert "4 of 5" in said.out
    assert not (tmp_path / "out" / "broken.jpg").exists()


def test_super_resolution_enlarges_pixels_and_alpha(album, tmp_path):
    net = GRLASeed(scale=2, dim=10, num_blocks=1, num_heads=2).eval()
    photo = restore_photo(net, read_photo(album / "été" / "alpha.png"))
    assert photo.pixels.shape == (74, 90, 3)
    assert photo.alpha.shape == (74, 90)
    write_photo(photo, tmp_path / "large.png")
    assert read_photo(tmp_path / "large.png").pixels.shape == (74, 90, 3)


def test_a_plan_never_overwrites(album, tmp_path):
    (album / "été" / "colour.png").write_bytes((album / "colour.png").read_bytes())
    with pytest.raises(InputError, match=r"would both be written to"):
        plan([album / "colour.png", album / "été" / "colour.png"], tmp_path / "out")
    with pytest.raises(InputError, match="would be replaced by its restoration"):
        plan([album], album)
    with pytest.raises(InputError, match="no such file or folder"):
        plan([tmp_path / "none.png"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        plan([tmp_path / "empty"], tmp_path / "out")


def test_a_missing_checkpoint_stops_before_anything_is_written(album, tmp_path):
    with pytest.raises(InputError, match=r"none\.ckpt: no such file"):
        main([str(album), "-o", str(tmp_path / "out"), "--checkpoint", str(tmp_path / "none.ckpt")])
    assert not (tmp_path / "out").exists()
