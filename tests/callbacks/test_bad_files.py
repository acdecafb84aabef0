"""Damaged training images: each is named once and counted, the training goes on, and stops above one in a hundred."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest

from aio.callbacks import bad_files
from aio.callbacks.bad_files import BadFiles
from aio.errors import InputError
from aio.fit import main
from damaged import damage, write_image


@pytest.fixture
def words(tmp_path, short_fit):
    """`words(photos, damaged)`: of a training on so many photographs, the first few of them damaged."""

    def build(photos, damaged, *more):
        root = tmp_path / "data"
        for i in range(photos):
            write_image(root / f"train/denoise/{i:03}.png", number=i)
        write_image(root / "val/denoise/v.png", number=999)
        for i in range(damaged):
            damage(root / f"train/denoise/{i:03}.png")
        options = ["--de_type", "denoise_25", "--data_file_dir", str(root), "--ckpt_dir", str(tmp_path / "run")]
        return [*short_fit, *options, "--epochs", "1", "--data.samples_per_epoch", str(2 * photos), *more]

    return build


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_one_in_a_hundred_is_named_and_replaced(words, tmp_path, capsys, workers):
    main(words(100, 1, "--batch_size", "20", "--num_workers", workers))
    told = [line for line in capsys.readouterr().out.splitlines() if "cannot be decoded" in line]
    assert told == [f"cannot be decoded, replaced: {tmp_path}/data/train/denoise/000.png (1 so far)"]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        counted = [row["data/bad_files"] for row in csv.DictReader(file) if row["train/loss"]]
    assert set(counted) == {"", "1.0"}
    assert counted == sorted(counted)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_more_stop_the_training(words, tmp_path, workers):
    with pytest.raises(InputError, match=r"3 of 100 training files cannot be decoded, and 3 of \d+ samples") as stopped:
        main(words(100, 3, "--batch_size", "20", "--num_workers", workers))
    named = str(stopped.value).splitlines()[1:]
    assert set(named) == {f"{tmp_path}/data/train/denoise/{i:03}.png" for i in range(3)}


class Module:
    """Takes the place of the task, and notes what is logged."""

    def __init__(self):
        self.logged = []

    def log(self, name, value, *, batch_size):
        self.logged.append((name, value))


def trained_on(files, world_size=1):
    """A callback at the start of a training on so many files."""
    source = SimpleNamespace(files=lambda: [(f"{i}.png",) for i in range(files)])
    data = SimpleNamespace(sources=lambda split: [source])
    trainer = SimpleNamespace(datamodule=data, world_size=world_size)
    callback = BadFiles()
    callback.on_train_start(trainer, None)
    return callback, trainer


def step(callback, trainer, *bad, batch_idx=0, size=100):
    module = Module()
    callback.on_train_batch_end(trainer, module, None, {"bad": [*bad, *[""] * (size - len(bad))]}, batch_idx)
    return module.logged


def test_the_share_of_samples_counts_from_a_thousand_on():
    callback, trainer = trained_on(10**6)
    for i in range(9):
        assert step(callback, trainer, "a.png", "a.png", batch_idx=i) == [("data/bad_files", 1.0)]
    with pytest.raises(InputError, match=r"1 of 1000000 .* 20 of 1000 samples .* at most 1 % of either; .*\na\.png$"):
        step(callback, trainer, "a.png", "a.png")


def test_ten_are_listed():
    callback, trainer = trained_on(100)
    with pytest.raises(InputError) as stopped:
        step(callback, trainer, "\0".join(f"{i}.png" for i in range(12)))
    assert str(stopped.value).splitlines()[1:] == [f"{i}.png" for i in range(10)]


def test_a_resumed_training_goes_on_counting(capsys):
    callback, trainer = trained_on(1000)
    step(callback, trainer, "a.png")
    resumed, trainer = trained_on(1000)
    resumed.load_state_dict(callback.state_dict())
    assert step(resumed, trainer) == [("data/bad_files", 1.0)]
    assert step(resumed, trainer, "a.png", "b.png") == [("data/bad_files", 2.0)]
    assert capsys.readouterr().out.count("a.png") == 1
    assert resumed.state_dict() == {"samples": 300, "replaced": 3, "files": ["a.png", "b.png"]}


def test_ranks_tell_each_other_and_stop_together(monkeypatch):
    """What one sees, both count at the next exchange."""
    ranks = [trained_on(100, world_size=2) for _ in range(2)]
    for (callback, trainer), files in zip(ranks, (["a.png", "b.png"], []), strict=True):
        assert step(callback, trainer, *files, batch_idx=7) == []
    told = [(callback._since, callback._seen) for callback, _ in ranks]

    def gather(into, own):
        into[:] = told

    monkeypatch.setattr(
        bad_files,
        "dist",
        SimpleNamespace(
            is_available=lambda: True,
            is_initialized=lambda: True,
            get_world_size=lambda: 2,
            get_rank=lambda: 1,
            all_gather_object=gather,
        ),
    )
    for callback, trainer in ranks:
        with pytest.raises(InputError, match="2 of 100 training files"):
            callback.on_train_epoch_end(trainer, None)
