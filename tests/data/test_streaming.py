"""Streams give the samples of the folder they were packed from, whatever reads them; their cache keeps its limit."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from aio.data import stream as command
from aio.data.datamodule import RestorationData
from aio.data.discovery import discover
from aio.data.samples import TrainingSet
from aio.data.streaming import Stream, StreamCache, is_stream, write_stream
from aio.data.streaming.chunks import ChunkCache
from aio.data.streaming.fetching import Fetcher
from aio.data.streaming.manifest import MANIFEST, Chunk
from aio.errors import InputError
from aio.images import read_samples

SMALL = 1000  # bytes of a chunk, of which an image below has about a hundred, one has three thousand
LIMIT = 6 * SMALL
TASKS = ["denoise_25", "derain", "dehaze"]
OPTIONS = {"de_type": TASKS, "batch_size": 4, "patch_size": 16, "samples_per_epoch": 48, "seed": 5}

# Reads those of the samples START, ... of two epochs that fall to RANK and prints them: `RANK RANKS WORKERS START`.
READER = """\
import pickle, sys, zlib
from pathlib import Path
from torch.utils.data import DataLoader

if __name__ == "__main__":
    rank, ranks, workers, start = (int(word) for word in sys.argv[1:])
    dataset = pickle.loads(Path("dataset.pickle").read_bytes())
    keys = list(range(start, 96))[rank::ranks]
    for key, sample in zip(keys, DataLoader(dataset, batch_size=None, sampler=keys, num_workers=workers), strict=True):
        crc = zlib.crc32(sample["degraded"].numpy().tobytes() + sample["clean"].numpy().tobytes())
        print(key, sample["task"], sample["name"], crc, flush=True)
"""


@pytest.fixture
def tree(plant) -> Path:
    """Twenty photographs; twelve rainy pairs; six clear images with three hazy ones each; some of each to validate."""
    rain, clear = range(12), range(6)
    root = plant(
        {
            "train/denoise": " ".join(f"photo{i}.png" for i in range(20)),
            "train/derain/rainy": " ".join(f"rain-{i}.png" for i in rain),
            "train/derain/gt": " ".join(f"norain-{i}.png" for i in rain),
            "train/dehaze/hazy": " ".join(f"{i}_0.8_{k}.png" for i in clear for k in range(3)),
            "train/dehaze/clear": " ".join(f"{i}.png" for i in clear),
            "val/denoise": "kodak1.png kodak2.png",
            "val/derain/rainy": "rain-1.png",
            "val/derain/gt": "norain-1.png",
            "val/dehaze/hazy": "1_0.9_0.1.png",
            "val/dehaze/clear": "1.png",
        }
    )
    random = np.random.default_rng(0)
    tifffile.imwrite(root / "train/denoise/deep.tif", random.integers(0, 2**16, (20, 24, 3), dtype=np.uint16))
    turned = Image.fromarray(random.integers(0, 256, (20, 40, 3), dtype=np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(root / "train/denoise/turned.jpg", exif=exif)
    return root


@pytest.fixture
def stream(tree: Path, tmp_path: Path) -> Path:
    write_stream(tree, tmp_path / "stream", chunk_bytes=SMALL)
    return tmp_path / "stream"


def streamed(stream: Path, tmp_path: Path, *, num_workers: int = 0) -> RestorationData:
    cache = StreamCache(str(tmp_path / "cache"), LIMIT / 1e9)
    return RestorationData(data_file_dir=str(stream), stream_cache=cache, num_workers=num_workers, **OPTIONS)


def assert_equal_batches(ours, theirs) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["name"] == other["name"]
        assert torch.equal(mine["task"], other["task"])
        assert torch.equal(mine["degraded"], other["degraded"])
        assert torch.equal(mine["clean"], other["clean"])


@pytest.fixture
def reader(stream: Path, tmp_path: Path):
    """Starts processes of their own, with a cache in which six chunks fit; none outlives the test."""
    started = []

    def start(*, rank=0, ranks=1, workers=0, start=0) -> subprocess.Popen:
        (tmp_path / "reader.py").write_text(READER)
        (tmp_path / "dataset.pickle").write_bytes(pickle.dumps(streamed(stream, tmp_path).train_dataloader().dataset))
        numbers = [str(number) for number in (rank, ranks, workers, start)]
        command = [sys.executable, "-W", "error", "reader.py", *numbers]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lines_of(process: subprocess.Popen) -> list[str]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.splitlines()


def described(dataset: TrainingSet, key: int) -> str:
    """The reader's line about a sample."""
    sample = dataset[key]
    crc = zlib.crc32(sample["degraded"].numpy().tobytes() + sample["clean"].numpy().tobytes())
    return f"{key} {sample['task']} {sample['name']} {crc}"


def cached_bytes(cache: Path) -> int:
    """Of whole chunks and of those on their way; folders and files may vanish while they are counted."""
    total = 0
    for folder, _, names in os.walk(cache):
        for name in names:
            if name.startswith("chunk-"):
                with contextlib.suppress(FileNotFoundError):
                    total += (Path(folder) / name).stat().st_size
    return total


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_of_a_few_chunks_are_those_of_the_folder(tree, tmp_path, num_workers):
    write_stream(tree, tmp_path / "stream")
    ours = streamed(tmp_path / "stream", tmp_path, num_workers=num_workers)
    theirs = RestorationData(data_file_dir=str(tree), num_workers=0, **OPTIONS)
    assert_equal_batches(ours.train_dataloader(), theirs.train_dataloader())
    assert_equal_batches(ours.val_dataloader(), theirs.val_dataloader())


def test_samples_of_many_chunks_differ_in_their_order_alone(tree, stream, tmp_path):
    ours = streamed(stream, tmp_path).train_dataloader().dataset
    theirs = RestorationData(data_file_dir=str(tree), num_workers=0, **OPTIONS).train_dataloader().dataset
    keys = range(0, 480, 7)
    assert any(ours[key]["name"] != theirs[key]["name"] for key in keys)
    theirs.mixture = ours.mixture
    for key in keys:
        mine, other = ours[key], theirs[key]
        assert (mine["name"], mine["task"]) == (other["name"], other["task"])
        assert torch.equal(mine["degraded"], other["degraded"])
        assert torch.equal(mine["clean"], other["clean"])


def test_the_manifest_says_what_discovery_finds(tree, stream, tmp_path):
    for tasks in (TASKS, ["derain"], ["clean"]):
        found = Stream(str(stream), StreamCache(str(tmp_path / "cache"))).found(tasks)
        for split, content in discover(tree, tasks).items():
            assert [tree / path for path in found[split].clean] == content.clean
            assert {
                task: [tuple(tree / path for path in pair) for pair in pairs]
                for task, pairs in found[split].pairs.items()
            } == content.pairs


def test_without_photographs_the_clean_sides_are_those_of_the_tasks_asked_for(plant, tmp_path):
    pairs = {"train/derain/rainy": "rain-1.png", "train/derain/gt": "norain-1.png"}
    root = plant(pairs | {"train/dehaze/hazy": "2_1.png", "train/dehaze/clear": "2.png"})
    write_stream(root, tmp_path / "stream")
    found = Stream(str(tmp_path / "stream"), StreamCache()).found(["derain"])
    assert found["train"].clean == [Path("train/derain/gt/norain-1.png")]


def test_litdata_itself_reads_the_chunks(tree, stream):
    from litdata import StreamingDataset

    paths = Stream(str(stream), StreamCache()).manifest.paths
    dataset = StreamingDataset(str(stream))
    assert len(dataset) == len(paths)
    assert all(dataset[i] == (tree / path).read_bytes() for i, path in enumerate(paths))


def test_pixels_and_sizes_are_those_of_the_files(tree, stream, tmp_path):
    packed = Stream(f"file://{stream}", StreamCache(str(tmp_path / "cache"), 4 * SMALL / 1e9))
    assert pickle.loads(pickle.dumps(packed)).manifest == packed.manifest
    for path in packed.manifest.paths:
        expected = read_samples(tree / path)
        found = packed.read(path)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
        assert packed.size_of(path) == expected.shape[:2]
    assert packed.read(Path("train/denoise/deep.tif")).dtype == np.uint16


def test_partners_lie_in_one_chunk_and_tasks_in_chunks_of_their_own(stream):
    packed = Stream(str(stream), StreamCache())
    found = packed.found(TASKS)["train"]
    chunks = {task: set(packed.places(rows).tolist()) for task, rows in found.pairs.items()}
    for rows in found.pairs.values():
        assert all(packed.places([(path,)])[0] == packed.places([row])[0] for row in rows for path in row)
    chunks["denoise"] = set(packed.places([(path,) for path in found.clean]).tolist())
    assert sum(map(len, chunks.values())) == len(set().union(*chunks.values()))
    assert all(len(of_task) > 2 for of_task in chunks.values())
    order = [packed.manifest.number[path] for path in found.clean]
    assert order != sorted(order)  # shuffled, so that neighbours of a folder do not meet again and again


def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are fetched from now on."""
    names: list[str] = []
    plain = Fetcher.fetch

    def counted(self, name, folder):
        names.append(name)
        return plain(self, name, folder)

    monkeypatch.setattr(Fetcher, "fetch", counted)
    return names


def test_a_pass_fetches_each_chunk_once_with_a_quarter_of_the_data_in_the_cache(plant, tmp_path, monkeypatch):
    root = plant({"train/denoise": " ".join(f"photo{i}.png" for i in range(120))})
    manifest = write_stream(root, tmp_path / "stream", chunk_bytes=SMALL // 2)
    limit = sum(chunk.bytes for chunk in manifest.chunks) / 4 / 1e9
    cache = StreamCache(str(tmp_path / "cache"), limit)
    length = len(Stream(str(tmp_path / "stream"), cache).found(["clean"])["train"].clean)
    names = fetches(monkeypatch)
    options = {"batch_size": 1, "patch_size": 16, "samples_per_epoch": length, "num_workers": 0}
    data = RestorationData(data_file_dir=str(tmp_path / "stream"), stream_cache=cache, de_type=["clean"], **options)
    dataset = data.train_dataloader().dataset
    assert len(manifest.chunks) > 20
    names.clear()
    seen = [dataset[key]["name"] for key in range(length)]
    assert len(set(seen)) == length
    assert len(names) == len(set(names)) <= len(manifest.chunks)
    random = np.random.default_rng(1).permutation(length)
    names.clear()
    for image in random:
        dataset.sources[0].cache.read(dataset.sources[0].photos[image])
    assert len(names) > 2 * len(manifest.chunks)  # in any order it would be several times as much


def test_two_ranks_of_two_workers_share_a_small_cache(stream, tmp_path, reader):
    """Each sample once, of the bytes that one process reads, and never more on the disk than the limit."""
    ranks = [reader(rank=rank, ranks=2, workers=2) for rank in range(2)]
    largest = 0
    while any(process.poll() is None for process in ranks):
        largest = max(largest, cached_bytes(tmp_path / "cache"))
        time.sleep(0.01)
    together = [line for process in ranks for line in lines_of(process)]
    alone = streamed(stream, tmp_path / "alone").train_dataloader().dataset
    assert sorted(int(line.split()[0]) for line in together) == list(range(96))
    assert all(line == described(alone, int(line.split()[0])) for line in together)
    longest = max(chunk.bytes for chunk in Stream(str(stream), StreamCache()).manifest.chunks)
    assert 0 < largest <= LIMIT + 4 * longest
    assert cached_bytes(tmp_path / "cache") <= LIMIT
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_killed_reader_is_resumed_where_it_stopped(stream, tmp_path, reader):
    killed = reader(workers=2)
    before = [killed.stdout.readline().strip() for _ in range(20)]
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    resumed = streamed(stream, tmp_path).train_dataloader().dataset
    whole = streamed(stream, tmp_path / "alone").train_dataloader().dataset
    assert before == [described(whole, key) for key in range(20)]
    assert [described(resumed, key) for key in range(20, 96)] == [described(whole, key) for key in range(20, 96)]


def test_what_a_killed_download_left_is_swept(stream, tmp_path):
    chunks = Stream(str(stream), StreamCache()).manifest.chunks
    cache = ChunkCache(remote=str(stream), folder=tmp_path / "c", limit_bytes=4 * SMALL, chunks=chunks)
    for chunk in (chunks[0], chunks[1], chunks[-1]):
        left = tmp_path / "c" / (chunk.file + ".part")
        left.mkdir()
        (left / chunk.file).write_bytes(b"half")
    (tmp_path / "c" / chunks[2].file).write_bytes(b"cut off when the machine stopped")
    for number in range(len(chunks)):
        assert cache.image(number, chunks[number].images - 1)
        assert cached_bytes(tmp_path / "c") <= 4 * SMALL
    assert not list((tmp_path / "c").glob("*.part"))


def test_the_least_recently_read_leave_first(tmp_path):
    remote, folder = tmp_path / "remote", tmp_path / "cache"
    remote.mkdir()
    image = np.uint32([1, 12, 17, 1]).astype("<u4").tobytes()[:12] + b"\1\0\0\0!"
    for number in range(4):
        (remote / f"{number}.bin").write_bytes(image)
    chunks = [Chunk(f"{number}.bin", len(image), 1) for number in range(4)]
    cache = ChunkCache(remote=str(remote), folder=folder, limit_bytes=3 * len(image), chunks=chunks)
    for number in (0, 1, 2, 0, 3):
        assert cache.image(number, 0) == b"!"
        time.sleep(0.01)
    assert {path.name for path in folder.glob("*.bin")} == {"0.bin", "2.bin", "3.bin"}


def test_a_chunk_that_is_missing_or_cut_off_is_named(stream, tmp_path):
    manifest = Stream(str(stream), StreamCache()).manifest
    gone, short = stream / manifest.chunks[0].file, stream / manifest.chunks[1].file
    gone.unlink()
    short.write_bytes(short.read_bytes()[:-1])
    packed = Stream(str(stream), StreamCache(str(tmp_path / "cache")))
    with pytest.raises(InputError, match=f"{gone}: cannot be fetched"):
        packed.read(manifest.paths[0])
    with pytest.raises(InputError, match=rf"{short}: is \d+ bytes long, expected {manifest.chunks[1].bytes}"):
        packed.read(manifest.paths[manifest.chunks[0].images])


def test_a_manifest_that_is_missing_or_no_manifest_is_named(stream, tmp_path):
    assert is_stream(str(stream))
    assert is_stream("s3://bucket/stream")
    (tmp_path / "index.json").write_text("{}")  # of some data set
    assert not is_stream(str(tmp_path))
    manifest = stream / MANIFEST
    written = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(written | {"format": "aio stream 0"}))
    with pytest.raises(InputError, match=rf"{manifest}: its format is 'aio stream 0'"):
        streamed(stream, tmp_path).setup()
    manifest.write_text(json.dumps(written | {"chunks": [["../chunk-0-0.bin", 1, 1]]}))
    with pytest.raises(InputError, match=r"leads to another folder"):
        streamed(stream, tmp_path).setup()
    manifest.write_text("{")
    with pytest.raises(InputError, match=rf"{manifest}: expected the manifest of a stream"):
        streamed(stream, tmp_path).setup()
    manifest.unlink()
    with pytest.raises(InputError, match=rf"{manifest}: cannot be fetched"):
        streamed(stream, tmp_path).setup()


def test_without_litdata_the_extra_is_named(stream, tree, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litdata", None)
    for refused in (lambda: streamed(stream, tmp_path), lambda: write_stream(tree, tmp_path / "again")):
        with pytest.raises(InputError, match=r"pip install 'aio\[stream\]'"):
            refused()
    RestorationData(data_file_dir=str(tree), **OPTIONS).setup()


def test_images_smaller_than_the_patch_are_refused_by_the_manifest_alone(stream, tmp_path, monkeypatch):
    names = fetches(monkeypatch)
    cache = StreamCache(str(tmp_path / "cache"))
    data = RestorationData(data_file_dir=str(stream), stream_cache=cache, **(OPTIONS | {"patch_size": 28}))
    with pytest.raises(InputError, match=r"is 24 x 32: expected at least 28"):
        data.setup()
    assert names == [MANIFEST]


def test_the_command_writes_what_it_says(tree, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    out = tmp_path / "stream"
    assert command.main(parser.parse_args([str(tree), str(out), "--chunk_bytes", "2KB", "--de_type", "derain"])) == 0
    assert str(out) in capsys.readouterr().out
    assert set(Stream(str(out), StreamCache()).found(["derain"])["train"].pairs) == {"derain"}
    with pytest.raises(InputError, match=f"{out}: expected a new or empty folder"):
        write_stream(tree, out)
    with pytest.raises(InputError, match="--chunk_bytes 64 boxes"):
        command.main(parser.parse_args([str(tree), str(tmp_path / "other"), "--chunk_bytes", "64 boxes"]))


def test_a_cache_of_no_size_is_refused():
    with pytest.raises(InputError, match="gigabytes 0"):
        StreamCache(gigabytes=0)
