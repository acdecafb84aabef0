"""`aio data prepare`: everything decoded once, whatever kills it, and crops as the field cuts them."""

import argparse
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from aio.data.crops import Grid
from aio.data.discovery import discover
from aio.data.filling import fill_store
from aio.data.prepare import add_options, main
from aio.data.store import INDEX, DecodedStore, read_index
from aio.data.storing import Part, written_rows
from aio.errors import InputError
from aio.images import list_images, png, read_samples

PREPARE = """
import argparse, sys
from aio.data.prepare import add_options, main
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    add_options(parser)
    sys.exit(main(parser.parse_args(sys.argv[1:])))
"""


def prepare(*words):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return main(parser.parse_args([str(word) for word in words]))


def rows_of(root):
    return {part: [row.tobytes() for row in rows] for part, rows in written_rows(root / ".aio").items()}


def assert_holds_all(root):
    store = DecodedStore(root / ".aio", root)
    assert store.faults == []
    paths = list_images(root)
    assert len(store) == len(paths)
    for path in paths:
        assert np.array_equal(store[path], read_samples(path))


@pytest.fixture
def tree(plant):
    """Images of 8 and 16 bits, gray, and of one pixel."""
    root = plant({"train/input": "a.png b.jpg", "train/target": "a.bmp", ".": "c.webp"})
    (root / "deep.png").write_bytes(png.encode(np.full((5, 7, 3), 40_000, np.uint16)))
    Image.new("L", (1, 1), 9).save(root / "one.png")
    return root


@pytest.fixture
def long_work(plant):
    """A folder of 150 names for one large image, which take a while."""
    root = plant({".": "000.png"}, size=(700, 900))
    for number in range(1, 150):
        (root / f"{number:03}.png").hardlink_to(root / "000.png")
    return root


def start(tmp_path, root):
    script = tmp_path / "prepare_script.py"
    script.write_text(PREPARE)
    words = [sys.executable, script, root, "--processes", "2"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_rows(root, least):
    deadline = time.monotonic() + 120
    while not (root / ".aio").is_dir() or sum(map(len, rows_of(root).values())) < least:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_for_the_end_of_its_processes(folder):
    """Each holds the lock of a part as long as it lives."""
    deadline = time.monotonic() + 60
    while True:
        part = Part(folder)
        part.close()
        if part.number == 0:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_every_image_once(tree, capsys):
    assert prepare(tree, "--processes", 2) == 0
    said = capsys.readouterr().out
    assert f"{tree / '.aio'}: 0.00 GiB to write, " in said
    assert "6 images prepared, 0 had been before" in said
    assert_holds_all(tree)
    before = rows_of(tree)
    assert prepare(tree, "--processes", 1) == 0
    assert "0 images prepared, 6 had been before" in capsys.readouterr().out
    assert rows_of(tree) == before


def test_only_what_changed_is_done_again(tree):
    fill_store(tree, processes=1)
    Image.new("RGB", (9, 4), (1, 2, 3)).save(tree / "c.webp")
    (tree / "one.png").unlink()
    done = fill_store(tree, processes=1)
    assert (done.done, done.images, done.faults) == (1, 5, [])
    assert_holds_all(tree)


def test_elsewhere(tree, tmp_path):
    fill_store(tree, out=tmp_path / "there", processes=1)
    assert not (tree / ".aio").exists()
    assert len(DecodedStore(tmp_path / "there", tree)) == 6


def test_unreadable_files_are_listed_and_the_others_done(tree, capsys):
    (tree / "broken.png").write_bytes(b"no image")
    whole = (tree / "train/input/a.png").read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 255  # its header and its end are right
    (tree / "rotten.png").write_bytes(broken)
    assert prepare(tree, "--processes", 1) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == [str(tree / "broken.png"), str(tree / "rotten.png")]
    assert lines[2] == "2 images cannot be read"
    assert len(DecodedStore(tree / ".aio", tree)) == 6


def test_killed_and_started_again(long_work, tmp_path):
    for least in (5, 60):
        running = start(tmp_path, long_work)
        wait_for_rows(long_work, least)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert not (long_work / ".aio" / INDEX).exists() or len(DecodedStore(long_work / ".aio", long_work)) < 150
    wait_for_the_end_of_its_processes(long_work / ".aio")
    before = rows_of(long_work)
    count = sum(map(len, before.values()))
    assert 60 <= count < 150
    done = fill_store(long_work, processes=2)
    assert (done.done, done.images, done.faults) == (150 - count, 150, [])
    after = rows_of(long_work)
    assert all(after[part][: len(rows)] == rows for part, rows in before.items())
    assert sum(map(len, after.values())) == 150  # nothing was redone
    assert_holds_all(long_work)


def test_two_at_once_share_the_work(long_work, tmp_path):
    running = [start(tmp_path, long_work) for _ in range(2)]
    said = [process.communicate(timeout=200)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert sum("150 images prepared, 0 had been before" in text for text in said) == 1
    assert sum("0 images prepared, 150 had been before" in text for text in said) == 1
    assert sum(map(len, rows_of(long_work).values())) == 150
    assert_holds_all(long_work)


def test_no_two_write_to_one_part(tmp_path):
    first, second = Part(tmp_path), Part(tmp_path)
    assert (first.number, second.number) == (0, 1)
    first.close()
    third = Part(tmp_path)
    assert third.number == 0
    for part in (second, third):
        part.close()


def spoil_index(folder):
    data = bytearray((folder / INDEX).read_bytes())
    data[100] ^= 1
    (folder / INDEX).write_bytes(data)


def lose_index(folder):
    (folder / INDEX).unlink()


@pytest.mark.parametrize("harm", [spoil_index, lose_index])
def test_a_lost_index_is_rebuilt_without_decoding(tree, harm):
    fill_store(tree, processes=1)
    harm(tree / ".aio")
    assert fill_store(tree, processes=1).done == 0
    assert_holds_all(tree)


def test_half_written_pixels_are_not_taken(tree):
    """What a power failure leaves: rows whose pixels never reached the disk, and half a row."""
    fill_store(tree, processes=1)
    folder = tree / ".aio"
    (folder / INDEX).unlink()
    pixels = bytearray((folder / "part-000.pixels").read_bytes())
    pixels[200] ^= 1  # of the first image
    (folder / "part-000.pixels").write_bytes(pixels[:-1])  # and the last one is cut off
    with (folder / "part-000.rows").open("ab") as rows:
        rows.write(b"half a row")
    assert fill_store(tree, processes=1).done == 2
    assert_holds_all(tree)


def test_lost_pixels_are_never_mixed_up(tree):
    fill_store(tree, processes=1)
    (tree / ".aio/part-000.pixels").unlink()
    assert fill_store(tree, processes=1).done == 6
    assert_holds_all(tree)


def test_lost_pixels_are_not_offered_while_others_take_their_place(tree, monkeypatch):
    fill_store(tree, processes=1)
    (tree / ".aio/part-000.pixels").unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: argparse.Namespace(free=1000))
    with pytest.raises(InputError, match="make room"):
        fill_store(tree, processes=1)
    assert len(read_index(tree / ".aio")) == 0


def test_verify_finds_what_rotted(tree):
    fill_store(tree, processes=1)
    pixels = bytearray((tree / ".aio/part-000.pixels").read_bytes())
    pixels[200] ^= 1
    (tree / ".aio/part-000.pixels").write_bytes(pixels)
    assert fill_store(tree, processes=1).done == 0
    assert fill_store(tree, processes=1, verify=True).done == 1
    assert_holds_all(tree)


def test_too_little_room(tree, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: argparse.Namespace(free=1000))
    with pytest.raises(InputError, match=r"GiB to write, 0.00 GiB free: make room, or name a folder .* --out"):
        fill_store(tree, processes=1)
    assert rows_of(tree) == {}


def test_no_place_to_write(tree):
    (tree / ".aio").write_text("a file")
    with pytest.raises(InputError, match=r"\.aio: cannot be written to .*; name another folder by --out"):
        fill_store(tree, processes=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: expected a folder of images, but there is none"),
        ([".", "--processes", "0"], "--processes 0: expected at least 1"),
        ([".", "--overlap", "3"], "expected --crop with them"),
        ([".", "--crop", "8"], "--crop: expected --out"),
        ([".", "--crop", "8", "--overlap", "8", "--out", "x"], "--crop 8 --overlap 8 --crop_above 0: expected"),
        ([".", "--crop", "0", "--out", "x"], "--crop 0 --overlap 0"),
        ([".", "--crop", "8", "--verify", "--out", "x"], "--verify: concerns the store"),
        ([".", "--crop", "8", "--out", "crops"], "lies in"),
        ([".", "--out", "x"], "holds no image file"),
    ],
)
def test_refused(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    if said == "lies in":
        Image.new("RGB", (9, 9)).save("a.png")
    with pytest.raises(InputError, match=said):
        prepare(*words)


def test_grid_of_the_field():
    """GoPro's frames give 8 crops (16,824 of 2,103 pairs); DFWB's and SIDD's grids, counted by hand."""
    gopro = Grid(512, 256).places(720, 1280)
    assert gopro == [(top, left) for left in (0, 256, 512, 768) for top in (0, 208)]
    assert 2103 * len(gopro) == 16_824
    dfwb = Grid(512, 96, 800)
    assert dfwb.places(800, 2000) == dfwb.places(2000, 800) == []
    assert dfwb.places(801, 2040) == [(top, left) for left in (0, 416, 832, 1248, 1528) for top in (0, 289)]
    assert Grid(512, 128).places(512, 513) == [(0, 0), (0, 1)]
    assert Grid(512, 128).places(512, 512) == [(0, 0)]
    assert Grid(512, 128).places(511, 900) == []


@pytest.fixture
def cut(plant, tmp_path):
    """A paired folder and the folder of its crops."""
    names = "rain-1.png rain-2.png", "norain-1.png norain-2.png"
    root = plant({"train/derain/rainy": names[0], "train/derain/gt": names[1]}, size=(20, 33))
    (root / "deep.png").write_bytes(png.encode(np.arange(9 * 16 * 3, dtype=np.uint16).reshape(9, 16, 3) * 150))
    Image.new("RGB", (7, 30)).save(root / "small.jpg")
    words = (root, "--crop", 8, "--overlap", 2, "--out", tmp_path / "crops", "--processes", 1)
    assert prepare(*words) == 0
    return root, tmp_path / "crops", words


def test_crops_are_slices(cut):
    root, out, _ = cut
    for path in list_images(root):
        pixels = read_samples(path)
        places = Grid(8, 2).places(*pixels.shape[:2])
        whole = (out / path.relative_to(root)).with_suffix(".png")
        if not places:
            assert np.array_equal(read_samples(whole), pixels)
        for number, (top, left) in enumerate(places, 1):
            crop = read_samples(whole.with_stem(f"{whole.stem}-{number}"))
            assert crop.dtype == pixels.dtype
            assert np.array_equal(crop, pixels[top : top + 8, left : left + 8])
    assert len(list_images(out)) == 4 * 3 * 6 + 2 * 3 + 1


def test_crops_of_pairs_stay_aligned(cut):
    pairs = discover(cut[1], ["derain"])["train"].pairs["derain"]
    assert len(pairs) > 2 * 3 * 5
    for degraded, clean in pairs:
        assert np.array_equal(read_samples(degraded)[..., :2], read_samples(clean)[..., :2])


def test_crops_are_made_once(cut, capsys):
    root, out, words = cut
    times = {path: path.stat().st_ctime_ns for path in list_images(out)}
    (out / "train/derain/gt/norain-1-3.png").unlink()
    path = root / "train/derain/rainy/rain-2.png"
    path.write_bytes(path.read_bytes() + b"more")
    assert prepare(*words) == 0
    assert "2 images prepared, 4 had been before" in capsys.readouterr().out
    redone = {path for path, ctime in times.items() if path.stat().st_ctime_ns != ctime}
    assert {path.name.rpartition("-")[0] for path in redone} == {"norain-1", "rain-2"}


def test_crops_that_would_share_a_name(plant, tmp_path):
    root = plant({".": "a.png a.jpg b.png"})
    with pytest.raises(InputError, match=r"2 images whose crops would get names of others, the first:\n .*a.jpg"):
        prepare(root, "--crop", 8, "--out", tmp_path / "crops")


def test_crops_after_a_kill_are_whole(cut):
    """A temporary file that a kill left is no image of the tree."""
    _, out, words = cut
    (out / ".tmp-x.part").write_bytes(b"half")
    before = list_images(out)
    assert prepare(*words) == 0
    assert list_images(out) == before


def test_crops_of_another_grid_or_of_what_is_gone_are_not_mixed_in(cut, plant):
    root, _, words = cut
    with pytest.raises(InputError, match=r"crops: holds images, but no crops of this grid; expected an empty folder"):
        prepare(*words[:4], 1, *words[5:])
    Image.new("RGB", (8, 8)).save(root / "train/derain/rainy/rain-2.png")  # of 18 crops one is left
    with pytest.raises(InputError, match=r"crops: 17 images there are no crops of what there is, as .*rain-2-10.png"):
        prepare(*words)
    foreign = plant({".": "a.png"}, root="foreign")
    with pytest.raises(InputError, match="holds images, but no crops"):
        prepare(root, "--crop", 8, "--out", foreign)
