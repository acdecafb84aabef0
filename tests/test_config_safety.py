"""A configuration names no code but ours: what it may not name is refused before anything of it is imported."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from aio.cli import AioCLI
from aio.errors import InputError
from aio.flags import translate, trusted_packages
from aio.trust import refuse_foreign

TOUCH = "import pathlib\npathlib.Path({marker!r}).touch()\nfrom lightning.pytorch.callbacks import DeviceStatsMonitor\n"
FOREIGN = "intruder_a7.DeviceStatsMonitor"  # a module that leaves a file where it is imported
CALL = {"class_path": FOREIGN, "init_args": {"cpu_stats": True}}


@pytest.fixture
def intruder(tmp_path, monkeypatch):
    """The file which shows that the module was imported."""
    marker = tmp_path / "imported"
    (tmp_path / "intruder_a7.py").write_text(TOUCH.format(marker=str(marker)))
    monkeypatch.syspath_prepend(tmp_path)
    yield marker
    sys.modules.pop("intruder_a7", None)


def write(path: Path, content: object) -> str:
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        {"trainer": {"callbacks": [CALL]}},
        {"trainer": {"callbacks": CALL}},
        {"trainer": {"logger": {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"a": [CALL]}}}},
        {"trainer": {"plugins": [CALL]}},
        {"trainer": {"strategy": CALL}},
        {"trainer": {"profiler": {"class_path": "subprocess.Popen", "init_args": {"args": ["true"]}}}},
        {"model": {"net": CALL}},
        {"model": {"net": {"class_path": "builtins.eval"}}},
        {"model": {"net": {"class_path": "torch.hub.load"}}},
        {"data": {"weights": {"a": {"b": CALL}}}},
        {"nonesuch": CALL},
    ],
    ids=lambda content: json.dumps(content)[:50],
)
def test_a_foreign_class_in_a_file_is_refused_unread(content, tmp_path, intruder):
    file = write(tmp_path / "hostile.yaml", content)
    based = write(tmp_path / "based.yaml", {"base": "hostile.yaml"})
    for words in (["--config", file], ["-c", based], [f"--config={file}"]):
        with pytest.raises(
            InputError, match=r"hostile\.yaml: refused, it names '.*say --trust (intruder|subproc|built|torch)"
        ):
            translate(words)
    assert not intruder.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.callbacks", json.dumps([CALL])],
        [f"--trainer.callbacks+={json.dumps(CALL)}"],
        ["--trainer.logger.class_path", FOREIGN],
        ["--trainer.logger.class_path=subprocess.Popen"],
        [f"--model.net={json.dumps(CALL)}"],
    ],
    ids=lambda words: words[0][:40],
)
def test_a_foreign_class_in_an_option_is_refused(words, intruder):
    with pytest.raises(InputError, match=r"--(trainer|model).*: refused, it names "):
        translate(words)
    assert not intruder.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, ["--trainer.callbacks", FOREIGN]),
        ({}, ["--trainer.callbacks", f"[{FOREIGN}]"]),
        ({}, ["--trainer.logger", FOREIGN]),
        ({}, ["--model.net", "{file}"]),
        ({}, ["--trainer.callbacks", "{file}"]),
        ({"model": {"net": "file.yaml"}}, []),
        ({"trainer": {"callbacks": "file.yaml"}}, []),
        ({"trainer": {"strategy": FOREIGN}}, []),
    ],
    ids=str,
)
def test_what_the_parser_alone_can_see_is_not_imported_either(content, words, tmp_path, intruder, short_fit):
    """A class by its name without more; a file that an option or another file names."""
    file = write(tmp_path / "file.yaml", CALL)
    config = write(tmp_path / "config.yaml", content)
    words = [word.format(file=file) for word in words]
    with pytest.raises((ValueError, SystemExit)) as ended:
        AioCLI([*short_fit[2:], "--config", config, *words])
    assert not intruder.exists()
    assert "intruder_a7" not in sys.modules
    if isinstance(ended.value, SystemExit):
        assert ended.value.code == 2
    else:
        assert "refused, it names 'intruder_a7" in str(ended.value) or "invalid strategy name" in str(ended.value)


def test_a_tag_that_makes_objects_is_refused(tmp_path, capsys):
    marker = tmp_path / "made"
    file = tmp_path / "tag.yaml"
    file.write_text(f"seed_everything: !!python/object/apply:os.mkdir ['{marker}']\n")
    for words in (["--config", str(file)], ["--seed_everything", f"!!python/object/apply:os.mkdir ['{marker}']"]):
        with pytest.raises(SystemExit):
            AioCLI(words)
    assert not marker.exists()


def test_loggers_and_callbacks_of_lightning_are_allowed(tmp_path, short_fit):
    loggers = [
        {"class_path": f"lightning.pytorch.loggers.{name}", "init_args": {"save_dir": str(tmp_path)}}
        for name in ("TensorBoardLogger", "CSVLogger", "WandbLogger")
    ]
    monitor = {"class_path": "lightning.pytorch.callbacks.DeviceStatsMonitor"}
    file = write(tmp_path / "c.yaml", {"trainer": {"logger": loggers, "callbacks": [monitor]}})
    cli = AioCLI([*short_fit, "--config", file, "--ckpt_dir", str(tmp_path / "run")])
    assert len(cli.trainer.loggers) == 3
    assert any(type(callback).__name__ == "DeviceStatsMonitor" for callback in cli.trainer.callbacks)


def test_a_package_is_trusted_by_the_command_line_alone(tmp_path, intruder, short_fit):
    content = {"trainer": {"callbacks": [CALL]}}
    asks = write(tmp_path / "asks.yaml", {**content, "trust": ["intruder_a7"]})
    with pytest.raises(InputError, match="say --trust intruder_a7"):
        AioCLI([*short_fit, "--config", asks])
    file = write(tmp_path / "c.yaml", content)
    words = [*short_fit, "--config", file, "--ckpt_dir", str(tmp_path / "run"), "--trust", "intruder_a7"]
    assert trusted_packages(words) == ["intruder_a7"]
    assert not any(word.startswith("--trust") for word in translate(words))
    AioCLI(words)
    assert intruder.exists()


def test_settings_in_a_checkpoint_are_not_trusted(finished_run, tmp_path, intruder):
    stored = torch.load(finished_run / "last.ckpt", weights_only=True)
    stored["settings"]["trainer"]["callbacks"] = [CALL]
    torch.save(stored, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"last\.ckpt: refused, it names 'intruder_a7\.DeviceStatsMonitor'"):
        AioCLI(["--resume_from", str(tmp_path / "last.ckpt")])
    assert not intruder.exists()


def test_references_of_yaml_do_not_keep_it_busy():
    """One that holds itself, and one that doubles forty times."""
    endless: list[object] = []
    endless.append({"a": endless})
    doubled: object = {"class_path": "aio.nets.base.RestorationNet"}
    for _ in range(40):
        doubled = [doubled, doubled]
    started = time.monotonic()
    refuse_foreign([endless, doubled], "x")
    assert time.monotonic() - started < 5
    with pytest.raises(InputError, match=r"'os\.system'"):
        refuse_foreign([endless, {"b": [endless, {"class_path": "os.system"}]}], "x")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("aio.nets.restormer.Restormer", True),
        ("Restormer", True),
        ("torchvision.transforms.v2.Resize", True),
        ("aio_evil.Net", False),
        ("torchevil.X", False),
        ("torch.utils.cpp_extension.load", False),
        ("torch.hub.load", False),
        ("os.system", False),
        ("builtins.exec", False),
    ],
)
def test_names_are_of_whole_packages(name, allowed):
    if allowed:
        refuse_foreign({"class_path": name}, "x")
    else:
        with pytest.raises(InputError, match="x: refused"):
            refuse_foreign({"class_path": name}, "x")


def test_an_unknown_name_is_an_error_in_files_and_options(tmp_path, short_fit, capsys):
    for config, words in (
        ({"model": {"lrr": 1.0}}, []),
        ({"lr": 1.0}, []),
        ({}, ["--model.lrr", "1"]),
        ({}, ["--lrr", "1"]),
    ):
        file = write(tmp_path / "c.yaml", config)
        with pytest.raises(SystemExit) as ended:
            AioCLI([*short_fit, "--config", file, *words])
        assert ended.value.code == 2
        assert "lr" in capsys.readouterr().err
