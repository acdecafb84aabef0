"""`best.ckpt` and `last.ckpt`: which epoch they hold, and that a fault never leaves half of one."""

from __future__ import annotations

import errno
import os
import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from aio.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from aio.commands import run
from aio.errors import InputError
from aio.fit import main
from aio.task import RestorationTask
from training import batch_of, loader, tiny, trainer_for


class Scores(L.Callback):
    """Puts given scores in the place of the measured ones, and keeps the weights of each epoch."""

    def __init__(self, scores: list[float]) -> None:
        self.scores, self.weights = scores, []

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.weights.append(pl_module.net.output.weight.detach().clone())

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            trainer.callback_metrics["val/psnr"] = torch.tensor(self.scores[trainer.current_epoch])


def train(folder: Path, scores: list[float], **arguments: Any) -> Scores:
    seen, keep = Scores(scores), Checkpoints(**arguments)
    keep.dirpath = str(folder)
    callbacks = [seen, keep, keep.last()]
    trainer = trainer_for(
        callbacks=callbacks, max_epochs=len(scores), enable_checkpointing=True, plugins=[AtomicCheckpointIO()]
    )
    trainer.fit(RestorationTask(net=tiny(), lr=1e-2), loader([batch_of(1)]), loader([batch_of(1)]))
    return seen


@pytest.mark.parametrize(
    ("scores", "best"), [([20.0, 22.0, 21.0, 19.0], 1), ([20.0, 21.0, 22.0], 2), ([20.0, float("inf"), 19.0], 1)]
)
def test_best_is_the_highest_psnr_and_last_the_last(tmp_path, scores, best):
    seen = train(tmp_path, scores)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    for name, epoch in (("best", best), ("last", len(scores) - 1)):
        stored = torch.load(tmp_path / f"{name}.ckpt", weights_only=True)
        assert stored["epoch"] == epoch
        assert torch.equal(stored["state_dict"]["net.output.weight"], seen.weights[epoch])


def test_every_second_epoch(tmp_path):
    train(tmp_path, [20.0, 21.0, 22.0], every_n_epochs=2)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1


def test_a_failed_write_keeps_the_earlier_checkpoint(tmp_path, monkeypatch):
    io, path = AtomicCheckpointIO(), tmp_path / "run" / "last.ckpt"
    io.save_checkpoint({"epoch": 1}, path)

    def fail_half_way(checkpoint: dict[str, Any], file: Any) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", fail_half_way)
    with pytest.raises(
        InputError, match=r"last\.ckpt: not written \(No space left on device\); about 4,000 bytes are n"
    ):
        io.save_checkpoint({"epoch": 2, "weights": [torch.zeros(1000)]}, path)
    assert io.load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path):
    """Torch itself meets the refusal, in the midst of its archive."""
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"epoch": 1}, path)
    with (
        room_for(100_000),
        pytest.raises(InputError, match=r"last\.ckpt: not written .* about 4,000,000 bytes are needed"),
    ):
        io.save_checkpoint({"epoch": 2, "weights": torch.zeros(1_000_000)}, path)
    assert io.load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_another_failure_is_not_taken_for_a_full_disk(tmp_path, monkeypatch):
    def fail(checkpoint: dict[str, Any], file: Any) -> None:
        raise RuntimeError("cannot be stored")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="cannot be stored"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt")


def test_a_training_on_a_full_disk_says_so_and_can_go_on(short_fit, tmp_path, capsys):
    words = [*short_fit, "--epochs", "1", "--ckpt_dir", str(tmp_path / "run")]
    with room_for(2_000_000), pytest.raises(SystemExit) as ended:
        run(main, words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "error: " in said
    assert ".ckpt: not written (File too large)" in said
    assert not list((tmp_path / "run").glob(".tmp*"))
    main([*words, "--resume_from", "auto"])
    assert (tmp_path / "run" / "last.ckpt").is_file()
    steps = [row.split(",")[3] for row in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    assert steps.count("1") <= 2  # a step and its validation: what the first attempt logged is not there


def test_bytes_and_names_are_on_the_disk(tmp_path, monkeypatch):
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    assert [synced[0].parent, synced[1]] == [tmp_path, tmp_path]


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.write_text, (self.marker, "executed"))


@pytest.mark.parametrize("weights_only", [None, False, True])
def test_code_is_never_executed(tmp_path, weights_only):
    torch.save({"epoch": Bomb(tmp_path / "marker")}, tmp_path / "evil.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt", weights_only=weights_only)
    assert not (tmp_path / "marker").exists()


def test_storage_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="storage options"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "x.ckpt", storage_options={"acl": "public"})
    assert not list(tmp_path.iterdir())
