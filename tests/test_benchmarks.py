"""Benchmarks as data: whole rows, known protocols and measures, patterns that tell the sets apart."""

import re

import pytest

from aio.benchmarks import BENCHMARKS, find_benchmark
from aio.benchmarks.table import Benchmark, Column, published
from aio.errors import InputError
from aio.metrics import find_protocol
from aio.metrics.measures import MEASURES
from aio.vocabulary import DEGRADATIONS, SCALES

FOLDERS = {
    "SOTS": "test/dehaze/SOTS/outdoor/hazy",
    "Rain100L": "test/derain/Rain100L/input",
    "Rain100H": "test/derain/Rain100H/input",
    "Test100": "test/Test100/input",
    "Test2800": "test/Test2800/input",
    "Test1200": "test/Test1200/input",
    "CBSD68": "test/denoise/bsd68",
    "BSD68": "test/denoise/BSD68",
    "Kodak24": "test/denoise/kodak24",
    "McMaster": "test/McMaster",
    "Urban100": "test/denoise/urban100",
    "Set12": "test/Set12",
    "GoPro": "test/deblur/gopro/input",
    "HIDE": "test/HIDE/input",
    "RealBlur-J": "test/RealBlur_J/input",
    "RealBlur-R": "test/RealBlur_R/input",
    "LOL-v1": "test/enhance/lol/input",
    "Set5": "Set5/HR",
    "Set14": "Set14/HR",
    "B100": "B100/HR",
    "Manga109": "Manga109/HR",
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_are_consistent(name):
    benchmark = find_benchmark(name)
    assert benchmark.name == name
    assert set(benchmark.measures) <= set(MEASURES)
    names = [column.name for column in benchmark.columns]
    assert len(set(names)) == len(names)
    for column in benchmark.columns:
        assert column.task in DEGRADATIONS
        find_protocol(column.protocol or benchmark.protocol, scale=SCALES.get(column.task, 1))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_published_rows_are_plausible_and_sourced(name):
    for row in find_benchmark(name).published.values():
        assert row.source
        assert all(psnr is None or 15 < psnr < 45 for psnr in row.psnr)
        assert all(ssim is None or 0.5 < ssim < 1 for ssim in row.ssim)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_patterns_find_their_own_set_and_no_other_of_the_table(name):
    columns = find_benchmark(name).columns
    for column in columns:
        label = re.sub(r" (sigma )?\d\d$", "", column.name)
        if column.where and label in FOLDERS:
            path = f"/data/{FOLDERS[label]}/0001.png".lower()
            found = {other.where for other in columns if re.search(other.where, path) and other.where}
            assert found == {column.where}


def test_means_of_the_papers_come_out():
    means = {
        "aio3": {"PromptIR": 32.06, "AdaIR": 32.69},
        "aio5": {"MoCE-IR": 30.58, "AirNet": 25.49},
        "derain": {"Restormer": 33.96},
    }
    for benchmark, rows in means.items():
        for method, mean in rows.items():
            psnr = find_benchmark(benchmark).published[method].psnr
            assert sum(psnr) / len(psnr) == pytest.approx(mean, abs=0.011)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="x: the row of A has not 2 columns"):
        Benchmark("x", "", "aio", (Column("p", "derain"), Column("q", "dehaze")), published("A | 30.1/.9 | me"))


def test_an_unknown_benchmark_names_those_there_are():
    with pytest.raises(InputError, match=r"unknown benchmark 'aio7': choose from\n  demo: .*\n"):
        find_benchmark("aio7")
