"""The decoded store: the bytes of decoding, nothing of a changed file, nothing that is damaged, in any process."""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aio.data.cache import DecodedCache
from aio.data.datamodule import RestorationData
from aio.data.imagefiles import image_files
from aio.data.store import INDEX, DecodedStore
from aio.data.storing import Part, seal, written_rows
from aio.images import png, read_samples

SIDES = st.integers(1, 40)
TREE = {
    "train/denoise": "p.png q.png r.png",
    "train/derain/rainy": "rain-1.png rain-2.png rain-3.jpg",
    "train/derain/gt": "norain-1.png norain-2.png norain-3.jpg",
    "val/derain/input": "x.png y.png",
    "val/derain/target": "x.png y.png",
}


def fill(root, folder=None):
    """The store of `root`, written in this process."""
    folder = folder or root / ".aio"
    folder.mkdir(exist_ok=True)
    part = Part(folder)
    for file in image_files(root):
        part.append(file, read_samples(file.path))
    part.close()
    seal(folder, np.concatenate(list(written_rows(folder).values())))
    return DecodedStore(folder, root)


def touch(path, later=1):
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + later))


@given(st.lists(st.tuples(SIDES, SIDES, st.sampled_from([np.uint8, np.uint16])), min_size=1, max_size=5))
def test_bytes_are_those_of_decoding(images):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number, (height, width, kind) in enumerate(images):
            pixels = np.random.default_rng(number).integers(0, np.iinfo(kind).max, (height, width, 3), kind, True)
            (root / f"{number}.png").write_bytes(png.encode(pixels))
        store = fill(root)
        assert len(store) == len(images)
        for number, (height, width, kind) in enumerate(images):
            path = root / f"{number}.png"
            held, decoded = store[path], read_samples(path)
            assert held.dtype == decoded.dtype == kind
            assert held.shape == (height, width, 3)
            assert np.array_equal(held, decoded)


def test_crops_are_views_of_the_file(plant):
    root = plant({".": "a.png"})
    store = fill(root)
    one, other = store[root / "a.png"], store[root / "a.png"]
    assert np.shares_memory(one, other)
    assert not one.flags.writeable
    assert np.shares_memory(one[3:9, 4:8], other)


def test_a_relative_root(plant, monkeypatch):
    root = plant({"in": "a.png"})
    fill(root)
    monkeypatch.chdir(root)
    assert DecodedStore(Path(".aio"), Path())[Path("in/a.png")].shape == (24, 32, 3)
    monkeypatch.chdir(root.parent)
    assert DecodedStore(Path(root.name, ".aio"), Path(root.name)).get(Path(root.name, "in/a.png")) is not None


@pytest.mark.parametrize("change", ["time", "content", "gone", "new", "elsewhere"])
def test_what_is_not_as_it_was_is_not_served(plant, change):
    root = plant({".": "a.png b.png"})
    path = root / "a.png"
    store = fill(root)
    if change == "time":
        touch(path)
    if change == "content":
        path.write_bytes(png.encode(np.zeros((3, 4, 3), np.uint8)))
    if change == "gone":
        path.unlink()
    if change == "new":
        path = plant({".": "c.png"}) / "c.png"
    if change == "elsewhere":
        path = plant({".": "a.png"}, root="other") / "a.png"
    assert store.get(path) is None
    with pytest.raises(KeyError):
        store[path]
    assert store.get(root / "b.png") is not None
    if change != "gone":
        assert np.array_equal(DecodedCache(store=store)[path], read_samples(path))


def test_cache_prefers_the_store_and_keeps_the_rest(plant):
    root = plant({".": "a.png b.png"})
    store = fill(root)
    touch(root / "b.png")
    cache = DecodedCache(store=store)
    assert np.shares_memory(cache[root / "a.png"], store[root / "a.png"])
    assert cache[root / "b.png"] is cache[root / "b.png"]
    assert len(cache) == 1  # what is stored takes none of the memory


def test_workers_divide_the_memory():
    assert DecodedCache(800, sharers=4).limit_bytes == 200
    assert DecodedCache(800, sharers=0).limit_bytes == 800
    module = RestorationData(num_workers=2)
    assert 2 * module._supply.cache.limit_bytes == DecodedCache().limit_bytes


def test_which_files_are_missing(plant):
    root = plant({".": "a.png b.png"})
    store = fill(root)
    stamps = [(f.name, f.size, f.mtime) for f in image_files(root)]
    assert store.missing(stamps) == []
    changed = [(stamps[0][0], stamps[0][1], 7), stamps[1], ("new.png", 1, 1)]
    assert store.missing(changed) == ["a.png", "new.png"]


@given(st.integers(0, 600), st.integers(1, 255))
def test_a_damaged_index_serves_nothing(at, flip):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "a.png").write_bytes(png.encode(np.zeros((2, 3, 3), np.uint8)))
        index = fill(root).folder / INDEX
        data = bytearray(index.read_bytes())
        data[at % len(data)] ^= flip
        index.write_bytes(data)
        store = DecodedStore(index.parent, root)
        assert store.faults == [f"{index}: damaged or written by another version"]
        assert store.get(root / "a.png") is None
        assert DecodedCache(store=store)[root / "a.png"].shape == (2, 3, 3)


@pytest.mark.parametrize("keep", [0, 1, 24 * 32 * 3 + 64, None])
def test_a_short_or_missing_part_serves_what_is_whole(plant, keep):
    root = plant({".": "a.png b.png"})
    part = fill(root).folder / "part-000.pixels"
    part.unlink() if keep is None else os.truncate(part, keep)
    store = DecodedStore(part.parent, root)
    lost = 1 if keep == 24 * 32 * 3 + 64 else 2
    assert store.faults == [f"{part}: missing or cut off, {lost} of its images are not there"]
    assert [store.get(root / name) is None for name in ("a.png", "b.png")] == [lost == 2, True]


def test_a_pickle_reopens(plant):
    root = plant({".": "a.png"})
    store = fill(root)
    expected = store[root / "a.png"]
    copy = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 2000
    assert np.array_equal(copy[root / "a.png"], expected)
    assert not np.shares_memory(copy[root / "a.png"], expected)


def batches_of(root, folder, workers):
    module = RestorationData(
        de_type=["derain", "denoise_25"],
        data_file_dir=str(root),
        cache_dir=folder,
        batch_size=4,
        patch_size=16,
        samples_per_epoch=16,
        num_workers=workers,
    )
    module.setup()
    assert (module._supply.cache.store is None) == (folder is None)
    return [*module.train_dataloader(), *module.val_dataloader()], module


# Python 3.12 warns of a fork beside threads, which torch's loader does
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_same_training_with_and_without_it(plant, tmp_path):
    root = plant(TREE)
    fill(root, tmp_path / "store")
    expected, _ = batches_of(root, None, 0)
    for workers in (0, 1, 2):
        batches, module = batches_of(root, str(tmp_path / "store"), workers)
        assert len(module._supply.cache) == 0  # nothing was decoded
        for batch, other in zip(batches, expected, strict=True):
            assert batch["name"] == other["name"]
            assert torch.equal(batch["degraded"], other["degraded"])
            assert torch.equal(batch["clean"], other["clean"])


def test_another_process_reads_the_same(plant):
    root = plant({".": "a.png"})
    task = pickle.dumps((DecodedCache(store=fill(root)), root / "a.png"))
    code = "import pickle, sys; cache, path = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(cache[path]); "
    done = subprocess.run(
        [sys.executable, "-c", code + "assert not len(cache)"], input=task, capture_output=True, check=True
    )
    assert done.stdout == read_samples(root / "a.png").tobytes()


def test_the_user_is_told_of_changed_images(plant):
    root = plant(TREE)
    fill(root)
    touch(root / "train/derain/gt/norain-2.png")
    module = RestorationData(de_type=["derain"], data_file_dir=str(root), patch_size=16)
    with pytest.warns(UserWarning, match=r"1 of 10 images are new or changed, the first .*norain-2.png") as told:
        module.setup()
    assert len(told) == 1
    assert "aio data prepare" in str(told[0].message)
