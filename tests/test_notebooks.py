"""The notebooks run from top to bottom, here in this process; by `make notebooks` in Jupyter's own."""

from __future__ import annotations

import ast
import contextlib
import io
from pathlib import Path

import nbformat
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def run_cells(path):
    """What the last line of each cell of code gives, as a notebook shows it."""
    space, shown = {"__name__": "__main__"}, []
    for number, cell in enumerate(cells(path, "code")):
        body = ast.parse(cell.source).body
        last = [body.pop().value] if isinstance(body[-1], ast.Expr) else []
        exec(compile(ast.Module(body, []), f"{path.name}:{number}", "exec"), space)
        shown += [eval(compile(ast.Expression(value), f"{path.name}:{number}", "eval"), space) for value in last]
    return shown


def test_all_three_are_there():
    assert {path.stem for path in NOTEBOOKS} == {"restore_a_photo", "see_the_degradations", "read_an_ablation"}


@EACH
def test_each_is_whole_and_holds_no_output(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells(path, "code"))
    assert cells(path, "markdown")[0].source.startswith("# ")
    assert path.stat().st_size < 10_000


@EACH
def test_each_runs_and_shows_pictures(path, monkeypatch):
    monkeypatch.chdir(FOLDER)
    with contextlib.redirect_stdout(io.StringIO()):
        shown = run_cells(path)
    pictures = [value for value in shown if isinstance(value, Image.Image)]
    assert pictures
    assert all(len(picture.convert("L").getcolors()) > 2 for picture in pictures)


@pytest.mark.slow
@EACH
def test_each_runs_in_jupyter(path):
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
