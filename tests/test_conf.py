"""Every file in conf/ is read by the command line, and says in its header what it is for."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from aio.cli import AioCLI
from aio.fit import main
from aio.nets.base import count_parameters
from aio.presets import conf_dir, describe, list_presets, net_preset

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


def test_the_stages_of_restormer_are_of_its_iterations(tmp_path):
    """Zamir et al., 5.1, on eight GPUs; the rate is held for the first."""
    path = CONF / "fit/restormer_deraining.yaml"
    with torch.device("meta"):
        cli = AioCLI(
            ["--config", str(path), *HERE, "--data_file_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "r")]
        )
    data, stages = cli.datamodule, cli.config_init.progressive.stages
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=8, global_rank=0, _accelerator_connector=SimpleNamespace(use_distributed_sampler=False)
    )
    iterations = [stage.epochs * data.batches_per_epoch(batch_size=stage.batch_size) for stage in stages]
    assert iterations == [92_000, 64_000, 48_000, 36_000, 36_000, 24_000]
    assert [(stage.patch_size, 8 * stage.batch_size) for stage in stages] == [
        (128, 64), (160, 40), (192, 32), (256, 16), (320, 8), (384, 8)
    ]  # fmt: skip
    assert sum(stage.epochs for stage in stages) == cli.config.trainer.max_epochs
    assert cli.model.hold_epochs == stages[0].epochs
    assert (cli.model.lr, cli.model.min_lr) == (3e-4, 1e-6)


@pytest.mark.parametrize("path", [p for p in files("fit") if "base:" in p.read_text()], ids=lambda p: p.stem)
def test_the_saved_config_of_a_file_with_a_base_stands_alone(path, tmp_path, capsys):
    root = ["--data_file_dir", str(tmp_path)]
    with pytest.raises(SystemExit):
        AioCLI(["--config", str(path), *HERE, *root, "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["base"] is None
    assert printed["trainer"]["max_steps"] == 400_000 or printed["trainer"]["max_epochs"] == 345
    assert printed["model"]["net"]["class_path"].startswith("aio.nets.")


def test_the_demo_trains_one_step(tmp_path):
    """As `make demo` types it, but for its length."""
    short = ["--epochs", "1", "--data.samples_per_epoch", "8", "--data.val_size", "32", "--num_workers", "0"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.log_every_n_steps", "1", "--patch_size", "16"]
    main(["--config", str(CONF / "fit/demo.yaml"), *short, *quiet, "--ckpt_dir", str(tmp_path / "run")])
    scores = (tmp_path / "run" / "scores.md").read_text()
    assert all(task in scores for task in ("denoise_25", "derain", "dehaze", "deblur", "lowlight"))


@pytest.mark.parametrize("name", list_presets())
def test_the_net_that_trains_is_the_preset(name, tmp_path):
    """Nothing of the default network is left in it."""
    with torch.device("meta"):
        cli = AioCLI(["--model", name, "--trainer.accelerator", "cpu", "--ckpt_dir", str(tmp_path)])
    assert count_parameters(cli.model.net) == describe(name).parameters


@pytest.mark.parametrize(
    "words",
    [
        ["--config", str(CONF / "fit/aio5.yaml"), "--model", "moce_ir"],
        ["--config", str(CONF / "fit/aio5.yaml"), "--config", str(CONF / "fit/moce_ir.yaml")],
        ["--config", str(CONF / "fit/aio5.yaml"), "--model.net", str(CONF / "net/moce_ir.yaml")],
    ],
)
def test_a_net_named_later_keeps_nothing_of_one_named_earlier(words, tmp_path):
    with torch.device("meta"):
        cli = AioCLI([*words, *HERE, "--data_file_dir", str(tmp_path), "--ckpt_dir", str(tmp_path / "run")])
    assert count_parameters(cli.model.net) == describe("moce_ir").parameters


def test_a_file_may_change_single_arguments_of_the_net_named_before(tmp_path):
    (tmp_path / "more.yaml").write_text("model: {net: {init_args: {num_refinement_blocks: 3}}}")
    files = ["--config", str(CONF / "fit/demo.yaml"), "--config", str(tmp_path / "more.yaml")]
    cli = AioCLI([*files, *HERE, "--ckpt_dir", str(tmp_path / "run")])
    assert len(cli.model.net.refinement) == 3
    assert cli.model.net.config["init_args"]["dim"] == net_preset("restormer_tiny")["init_args"]["dim"]
