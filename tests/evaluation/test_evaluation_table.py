"""Tables of an evaluation: means, what is not there, the best in LaTeX, all digits in CSV."""

import csv
import io
import math

import pytest

from aio.benchmarks import Published
from aio.evaluation.journal import Measured
from aio.evaluation.table import Cost, Table, per_image_csv, row_before, row_of, row_published


def measured(column, name, psnr, **more):
    before = {"psnr": 10.0, "ssim": 0.5, **dict.fromkeys(more, 1.0)}
    return Measured(
        key=f"{column}{name}",
        column=column,
        name=name,
        before=before,
        after={"psnr": psnr, "ssim": psnr / 100, **more},
        seconds=psnr / 10,
        memory=int(psnr * 2**20),
    )


ROWS = [measured("rain", "a", 20.0), measured("rain", "b", 21.0), measured("haze", "c", 30.0)]


def table(**options):
    rows = (
        row_published("paper", Published((19.0, None), (0.25, 0.875), "Doe et al., 2020")),
        row_before("input", ["rain", "haze"], ROWS),
        row_of("my_net", ["rain", "haze"], ROWS, Cost(1234567, 8_900_000_000)),
    )
    return Table("title", ("rain", "haze"), rows, **options)


def test_means_are_over_images_then_over_columns():
    row = table().rows[2]
    assert [scores["psnr"] for scores in row.scores] == [20.5, 30.0]
    assert row.mean("psnr") == 25.25
    assert row.seconds == pytest.approx(71 / 30)
    assert row.memory == 30 * 2**20
    assert table().rows[0].mean("psnr") is None  # the paper leaves one column out
    assert table().rows[0].mean("ssim") == (0.25 + 0.875) / 2


def test_markdown_says_what_is_not_there():
    lines = table().to_markdown().splitlines()
    assert lines[0] == "title: PSNR / SSIM"
    assert lines[4] == "| paper | 19.00 / 0.2500 | - / 0.8750 | - / 0.5625 |  |  |  |  | Doe et al., 2020 |"
    assert lines[6] == "| my_net | 20.50 / 0.2050 | 30.00 / 0.3000 | 25.25 / 0.2525 | 1,234,567 | 8.90 | 2.37 | 30 |  |"
    assert "mean" not in table(mean=False).to_markdown()


def test_latex_marks_the_best_of_each_column_and_measure():
    rows = [line for line in table().to_latex().splitlines() if line.endswith(r"\\")]
    assert rows[1] == r"paper & 19.00 / 0.2500 & - / \textbf{0.8750} & - / 0.5625 &  &  &  &  \\"
    assert rows[3].startswith(
        r"my\_net & \textbf{20.50} / 0.2050 & \textbf{30.00} / 0.3000 & 25.25 / 0.2525 & 1,234,567"
    )


def test_of_an_error_the_lowest_is_the_best():
    rows = tuple(
        row_of(name, ["x"], [measured("x", "a", 20.0, mae=mae)], Cost(0, None))
        for name, mae in (("A", 0.2), ("B", 0.1))
    )
    latex = Table("t", ("x",), rows, measures=("mae",), mean=False).to_latex()
    assert r"\textbf{0.100}" in latex
    assert r"\textbf{0.200}" not in latex


def test_csv_has_all_digits():
    third = [measured("x", str(i), value) for i, value in enumerate((1.0, 1.0, 2.0))]
    text = Table("t", ("x",), (row_of("m", ["x"], third, Cost(0, None)),)).to_csv()
    (line,) = csv.DictReader(io.StringIO(text))
    assert float(line["psnr"]) == 4 / 3
    assert line["method"] == "m"


def test_infinite_scores_are_printed():
    row = row_of("m", ["x"], [perfect()], Cost(0, None))
    assert "inf / 1.0000" in Table("t", ("x",), (row,)).to_markdown()


def perfect():
    return Measured("k", "x", "a", {"psnr": math.inf, "ssim": 1.0}, {"psnr": math.inf, "ssim": 1.0}, 0.0, 0)


def test_one_line_per_method_and_image():
    lines = list(csv.DictReader(io.StringIO(per_image_csv({"A": ROWS, "B": ROWS[:1]}))))
    assert [(line["method"], line["image"]) for line in lines] == [("A", "a"), ("A", "b"), ("A", "c"), ("B", "a")]
    assert (lines[0]["input_psnr"], lines[0]["psnr"]) == ("10.0", "20.0")
