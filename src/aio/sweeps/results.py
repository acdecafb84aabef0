"""What a run of a sweep left: its scores and cost, and how long it took."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

from aio.errors import InputError
from aio.files import write_text

_RECORD = "sweep.json"


class Score(NamedTuple):
    """PSNR in dB and SSIM, mean over the images of one degradation or over degradations."""

    psnr: float
    ssim: float


class Result(NamedTuple):
    """A finished run; `scores` by degradation, `mean` over them, `seconds` on the wall, start of Python included."""

    scores: dict[str, Score]
    mean: Score
    parameters: int
    gmacs: float
    seconds: float


def seconds_spent(folder: Path) -> float:
    """Seconds on the wall that all attempts at the run in `folder` took so far."""
    return float(_record(folder).get("seconds", 0.0))


def note(folder: Path, seconds: float, *, finished: bool) -> None:
    """Writes down how long the run in `folder` has taken, and whether it has come to its end."""
    write_text(folder / _RECORD, json.dumps({"seconds": round(seconds, 3), "finished": finished}) + "\n")


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` came to its end and left its scores."""
    return bool(_record(folder).get("finished")) and (folder / "scores.csv").is_file()


def read_result(folder: Path) -> Result:
    """What the finished run in `folder` left.

    Raises:
        InputError: its scores or its costs are not in its tables.
    """
    scores = {row["degradation"]: Score(float(row["psnr"]), float(row["ssim"])) for row in _rows(folder / "scores.csv")}
    logged = _rows(folder / "metrics.csv")
    try:
        parameters, gmacs = (
            next(float(row[key]) for row in logged if row.get(key)) for key in ("cost/parameters", "cost/gmacs")
        )
        return Result(scores, scores.pop("mean"), int(parameters), gmacs, seconds_spent(folder))
    except (KeyError, StopIteration, RuntimeError) as error:
        raise InputError(f"{folder}: expected a mean in scores.csv, and cost/* in metrics.csv") from error


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the table of a finished run")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _record(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    return json.loads(path.read_text()) if path.is_file() else {}
