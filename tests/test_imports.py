"""Imports go one way, and what answers at once loads neither torch nor lightning."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import aio

PACKAGE = Path(aio.__file__).parent
ENTRY_POINTS = {"fit", "evaluate", "submit", "restore", "demo", "models", "sweep", "__main__", "export"}
# module -> what it may import of aio besides itself
ALLOWED = {
    "__init__": {"presets", "shipped", "weights", "nets.base", "nets.building", "inference", "vocabulary", "errors"},
    "errors": set(),
    "allocator": set(),
    "axes": set(),
    "files": set(),
    "vocabulary": {"errors"},
    "presets": {"errors"},
    "trust": {"errors"},
    "parsing": {"errors", "trust"},
    "flags": {"errors", "presets", "trust", "vocabulary"},
    "commands": {"errors"},
    "benchmarks": {"errors", "vocabulary"},
    "images": {"errors", "files"},
    "resize": set(),
    "colour": {"resize"},
    "borders": set(),
    "nets": {"borders", "colour", "errors", "files", "vocabulary"},
    "losses": {"errors"},
    "metrics": {"errors", "resize"},
    "data": {"borders", "commands", "colour", "images", "errors", "files", "resize", "vocabulary"},
    "recognise": {"nets", "presets", "errors"},
    "adapters": {"nets.base", "errors", "files", "vocabulary"},
    "shipped": {"errors"},
    "weights": {"adapters", "nets", "presets", "errors", "recognise", "shipped"},
    "task": {"nets.base", "colour", "losses", "metrics", "vocabulary", "weights", "errors"},
    "tables": {"metrics"},
    "pictures": {"files"},
    "rl": {
        *("commands", "data.datamodule", "inference.settings", "nets.base", "nets.cost", "nets.stoformer", "weights"),
        *("allocator", "colour", "pictures", "axes", "files", "errors", "vocabulary"),
    },
    "evaluation": {
        "rl.adaptive",
        *("benchmarks", "data", "inference", "metrics", "nets.base", "nets.cost", "weights", "adapters", "tables"),
        *("pictures", "colour", "resize", "images", "files", "errors", "vocabulary"),
    },
    "callbacks": {
        "adapters",
        "weights",
        "task",
        "data.datamodule",
        "data.loader",
        "data.seeding",
        "losses",
        "metrics",
        "nets.base",
        "nets.cost",
        "nets.deployable",
        "nets.folder",
        "nets.sharding",
        "pictures",
        "tables",
        "files",
        "errors",
        "resize",
        "vocabulary",
    },
    "exporting": {"adapters", "nets", "weights", "files", "errors", "vocabulary"},
    "inference": {"nets.base", "colour", "resize", "images", "metrics", "pictures", "files", "errors"},
    "page": {
        *("adapters", "data.degradations", "images", "inference", "nets.base", "nets.dfrg"),
        *("pictures", "files", "errors", "vocabulary"),
    },
    "sweeps": {"axes", "cli", "commands", "flags", "files", "errors"},
}
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


def is_module(name):
    path = PACKAGE.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def imported_modules(source):
    """Modules of aio, as `nets.base`, that `source` imports anywhere, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if is_module(name.removeprefix("aio.")) else node.module for name in inner]
        else:
            continue
        yield from (name.removeprefix("aio.") for name in found if name.startswith("aio."))


def allowed_of(room):
    if room in ENTRY_POINTS:
        return ROOMS - ENTRY_POINTS
    return ROOMS - ENTRY_POINTS - {"__init__"} if room == "cli" else ALLOWED[room]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_go_one_way(room):
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else sorted((PACKAGE / room).rglob("*.py"))
    allowed = allowed_of(room) | {room}
    for file in files:
        for name in imported_modules(file.read_text()):
            assert any(name == a or name.startswith(f"{a}.") for a in allowed), f"{file} imports aio.{name}"


def test_every_row_is_a_room():
    assert set(ALLOWED) | ENTRY_POINTS | {"cli"} == ROOMS


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import aio.nets.base", ["nets.base"]),
        ("from aio.nets.base import RestorationNet", ["nets.base"]),
        ("from aio.nets import base", ["nets.base"]),
        ("from aio import images", ["images"]),
        ("def f():\n    from aio.data.scan import check_files", ["data.scan"]),
        ("import torch\nfrom math import pi", []),
    ],
)
def test_every_form_of_import_is_seen(source, found):
    assert list(imported_modules(source)) == found


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-c", "import aio"], 0),
        (["-m", "aio"], 0),
        (["-m", "aio", "fit", "--help"], 0),
        (["-m", "aio", "data", "check", "--help"], 0),
        (["-m", "aio", "export", "--help"], 0),
        (["-m", "aio.data", "prepare", "nonesuch", "--processes", "0"], 2),
        (["-m", "aio", "sweep", "nonesuch.yaml", "--local"], 2),
        (["-m", "aio", "fit", "--model", "nonesuch"], 2),
    ],
)
def test_quick_answers_load_nothing_heavy(arguments, code):
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code
    timed = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "aio" in timed
    assert {"torch", "lightning", "numpy", "PIL"}.isdisjoint(timed)
