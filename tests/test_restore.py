"""`aio restore`: files and folders in, the same kind of file out, a bad one named and passed over."""

from __future__ import annotations

import csv
import errno
import os
import resource
import signal
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import aio.files
from aio.errors import InputError
from aio.images import LARGEST, read_photo, write_photo
from aio.inference.jobs import one, run
from aio.inference.photos import restore_photo
from aio.inference.settings import Settings
from aio.nets.base import restore_any_size
from aio.nets.grla_seed import GRLASeed
from aio.restore import main
from albums import contents, draw, draw_album, save_tiny_net


@pytest.fixture(scope="session")
def net_folder(tmp_path_factory):
    return save_tiny_net(tmp_path_factory.mktemp("net"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def restore(net_folder, out):
    """Runs the command; `restore(album, "--strict")`."""

    def call(*words, checkpoint=net_folder, output=out):
        return main([*map(str, words), "-o", str(output), "--checkpoint", str(checkpoint), "--device", "cpu"])

    return call


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


@pytest.fixture
def drawn(tmp_path):
    """Six small photographs."""
    return draw_album(tmp_path / "drawn", "a.png b.png c.jpg d.webp sub/a.png sub/e.png")


def restored_now(monkeypatch):
    """The names of the photographs that go through the net from now on."""
    names, compute = [], run.compute_one

    def counting(net, opened, settings, **options):
        names.append(opened.job.source.name)
        return compute(net, opened, settings, **options)

    monkeypatch.setattr(run, "compute_one", counting)
    return names


def test_an_album_keeps_tree_formats_depth_and_alpha(album, restore, out, capsys):
    assert restore(album) == 0
    assert "4 of 4" in capsys.readouterr().out
    for source in sorted(p for p in album.rglob("*") if p.is_file()):
        before, after = read_photo(source), read_photo(out / source.relative_to(album))
        assert (after.format, after.bits, after.pixels.shape) == (before.format, before.bits, before.pixels.shape)
    alpha = read_photo(out / "été" / "alpha.png").alpha
    assert np.array_equal(alpha, read_photo(album / "été" / "alpha.png").alpha)


def test_the_file_holds_what_the_net_computes(album, restore, net_folder, out):
    import aio

    restore(album / "colour.png")
    pixels = np.asarray(Image.open(album / "colour.png"))
    image = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.inference_mode():
        expected = (restore_any_size(aio.load(net_folder), image).clamp(0, 1) * 255).round()[0].permute(1, 2, 0)
    restored = np.asarray(Image.open(out / "colour.png"))
    assert np.abs(restored.astype(float) - expected.numpy()).max() <= 1  # a half may round either way


def test_a_bad_file_is_named_and_the_others_are_restored(album, restore, out, capsys):
    (album / "broken.jpg").write_bytes((album / "gray.jpg").read_bytes()[:200])
    (album / "words.png").write_text("no image at all")
    (album / "large.png").write_bytes(bomb())
    code = restore(album, "--max_pixels", 10_000)
    said = capsys.readouterr()
    assert code == 1
    assert all(name in said.err for name in ("broken.jpg", "words.png", "large.png", "--max_pixels"))
    assert "4 of 7" in said.out
    assert not any((out / name).exists() for name in ("broken.jpg", "words.png", "large.png"))
    with (out / ".aio" / "summary-1of1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["failed"] * 3 + ["restored"] * 4
    assert all(row["reason"] for row in rows[:3])


def bomb():
    """A PNG that says to have 60000 x 60000 pixels."""
    parts = ((b"IHDR", (60000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))), (b"IDAT", b"x"), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in parts
    )


def test_super_resolution_enlarges_pixels_and_alpha(album, tmp_path):
    net = GRLASeed(scale=2, dim=10, num_blocks=1, num_heads=2).eval()
    photo = restore_photo(net, read_photo(album / "été" / "alpha.png"), Settings())
    assert photo.pixels.shape == (74, 90, 3)
    assert photo.alpha.shape == (74, 90)
    write_photo(photo, tmp_path / "large.png")
    assert read_photo(tmp_path / "large.png").pixels.shape == (74, 90, 3)


def test_a_missing_checkpoint_stops_before_anything_is_written(album, restore, out, tmp_path):
    with pytest.raises(InputError, match=r"none\.ckpt: no such file"):
        restore(album, checkpoint=tmp_path / "none.ckpt")
    assert not out.exists()


def test_strict_refuses_what_is_no_photograph(drawn, restore, out, capsys):
    (drawn / "empty.png").touch()
    os.mkfifo(drawn / "pipe.jpg")
    with pytest.raises(InputError, match=r"2 files are no photographs:\n.*empty\.png is empty"):
        restore(drawn, "--strict")
    assert not out.exists()
    assert restore(drawn) == 0
    said = capsys.readouterr()
    assert "skipped" in said.err
    assert "pipe.jpg" in said.err


def test_nothing_is_done_twice(drawn, restore, out, monkeypatch, capsys):
    assert restore(drawn) == 0
    before = contents(out)
    names = restored_now(monkeypatch)
    assert restore(drawn) == 0
    assert names == []
    assert "6 of 6 photographs restored" in capsys.readouterr().out.splitlines()[-1]
    assert contents(out) == before


def test_what_changed_is_done_again(drawn, restore, out, monkeypatch, tmp_path):
    restore(drawn)
    draw(drawn / "sub" / "e.png", size=(20, 20))
    (out / "a.png").unlink()
    (out / "b.png").write_bytes(b"half")
    names = restored_now(monkeypatch)
    assert restore(drawn) == 0
    assert sorted(names) == ["a.png", "b.png", "e.png"]
    names.clear()
    restore(drawn, "--strength", 0.5)
    assert len(names) == 6
    names.clear()
    restore(drawn, "--strength", 0.5, checkpoint=save_tiny_net(tmp_path / "other", seed=1))
    assert len(names) == 6


def test_a_photograph_renamed_or_touched_is_the_same(drawn, restore, monkeypatch):
    restore(drawn)
    for path in drawn.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    names = restored_now(monkeypatch)
    restore(drawn)
    assert names == []


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("after", [1, 3, 5])
def test_stopped_anywhere_and_started_again_the_result_is_the_same(after, drawn, restore, out, tmp_path, monkeypatch):
    restore(drawn, output=tmp_path / "undisturbed")
    names, compute = [], run.compute_one

    def killed(net, opened, settings, **options):
        if len(names) == after:
            raise KilledError
        names.append(opened.job.target)
        return compute(net, opened, settings, **options)

    with monkeypatch.context() as patch:
        patch.setattr(run, "compute_one", killed)
        with pytest.raises(KilledError):
            restore(drawn)
    (out / "sub").mkdir(exist_ok=True)
    (out / "sub" / ".tmp-abcd1234.part").write_bytes(b"half a photograph")  # what a kill leaves
    journal = out / ".aio" / "journal-1of1-1.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])  # of the last line too
    again = restored_now(monkeypatch)
    assert restore(drawn) == 0
    assert len(again) <= 6 - after + 1
    assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_nothing_half_written(number, code, drawn, restore, out, monkeypatch, capsys):
    compute, seen = run.compute_one, []

    def told(net, opened, settings, **options):
        seen.append(opened)
        if len(seen) == 3:
            signal.raise_signal(number)
        return compute(net, opened, settings, **options)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(run, "compute_one", told)
        assert restore(drawn) == code
    assert signal.getsignal(number) is before
    assert "the same command goes on from here" in capsys.readouterr().err
    assert len(contents(out)) == 2
    names = restored_now(monkeypatch)
    assert restore(drawn) == 0
    assert len(names) == 4


def test_a_full_disk_stops_the_job_and_leaves_it_resumable(drawn, restore, out, monkeypatch, capsys):
    class FullDisk:
        """`os`, of which fsync fails from the third file on."""

        synced = 0

        def __getattr__(self, name):
            return getattr(os, name)

        def fsync(self, handle):
            FullDisk.synced += 1
            if self.synced > 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(aio.files, "os", FullDisk())
        assert restore(drawn) == 1
    said = capsys.readouterr()
    assert "No space left on device: stopped; the same command goes on from here" in said.err
    assert len(contents(out)) <= 2
    assert restore(drawn) == 0
    assert len(contents(out)) == 6


def test_a_file_too_long_for_the_file_system_fails_alone(drawn, restore, out, capsys):
    draw(drawn / "long.png", size=(400, 400))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert restore(drawn) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr()
    assert "long.png: cannot be written (File too large)" in said.err
    assert "stopped" not in said.err
    assert len(contents(out)) == 6
    assert restore(drawn) == 0
    assert len(contents(out)) == 7


def test_results_that_cannot_be_written_are_refused(drawn, restore):
    with pytest.raises(InputError, match="cannot be written to"):
        restore(drawn, output="/proc/self/out")


def test_shards_together_are_the_whole(drawn, restore, out, tmp_path, monkeypatch):
    restore(drawn, output=tmp_path / "whole")
    names = restored_now(monkeypatch)
    assert [restore(drawn, "--shard", f"{index}/3") for index in (1, 2, 3)] == [0, 0, 0]
    assert len(names) == 6
    assert contents(out) == contents(tmp_path / "whole")


def test_what_another_process_has_at_hand_is_waited_for(drawn, restore, out, monkeypatch):
    """A claim that is lost at first and then free: nothing is done twice, nothing is left out."""
    take, refused = run.Claims.take, []

    def busy(self, name):
        if name.endswith("a.png") and name not in refused:
            refused.append(name)
            return False
        return take(self, name)

    monkeypatch.setattr(run.Claims, "take", busy)
    names = restored_now(monkeypatch)
    assert restore(drawn) == 0
    assert len(refused) == 2
    assert len(names) == len(contents(out)) == 6


def test_results_beside_the_photographs_are_not_restored_again(drawn, restore, monkeypatch):
    assert restore(drawn, "--suffix", "_aio", output=drawn) == 0
    names = restored_now(monkeypatch)
    assert restore(drawn, "--suffix", "_aio", output=drawn) == 0
    assert names == []
    assert len(contents(drawn)) == 12


def test_names_that_clash_are_told_apart(tmp_path, restore, out):
    album = draw_album(tmp_path / "album", "a.png a.jpg b.webp")
    assert restore(album, "--format", "png", "--suffix", "_aio") == 0
    names = sorted(contents(out))
    assert names[:2] == ["a_aio.png", "a_aio~" + names[1][6:14] + ".png"]
    assert names[2:] == ["b_aio.png"]
    assert all(read_photo(out / name).format == "PNG" for name in names)


def test_a_name_of_bytes_that_are_no_text(tmp_path, restore, out, capsys):
    name = os.fsdecode(b"\xff.png")
    draw(tmp_path / "album" / name)
    (tmp_path / "album" / os.fsdecode(b"\xfe\n.png")).write_bytes(b"broken")
    assert restore(tmp_path / "album") == 1
    assert (out / name).is_file()
    assert "\\udcfe\\n.png" in capsys.readouterr().err


def test_comparisons_are_drawn_also_later(drawn, restore, out, monkeypatch):
    restore(drawn)
    names = restored_now(monkeypatch)
    assert restore(drawn, "--compare") == 0
    assert names == []
    assert (out / "compare" / "sub" / "e.png.jpg").is_file()
    assert len(contents(out)) == 12
    draw(drawn / "a.png", size=(24, 24))
    before = (out / "compare" / "a.png.jpg").read_bytes()
    restore(drawn, "--compare")
    assert (out / "compare" / "a.png.jpg").read_bytes() != before


def test_large_photographs_go_from_file_to_file(drawn, restore, out, tmp_path, monkeypatch):
    restore(drawn, output=tmp_path / "whole")
    monkeypatch.setattr(one, "STREAMED_FROM", 300)
    monkeypatch.setattr(run, "STREAMED_FROM", 300)
    assert restore(drawn) == 0
    for path in drawn.rglob("*.*"):
        whole, large = (read_photo(place / path.relative_to(drawn)) for place in (tmp_path / "whole", out))
        assert np.array_equal(large.pixels, whole.pixels)


def test_what_changes_while_it_is_restored_is_not_kept(drawn, restore, out, monkeypatch):
    monkeypatch.setattr(one, "STREAMED_FROM", 300)
    large = one.restore_large

    def changing(net, source, *rest, **options):
        large(net, source, *rest, **options)
        if source.name == "b.png":
            draw(source, size=(5, 5))

    monkeypatch.setattr(one, "restore_large", changing)
    assert restore(drawn) == 1
    assert not (out / "b.png").exists()


def test_one_photograph_alone(drawn, net_folder, out):
    import aio

    net = aio.load(net_folder)
    done = one.restore_one(net, one.Job(drawn / "a.png", out / "a.png"), Settings())
    assert (done.status, done.reason, len(done.digest)) == ("restored", "", 64)
    failed = one.restore_one(net, one.Job(drawn / "none.png", out / "none.png"), Settings())
    assert failed.status == "failed"
    assert "there is none" in failed.reason
    assert contents(out).keys() == {"a.png"}


@pytest.mark.parametrize(
    "words",
    [("--strength", "1.5"), ("--strength", "nan"), ("--shard", "0/3"), ("--max_pixels", "-1"), ("--engine", "spark")],
)
def test_an_option_that_cannot_be_is_refused(words, drawn, restore, capsys):
    with pytest.raises(SystemExit) as stopped:
        restore(drawn, *words)
    assert stopped.value.code == 2
    assert words[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["photo.png", "-o", "out", "--checkpoint", "none.ckpt"], 2)]
)
def test_quick_answers_load_no_torch(words, code, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "aio", "restore", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code
    timed = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "aio" in timed
    assert {"torch", "numpy", "PIL", "rich"}.isdisjoint(timed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--de_type", "nonesuch"), "unknown degradation"),
        (("--adapter", "a.safetensors"), "chosen by the degradation"),
        (("--adapter", "a.safetensors", "--de_type", "derain"), "a.safetensors: no such file"),
        (("--ray_address", "auto"), "--ray_address auto"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, message, drawn, restore, out):
    with pytest.raises(InputError, match=message):
        restore(drawn, *words)
    assert not out.exists()


def test_help_states_the_limit():
    from aio.restore import _LARGEST

    assert _LARGEST == LARGEST
