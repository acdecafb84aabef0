"""Learning curves: hours as logged, laws that were put in come out, and what cannot be known is not said."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from PIL import Image

from aio.axes import log_ticks, ticks
from aio.errors import InputError
from aio.sweeps.curve import draw_curve, main
from aio.sweeps.learning import Point, fit_laws, read_points

HOURS = np.geomspace(0.1, 10, 20)


def rising(ceiling=32.0, gap=6.0, exponent=0.3, noise=0.0):
    drawn = np.random.default_rng(0).normal(0, noise, len(HOURS))
    return [Point(h, ceiling - gap * h**-exponent + e) for h, e in zip(HOURS, drawn, strict=True)]


def write_run(folder, rows):
    folder.mkdir(exist_ok=True)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "step", "val/psnr", "watch/seconds_per_step", "train/loss"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_hours_are_those_of_the_steps(tmp_path):
    rows = [
        {"epoch": 0, "step": 9, "watch/seconds_per_step": 4.0},  # 10 steps: 40 s
        {"epoch": 0, "step": 19, "train/loss": 1.0},
        {"epoch": 0, "step": 29, "watch/seconds_per_step": 2.0},  # 20 steps: 40 s
        {"epoch": 0, "step": 34, "val/psnr": 20.0},  # 5 steps of the last length: 10 s
        {"epoch": 1, "step": 44, "watch/seconds_per_step": 6.0},  # 10 steps: 60 s
        {"epoch": 1, "step": 44, "val/psnr": 21.0},
        {"epoch": 2, "step": 54, "val/psnr": 22.0},  # 10 steps: 60 s
    ]
    points = read_points(write_run(tmp_path, rows))
    assert [point.hours for point in points] == pytest.approx([90 / 3600, 150 / 3600, 210 / 3600])
    assert [point.psnr for point in points] == [20.0, 21.0, 22.0]


@pytest.mark.parametrize(("ceiling", "gap", "exponent"), [(32.0, 6.0, 0.3), (28.0, 3.0, 1.0), (60.0, 40.0, 0.05)])
def test_a_law_that_was_put_in_comes_out(ceiling, gap, exponent):
    fit = fit_laws(rising(ceiling, gap, exponent), "run")
    target = ceiling - gap * 20.0**-exponent
    best, fastest, slowest = fit.hours(target)
    assert best == pytest.approx(20, rel=0.05)
    assert fastest <= best <= slowest
    assert fit.best.psnr(100.0) == pytest.approx(ceiling - gap * 100.0**-exponent, abs=0.02)
    assert fit.best.error < 0.01


def test_noise_widens_the_range_and_it_holds_the_truth():
    widths = []
    for noise in (0.02, 0.2):
        _, fastest, slowest = fit_laws(rising(noise=noise), "run").hours(30.0)
        assert fastest <= (6.0 / 2.0) ** (1 / 0.3) <= slowest
        widths.append(slowest / fastest)
    assert widths[0] < widths[1]


def test_what_lies_above_the_ceiling_never_comes():
    best, fastest, slowest = fit_laws(rising(28.0, 3.0, 1.0), "run").hours(35.0)
    assert (best, fastest, slowest) == (math.inf, math.inf, math.inf)


def test_too_little_or_no_rise_is_refused(tmp_path):
    with pytest.raises(InputError, match="run: 4 validations, expected at least 5"):
        fit_laws(rising()[:4], "run")
    with pytest.raises(InputError, match="run: its validations do not rise"):
        fit_laws([Point(h, 30 - h) for h in range(1, 9)], "run")
    row = {"epoch": 0, "step": 9, "val/psnr": 20.0}
    with pytest.raises(InputError, match=r"metrics\.csv: no watch/seconds_per_step before step 9; expected how long"):
        read_points(write_run(tmp_path / "slow", [row]))
    with pytest.raises(InputError, match=r"metrics\.csv: no such file"):
        read_points(tmp_path)
    (tmp_path / "slow" / "metrics.csv").write_text("epoch,step\n0,1\n")
    with pytest.raises(InputError, match=r"metrics\.csv: holds no validation"):
        read_points(tmp_path / "slow")


def test_ticks_are_round_and_reach_beyond():
    assert ticks(20.1, 21.9) == [20.0, 20.5, 21.0, 21.5, 22.0]
    assert log_ticks(0.15, 30.0) == [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    assert log_ticks(1.0, 10.0) == [1.0, 2.0, 5.0, 10.0]


def test_the_command_says_and_draws_it(tmp_path, capsys):
    rows = [
        {"epoch": 0, "step": number * 450 - 1, "val/psnr": 32 - 6 * (number / 2) ** -0.3, "watch/seconds_per_step": 4.0}
        for number in range(1, 21)
    ]  # half an hour each
    run = write_run(tmp_path / "run", rows)
    main([str(run), "--target", "30", "35", "--on", "two CPU cores"])
    said = capsys.readouterr().out
    assert "28.99 dB after 10.00 hours on two CPU cores, 20 validations" in said
    assert "30.00 dB: 38.9 hours by the best law" in said
    assert "35.00 dB: never by the best law" in said
    with Image.open(run / "curve.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")


def test_points_stand_where_their_hours_are():
    """Equal factors of time are equally far."""
    points = [Point(h, p) for h, p in ((1.0, 20.0), (10.0, 25.0), (100.0, 27.5), (1000.0, 28.75), (10000.0, 29.4))]
    picture = np.asarray(draw_curve(points, fit_laws(points, "run"), targets=[], device="a clock"))
    dark = (picture == (31, 78, 140)).all(axis=2)
    full = dark.sum(axis=0) >= 10  # a point is twelve pixels high, the line two to four
    groups = np.flatnonzero(full)
    centres = [group.mean() for group in np.split(groups, np.flatnonzero(np.diff(groups) > 1) + 1)]
    assert len(centres) == 5
    assert np.diff(centres) == pytest.approx(np.diff(centres).mean(), abs=3)
