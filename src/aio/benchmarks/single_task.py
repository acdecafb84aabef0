"""One degradation at a time: the tables of Restormer (Zamir et al., CVPR 2022) and of the papers beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aio.benchmarks.table import Benchmark, Column, published
from aio.vocabulary import SIGMA

_DERAIN: Final = Benchmark(
    name="derain",
    sets="Test100, Rain100H, Rain100L, Test2800, Test1200, as Restormer packs them",
    protocol="restormer",
    columns=(
        Column("Test100", "derain", "(^|/)test100/", 100),
        Column("Rain100H", "derain", "(^|/)rain100h/", 100),
        Column("Rain100L", "derain", "(^|/)rain100l/", 100),
        Column("Test2800", "derain", "(^|/)test2800/", 2800),
        Column("Test1200", "derain", "(^|/)test1200/", 1200),
    ),
    published=published("""
        PReNet | 24.81/.851 26.77/.858 32.44/.950 31.75/.916 31.36/.911 | Ren et al., CVPR 2019, by Restormer's table 1
        MSPFN | 27.50/.876 28.66/.860 32.40/.933 32.82/.930 32.39/.916 | Jiang et al., CVPR 2020, by Restormer's table 1
        MPRNet | 30.27/.897 30.41/.890 36.40/.965 33.64/.938 32.91/.916 | Zamir et al., CVPR 2021, by Restormer's table 1
        SPAIR | 30.35/.909 30.95/.892 36.93/.969 33.34/.936 33.04/.922 | Purohit et al., ICCV 2021, by Restormer's table 1
        Restormer | 32.00/.923 31.46/.904 38.99/.978 34.18/.944 33.19/.926 | Zamir et al., CVPR 2022, table 1
    """),
)
_DEBLUR: Final = Benchmark(
    name="deblur",
    sets="GoPro (1111), HIDE (2025), RealBlur-R (980), RealBlur-J (980)",
    protocol="gopro",
    columns=(
        Column("GoPro", "deblur", "gopro|gopr0", 1111),
        Column("HIDE", "deblur", "(^|/)hide", 2025),
        Column("RealBlur-R", "deblur", "realblur_?-?r(/|_)", 980, protocol="realblur"),
        Column("RealBlur-J", "deblur", "realblur_?-?j(/|_)", 980, protocol="realblur"),
    ),
    published=published("""
        MPRNet | 32.66/.959 30.96/.939 35.99/.952 28.70/.873 | Zamir et al., CVPR 2021, by Restormer's table 2
        Restormer | 32.92/.961 31.22/.942 36.19/.957 28.96/.879 | Zamir et al., CVPR 2022, table 2
        NAFNet | 33.71/.967 - - - | Chen et al., ECCV 2022, width 64
    """),
    mean=False,
)
_DEFOCUS: Final = Benchmark(
    name="defocus",
    sets="DPDD: 76 test images, 37 of indoor and 39 of outdoor scenes",
    protocol="aio",
    columns=(
        Column("indoor", "defocus", "dpdd", 37, positions="indoor_labels.npy"),
        Column("outdoor", "defocus", "dpdd", 39, positions="outdoor_labels.npy"),
        Column("DPDD", "defocus", "dpdd", 76),
    ),
    published=published("""
        KPAC | 27.97/.852 22.62/.701 25.22/.774 | Son et al., ICCV 2021, by Restormer's table 3
        IFAN | 28.11/.861 22.76/.720 25.37/.789 | Lee et al., CVPR 2021, by Restormer's table 3
        Restormer | 28.87/.882 23.24/.743 25.98/.811 | Zamir et al., CVPR 2022, table 3, one image
        Restormer dual | 29.48/.895 23.97/.773 26.66/.833 | Zamir et al., CVPR 2022, table 3, both views
    """),
    measures=("mae",),
    mean=False,
)
_DUAL_PIXEL: Final = replace(
    _DEFOCUS,
    name="defocus_dual_pixel",
    sets="DPDD: both views of 76 test images, 37 of indoor and 39 of outdoor scenes",
    columns=tuple(replace(column, views=True) for column in _DEFOCUS.columns),
)
_SIDD: Final = Benchmark(
    name="sidd",
    sets="SIDD's validation: ValidationNoisyBlocksSrgb.mat and ValidationGtBlocksSrgb.mat (1280 blocks)",
    protocol="sidd",
    columns=(Column("SIDD", "denoise_real", images=1280, blocks=True),),
    published=published("""
        MIRNet | 39.72/.959 | Zamir et al., ECCV 2020, by Restormer's table 6
        MPRNet | 39.71/.958 | Zamir et al., CVPR 2021, by Restormer's table 6
        Uformer | 39.77/.959 | Wang et al., CVPR 2022, by Restormer's table 6
        Restormer | 40.02/.960 | Zamir et al., CVPR 2022, table 6
        NAFNet | 40.30/.961 | Chen et al., ECCV 2022, width 64
    """),
    mean=False,
)
_SIGMA_TASKS: Final = tuple(SIGMA)


def _gaussian(name: str, sets: dict[str, tuple[str, int]], rows: str, *, gray: bool = False) -> Benchmark:
    """Every set at sigma 15, 25 and 50, by Restormer's noise."""
    columns = tuple(
        Column(f"{label} {SIGMA[task]}", task, where, images, synthesised=True, restormer_noise=True, gray=gray)
        for label, (where, images) in sets.items()
        for task in _SIGMA_TASKS
    )
    listed = ", ".join(f"{label} ({images})" for label, (_, images) in sets.items())
    return Benchmark(
        name=name,
        sets=f"{listed}, each at sigma 15, 25, 50",
        protocol="gopro",
        columns=columns,
        published=published(rows),
        mean=False,
    )


_COLOR: Final = _gaussian(
    "gaussian_color",
    {
        "CBSD68": (r"bsd_?68", 68),
        "Kodak24": ("kodak", 24),
        "McMaster": ("mcmaster", 18),
        "Urban100": ("urban", 100),
    },
    """
        DnCNN | 33.90 31.24 27.95 34.60 32.14 28.95 33.45 31.52 28.62 32.98 30.81 27.59 | Zhang et al., TIP 2017, by Restormer's table 5
        DRUNet | 34.30 31.69 28.51 35.31 32.89 29.86 35.40 33.14 30.08 34.81 32.60 29.61 | Zhang et al., TPAMI 2021, by Restormer's table 5
        SwinIR | 34.42 31.78 28.56 35.34 32.89 29.79 35.61 33.20 30.22 35.13 32.90 29.82 | Liang et al., ICCVW 2021, by Restormer's table 5
        Restormer | 34.40 31.79 28.60 35.47 33.04 30.01 35.61 33.34 30.30 35.13 32.96 30.02 | Zamir et al., CVPR 2022, table 5, one network per sigma
    """,
)
_GRAY: Final = _gaussian(
    "gaussian_gray",
    {"Set12": ("set_?12", 12), "BSD68": (r"bsd_?68", 68), "Urban100": ("urban", 100)},
    """
        DnCNN | 32.86 30.44 27.18 31.73 29.23 26.23 32.64 29.95 26.26 | Zhang et al., TIP 2017, by Restormer's table 4
        DRUNet | 33.25 30.94 27.90 31.91 29.48 26.59 33.44 31.11 27.96 | Zhang et al., TPAMI 2021, by Restormer's table 4
        SwinIR | 33.36 31.01 27.91 31.97 29.50 26.58 33.70 31.30 27.98 | Liang et al., ICCVW 2021, by Restormer's table 4
        Restormer | 33.42 31.08 28.00 31.96 29.52 26.62 33.79 31.46 28.29 | Zamir et al., CVPR 2022, table 4, one network per sigma
    """,
    gray=True,
)
SINGLE_TASK: Final = (_DERAIN, _DEBLUR, _DEFOCUS, _DUAL_PIXEL, _SIDD, _COLOR, _GRAY)
