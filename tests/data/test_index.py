"""The index of a tree: what it remembers is what a look would find, and every change is noticed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aio.data import index as index_module
from aio.data.datamodule import RestorationData
from aio.data.discovery import discover
from aio.data.filling import fill_store
from aio.data.index import FILES, FileIndex
from aio.errors import InputError
from aio.images import image_size, list_images

TREE = {
    "train/denoise": "p.png q.png",
    "train/derain/rainy": "rain-1.png rain-2.png",
    "train/derain/gt": "norain-1.png norain-2.png",
    "val/derain/input": "x.png y.png",
    "val/derain/target": "x.png y.png",
    "val/defocus/inputL": "1.png",
    "val/defocus/inputR": "1.png",
    "val/defocus/inputC": "1.png",
    "val/defocus/target": "1.png",
}
TASKS = ["derain", "denoise_25", "defocus"]


@pytest.fixture
def root(plant):
    return plant(TREE)


@pytest.fixture
def looks(monkeypatch):
    """The files whose headers are read, and the roots that are searched, from now on."""
    seen = {"headers": [], "searches": []}

    def header(path):
        seen["headers"].append(path.name)
        return image_size(path)

    def search(root, tasks):
        seen["searches"].append(tasks)
        return discover(root, tasks)

    monkeypatch.setattr(index_module, "image_size", header)
    monkeypatch.setattr(index_module, "discover", search)
    return seen


def learn(root):
    index = FileIndex(root)
    for path in list_images(root):
        assert index.image_size(path) == image_size(path)
    index.discover(TASKS)
    index.folder.mkdir(exist_ok=True)
    index.save()
    return root / ".aio" / FILES


def sizes_of(root):
    index = FileIndex(root)
    return {path: index.image_size(path) for path in list_images(root)}


def test_nothing_is_looked_at_twice(root, looks):
    learn(root)
    looks["headers"].clear()
    looks["searches"].clear()
    index = FileIndex(root)
    assert [index.image_size(path) for path in list_images(root)] == [(24, 32)] * len(list_images(root))
    assert index.discover(TASKS) == discover(root, TASKS)
    assert index.discover(TASKS)["val"].views["defocus"]
    assert looks == {"headers": [], "searches": []}
    assert index.learnt == 0


def test_another_question_is_searched(root, looks):
    learn(root)
    assert FileIndex(root).discover(["derain"]) == discover(root, ["derain"])
    assert looks["searches"] == [TASKS, ["derain"]]


@pytest.mark.parametrize("change", ["time", "size", "new", "gone", "renamed", "a list", "code"])
def test_every_change_is_noticed(root, looks, change, monkeypatch):
    learn(root)
    path = root / "train/denoise/q.png"
    expected = []
    if change == "time":
        os.utime(path, ns=(0, 1))
        expected = ["q.png"]
    if change == "size":
        times = path.stat().st_mtime_ns
        Image.new("RGB", (5, 6)).save(path)
        os.utime(path, ns=(times, times))
        expected = ["q.png"]
    if change == "new":
        Image.new("RGB", (5, 6)).save(root / "train/denoise/r.png")
        expected = ["r.png"]
    if change == "gone":
        path.unlink()
    if change == "renamed":
        path.rename(path.with_name("z.png"))
        expected = ["z.png"]
    if change == "a list":
        (root / "list.txt").write_text("p.png")
    if change == "code":
        monkeypatch.setattr(index_module, "_code", lambda: 0)
    looks["headers"].clear()
    looks["searches"].clear()
    index = FileIndex(root)
    assert {p: index.image_size(p) for p in list_images(root)} == {p: image_size(p) for p in list_images(root)}
    assert looks["headers"] == expected
    assert index.discover(TASKS) == discover(root, TASKS)
    assert len(looks["searches"]) == 1


def test_a_moved_tree_is_searched_anew(root, looks):
    """The name of the root is a word of the paths."""
    learn(root)
    moved = root.rename(root.with_name("gopro"))
    looks["searches"].clear()
    assert FileIndex(moved).discover(TASKS) == discover(moved, TASKS)
    assert len(looks["searches"]) == 1


@given(st.integers(0, 10_000), st.integers(1, 255), st.booleans())
def test_a_damaged_index_is_not_believed(at, flip, cut):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        Image.new("RGB", (5, 6)).save(root / "a.png")
        file = learn_photo(root)
        data = bytearray(file.read_bytes())
        data[at % len(data)] ^= flip
        file.write_bytes(data[: at % len(data)] if cut else data)
        assert sizes_of(root) == {root / "a.png": (6, 5)}
        index = FileIndex(root)
        index.image_size(root / "a.png")
        assert index.learnt == 1  # it knew nothing


def learn_photo(root):
    index = FileIndex(root)
    index.image_size(root / "a.png")
    index.folder.mkdir()
    index.save()
    return index.folder / FILES


def test_what_is_wrong_is_said_as_without_it(root):
    learn(root)
    path = root / "train/denoise/q.png"
    path.write_bytes(b"no image")
    index = FileIndex(root)
    with pytest.raises(InputError, match=r"q\.png: expected an image"):
        index.image_size(path)
    with pytest.raises(InputError, match=r"w\.png: expected an image file, but there is none"):
        index.image_size(root / "w.png")


def module_of(root, **options):
    return RestorationData(de_type=["derain"], data_file_dir=str(root), patch_size=16, **options)


def test_few_files_get_none(root):
    module_of(root).setup()
    assert not (root / ".aio").exists()


def test_many_files_get_one(root, looks, monkeypatch):
    monkeypatch.setattr("aio.data.local.MANY", 10)
    module_of(root).setup()
    assert (root / ".aio" / FILES).exists()
    looks["headers"].clear()
    looks["searches"].clear()
    module_of(root).setup()
    assert looks == {"headers": [], "searches": []}


def test_prepare_writes_one(root, looks):
    fill_store(root, processes=1)
    looks["headers"].clear()
    sizes_of(root)
    assert looks["headers"] == []


def test_only_one_rank_writes(root, monkeypatch):
    monkeypatch.setattr("aio.data.local.MANY", 10)
    monkeypatch.setattr("lightning.fabric.utilities.rank_zero.rank_zero_only.rank", 1)
    module_of(root).setup()
    assert not (root / ".aio").exists()


def test_a_folder_that_may_not_be_written_to(root, monkeypatch):
    monkeypatch.setattr("aio.data.local.MANY", 10)
    (root / ".aio").write_text("no folder")
    module_of(root).setup()
    assert (root / ".aio").read_text() == "no folder"


def test_a_cache_dir_that_holds_nothing(root, tmp_path):
    with pytest.raises(InputError, match=r"--data.cache_dir .*: holds no store; expected what `aio data prepare "):
        module_of(root, cache_dir=str(tmp_path))


def test_it_needs_neither_torch_nor_lightning():
    """The processes that decode start with it."""
    words = [sys.executable, "-X", "importtime", "-c", "import aio.data.filling"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"torch", "lightning"}.isdisjoint(loaded)
