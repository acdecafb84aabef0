"""Which checkpoint `--resume_from last` and `auto` go on from, and what becomes of damaged and hostile ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from aio.callbacks.resuming import checkpoint_to_resume
from aio.cli import AioCLI
from aio.errors import InputError
from aio.fit import main


@pytest.fixture
def run_of(finished_run, tmp_path) -> Path:
    """A copy of a finished run's checkpoints and configuration."""
    for name in ("last.ckpt", "best.ckpt", "config.yaml"):
        shutil.copy(finished_run / name, tmp_path / name)
    return tmp_path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def flip(path: Path) -> None:
    """One bit of the weights."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("word", ["last", "auto"])
def test_a_whole_run_goes_on_from_its_last(run_of, capsys, word):
    assert checkpoint_to_resume(word, str(run_of)) == run_of / "last.ckpt"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", [cut, flip, empty])
@pytest.mark.parametrize("word", ["last", "auto"])
def test_from_a_damaged_last_it_falls_back_to_the_best_and_says_so(run_of, capsys, damage, word):
    damage(run_of / "last.ckpt")
    assert checkpoint_to_resume(word, str(run_of)) == run_of / "best.ckpt"
    said = capsys.readouterr().err
    assert f"warning: {run_of}/last.ckpt: not a whole checkpoint" in said
    assert f"goes on from {run_of}/best.ckpt" in said


@pytest.mark.parametrize("word", ["last", "auto"])
def test_all_damaged_ones_are_named(run_of, word):
    cut(run_of / "last.ckpt")
    flip(run_of / "best.ckpt")
    with pytest.raises(InputError) as raised:
        checkpoint_to_resume(word, str(run_of))
    assert all(f"{run_of}/{name}.ckpt: not a whole checkpoint" in str(raised.value) for name in ("last", "best"))


def test_without_a_checkpoint_auto_begins(tmp_path):
    assert checkpoint_to_resume("auto", str(tmp_path)) is None
    assert checkpoint_to_resume(None, str(tmp_path)) is None
    with pytest.raises(InputError, match=r"holds no last\.ckpt or best\.ckpt"):
        checkpoint_to_resume("last", str(tmp_path))
    for word in ("last", "auto"):
        with pytest.raises(InputError, match=f"--resume_from {word}: say of which run with --ckpt_dir DIR"):
            checkpoint_to_resume(word, None)


def test_auto_takes_the_folder_of_a_run_that_came_to_no_checkpoint(finished_run, short_fit, tmp_path):
    shutil.copy(finished_run / "config.yaml", tmp_path)
    cli = AioCLI([*short_fit, "--ckpt_dir", str(tmp_path), "--resume_from", "auto"])
    assert cli.resume_from is None
    with pytest.raises(InputError, match="holds a run already"):
        AioCLI([*short_fit, "--ckpt_dir", str(tmp_path)])


class Bomb:
    """Its pickle writes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.write_text, (self.marker, "executed"))


@pytest.mark.parametrize("place", ["optimizer_states", "callbacks", "loops", "hyper_parameters"])
@pytest.mark.parametrize("word", ["last", "{run}/last.ckpt"])
def test_a_hostile_checkpoint_is_refused_and_not_executed(run_of, short_fit, tmp_path, place, word):
    content = torch.load(run_of / "last.ckpt", weights_only=True)
    torch.save({**content, place: Bomb(tmp_path / "marker")}, run_of / "last.ckpt")
    (run_of / "best.ckpt").unlink()
    resume = ["--epochs", "3", "--ckpt_dir", str(run_of), "--resume_from", word.format(run=run_of)]
    with pytest.raises(InputError, match=r"last\.ckpt: refused"):
        main([*short_fit, *resume])
    assert not (tmp_path / "marker").exists()


def test_the_best_of_a_run_goes_with_its_folder(run_of, short_fit):
    """A score that cannot be beaten stays the best, with its file."""
    content = torch.load(run_of / "last.ckpt", weights_only=True)
    (state,) = (state for key, state in content["callbacks"].items() if key.startswith("Checkpoints"))
    score = torch.tensor(99.0, dtype=torch.float64)
    state |= {"best_model_score": score, "kth_value": score}
    torch.save(content, run_of / "last.ckpt")
    before = (run_of / "best.ckpt").read_bytes()
    main([*short_fit, "--epochs", "3", "--ckpt_dir", str(run_of), "--resume_from", "last"])
    assert (run_of / "best.ckpt").read_bytes() == before
    after = torch.load(run_of / "last.ckpt", weights_only=True)
    assert after["epoch"] == 2
    (state,) = (state for key, state in after["callbacks"].items() if key.startswith("Checkpoints"))
    assert (state["best_model_path"], state["best_model_score"]) == (str(run_of / "best.ckpt"), score)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["hyper_parameters", "datamodule_hyper_parameters"])
def test_a_function_that_a_checkpoint_names_is_never_called(run_of, short_fit, tmp_path, monkeypatch, key):
    """Lightning calls what `_instantiator` names when it loads a module from a checkpoint."""
    (tmp_path / "hostile.py").write_text(f"def strike(*_):\n    open({str(tmp_path / 'marker')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    content = torch.load(run_of / "last.ckpt", weights_only=True)
    named = {**content.get(key, {}), "_instantiator": "hostile.strike", "_class_path": "hostile.strike"}
    torch.save({**content, key: named}, run_of / "last.ckpt")
    main([*short_fit, "--epochs", "3", "--ckpt_dir", str(run_of), "--resume_from", "last"])
    assert not (tmp_path / "marker").exists()
