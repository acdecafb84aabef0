"""Every file in conf/ is read by the command line, and says in its header what it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aio.cli import AioCLI
from aio.fit import main
from aio.presets import conf_dir

CONF = conf_dir()
HERE = ["--trainer.accelerator", "cpu", "--devices", "1", "--precision", "32-true"]


def files(folder: str) -> list[Path]:
    return sorted((CONF / folder).glob("*.yaml"))


@pytest.mark.parametrize(
    "path", [*files("data"), *files("trainer"), *files("fit")], ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_every_file_builds_a_training(path, tmp_path, short_fit):
    needs_root = "trainset: demo" not in path.read_text() and path.parent.name != "trainer"
    root = ["--data_file_dir", str(tmp_path)] if needs_root else []
    tiny = short_fit[:2]
    cli = AioCLI(["--config", str(path), *tiny, *HERE, *root, "--ckpt_dir", str(tmp_path / "run")])
    assert cli.datamodule.tasks
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", files("fit"), ids=lambda p: p.stem)
def test_an_experiment_says_what_it_reproduces_costs_and_runs(path):
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert all(word in header for word in ("Reproduces:", "Cost:", "Run: ", f"conf/fit/{path.name}"))


@pytest.mark.parametrize("path", files("fit"), ids=lambda p: p.stem)
def test_the_files_that_a_header_names_are_there(path):
    named = re.findall(r"conf/([\w/]+\.yaml)", path.read_text())
    assert named
    assert [name for name in named if not (CONF / name).is_file()] == []


def test_the_demo_trains_one_step(tmp_path):
    """As `make demo` types it, but for its length."""
    short = ["--epochs", "1", "--data.samples_per_epoch", "8", "--data.val_size", "32", "--num_workers", "0"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.log_every_n_steps", "1", "--patch_size", "16"]
    main(["--config", str(CONF / "fit/demo.yaml"), *short, *quiet, "--ckpt_dir", str(tmp_path / "run")])
    scores = (tmp_path / "run" / "scores.md").read_text()
    assert all(task in scores for task in ("denoise_25", "derain", "dehaze", "deblur", "lowlight"))
