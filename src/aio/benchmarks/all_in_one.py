"""The all-in-one benchmarks: AIO-3, AIO-5 and CDD-11.

Rows are those of models that find out the degradation themselves. SSIM columns mix two windows: MoCE-IR and QuReC take
the Gaussian one, the others scikit-image's default, which gives other numbers.
"""

from __future__ import annotations

from typing import Final

from aio.benchmarks.table import Benchmark, Column, published
from aio.vocabulary import ALIASES, Degradation

_BSD68: Final = r"bsd68|bsd_?68"
_SOTS: Final = Column("SOTS", "dehaze", "outdoor", 500)
_RAIN100L: Final = Column("Rain100L", "derain", "rain100l", 100)


def _noise(task: Degradation, sigma: int) -> Column:
    return Column(f"CBSD68 sigma {sigma}", task, _BSD68, 68, synthesised=True)


AIO3: Final = Benchmark(
    name="aio3",
    sets="SOTS-outdoor (500), Rain100L (100), CBSD68 (68)",
    protocol="promptir",
    columns=(_SOTS, _RAIN100L, _noise("denoise_15", 15), _noise("denoise_25", 25), _noise("denoise_50", 50)),
    published=published("""
        NAFNet | 24.11/.928 33.64/.956 33.03/.918 30.47/.865 27.12/.754 | Chen et al., ECCV 2022, by later papers
        Restormer | 27.78/.958 33.78/.958 33.72/.865 30.67/.865 27.63/.792 | Zamir et al., CVPR 2022, by later papers
        AirNet | 27.94/.962 34.90/.967 33.92/.933 31.26/.888 28.00/.797 | Li et al., CVPR 2022
        PromptIR | 30.58/.974 36.37/.972 33.98/.933 31.31/.888 28.06/.799 | Potlapalli et al., NeurIPS 2023
        MoCE-IR-S | 30.94/- 38.22/- 34.08/- 31.42/- 28.16/- | Zamfir et al., CVPR 2025
        AdaIR | 31.06/.980 38.64/.983 34.12/.935 31.45/.892 28.19/.802 | Cui et al., ICLR 2025
        MoCE-IR | 31.34/.979 38.57/.984 34.11/.932 31.45/.888 28.18/.800 | Zamfir et al., CVPR 2025
        SymUNet | 31.40/.981 39.12/.985 34.22/.937 31.57/.894 28.32/.808 | its repository
        QuReC | 32.77/.985 38.80/.985 34.26/.934 31.60/.892 28.34/.806 | its repository
        M2IR | 32.63/.984 39.36/.986 34.23/.937 31.59/.895 28.33/.808 | its repository
    """),
)
AIO5: Final = Benchmark(
    name="aio5",
    sets="SOTS-outdoor (500), Rain100L (100), CBSD68 (68), GoPro (1111), LOL-v1 (15)",
    protocol="promptir",
    columns=(
        _SOTS,
        _RAIN100L,
        _noise("denoise_25", 25),
        Column("GoPro", "deblur", "gopro|gopr0", 1111),
        Column("LOL-v1", "lowlight", r"lol|eval15", 15),
    ),
    published=published("""
        AirNet | 21.04/.884 32.98/.951 30.91/.882 24.35/.781 18.18/.735 | Li et al., CVPR 2022, by later papers
        Restormer | 24.09/.927 34.81/.960 31.49/.884 27.22/.829 20.41/.806 | Zamir et al., CVPR 2022, by later papers
        NAFNet | 25.23/.939 35.56/.967 31.02/.883 26.53/.808 20.49/.809 | Chen et al., ECCV 2022, by later papers
        PromptIR | 26.54/.949 36.37/.970 31.47/.886 28.71/.881 22.68/.832 | Potlapalli et al., NeurIPS 2023, by others
        MoCE-IR-S | 31.33/- 37.21/- 31.25/- 28.90/- 21.68/- | Zamfir et al., CVPR 2025
        AdaIR | 30.53/.978 38.02/.981 31.35/.889 28.12/.858 23.00/.845 | Cui et al., ICLR 2025
        MoCE-IR | 30.48/.974 38.04/.982 31.34/.887 30.05/.899 23.00/.852 | Zamfir et al., CVPR 2025
        SymUNet | 31.31/.979 38.05/.981 31.38/.891 28.12/.855 23.27/.858 | its repository
        M2IR | 31.63/.981 39.28/.985 31.53/.893 29.09/.878 23.80/.864 | its repository
        QuReC | 31.72/.982 39.23/.986 31.56/.891 32.50/.936 24.23/.867 | its repository
    """),
)
_CDD11_NAMES: Final[dict[Degradation, str]] = {
    "lowlight": "L",
    "dehaze": "H",
    "derain": "R",
    "desnow": "S",
    "low_haze": "L+H",
    "low_rain": "L+R",
    "low_snow": "L+S",
    "haze_rain": "H+R",
    "haze_snow": "H+S",
    "low_haze_rain": "L+H+R",
    "low_haze_snow": "L+H+S",
}
CDD11: Final = Benchmark(
    name="cdd11",
    sets="CDD-11: 200 scenes in eleven degradations, cdd11/test/{clear,low,haze,...,low_haze_snow}",
    protocol="aio",
    columns=tuple(Column(_CDD11_NAMES[task], task, "cdd", 200) for task in ALIASES["cdd11"]),
    published=published("""
        AirNet | 24.83/.778 24.21/.951 26.55/.891 26.79/.919 23.23/.779 22.82/.710 23.29/.723 22.21/.868 23.29/.901 21.80/.708 22.24/.725 | Guo et al., OneRestore, ECCV 2024
        PromptIR | 26.32/.805 26.10/.969 31.56/.946 31.53/.960 24.49/.789 25.05/.771 24.51/.761 24.54/.924 23.70/.925 23.74/.752 23.33/.747 | Guo et al., OneRestore, ECCV 2024
        WGWS-Net | 24.39/.774 27.90/.982 33.15/.964 34.43/.973 24.27/.800 25.06/.772 24.60/.765 27.23/.955 27.65/.960 23.90/.772 23.97/.771 | Guo et al., OneRestore, ECCV 2024
        OneRestore | 26.48/.826 32.52/.990 33.40/.964 34.31/.973 25.79/.822 25.58/.799 25.19/.789 29.99/.957 30.21/.964 24.78/.788 24.90/.791 | Guo et al., ECCV 2024, blind
        AdaIR | 26.88/.821 31.60/.987 33.84/.962 34.65/.974 25.69/.811 25.90/.793 25.69/.783 29.38/.955 28.95/.961 24.82/.778 25.04/.778 | by later papers
        MoCE-IR-S | 27.26/.824 32.66/.990 34.31/.970 35.91/.980 26.24/.817 26.25/.800 26.04/.793 29.93/.964 30.19/.970 25.41/.789 25.39/.790 | Zamfir et al., CVPR 2025
        QuReC | 27.58/.833 36.42/.995 35.71/.977 37.86/.985 27.27/.832 27.05/.817 26.90/.812 32.71/.974 33.29/.979 26.50/.809 26.57/.811 | its repository
    """),
)
