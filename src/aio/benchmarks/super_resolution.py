"""Super-resolution from bicubic low resolution: Set5, Set14, B100, Urban100, Manga109 on the luma, the border cut."""

from __future__ import annotations

from typing import Final

from aio.benchmarks.table import Benchmark, Column, published
from aio.vocabulary import SCALES, Degradation

_SETS: Final = {
    "Set5": ("(^|/)set5", 5),
    "Set14": ("(^|/)set14", 14),
    "B100": ("b100|bsd_?100", 100),
    "Urban100": ("urban", 100),
    "Manga109": ("manga", 109),
}
_ROWS: Final = {
    2: """
        bicubic | 33.66/.9299 30.24/.8688 29.56/.8431 26.88/.8403 30.80/.9339 | Kim et al., CVPR 2016, and later papers
        EDSR | 38.11/.9602 33.92/.9195 32.32/.9013 32.93/.9351 39.10/.9773 | Lim et al., CVPRW 2017
        RCAN | 38.27/.9614 34.12/.9216 32.41/.9027 33.34/.9384 39.44/.9786 | Zhang et al., ECCV 2018
        SwinIR | 38.42/.9623 34.46/.9250 32.53/.9041 33.81/.9427 39.92/.9797 | Liang et al., ICCVW 2021, DF2K
    """,
    3: """
        bicubic | 30.39/.8682 27.55/.7742 27.21/.7385 24.46/.7349 26.95/.8556 | Kim et al., CVPR 2016, and later papers
        EDSR | 34.65/.9280 30.52/.8462 29.25/.8093 28.80/.8653 34.17/.9476 | Lim et al., CVPRW 2017
        RCAN | 34.74/.9299 30.65/.8482 29.32/.8111 29.09/.8702 34.44/.9499 | Zhang et al., ECCV 2018
        SwinIR | 34.97/.9318 30.93/.8534 29.46/.8145 29.75/.8826 35.12/.9537 | Liang et al., ICCVW 2021, DF2K
    """,
    4: """
        bicubic | 28.42/.8104 26.00/.7027 25.96/.6675 23.14/.6577 24.89/.7866 | Kim et al., CVPR 2016, and later papers
        EDSR | 32.46/.8968 28.80/.7876 27.71/.7420 26.64/.8033 31.02/.9148 | Lim et al., CVPRW 2017
        RCAN | 32.63/.9002 28.87/.7889 27.77/.7436 26.82/.8087 31.22/.9173 | Zhang et al., ECCV 2018
        SwinIR | 32.92/.9044 29.09/.7950 27.92/.7489 27.45/.8254 32.03/.9260 | Liang et al., ICCVW 2021, DF2K
    """,
}


def _benchmark(task: Degradation, scale: int) -> Benchmark:
    return Benchmark(
        name=task,
        sets=f"{', '.join(_SETS)}, reduced {scale} times by bicubic",
        protocol="sr_y",
        columns=tuple(Column(name, task, where, images, synthesised=True) for name, (where, images) in _SETS.items()),
        published=published(_ROWS[scale]),
        trainset="mixed",
        mean=False,
    )


SUPER_RESOLUTION: Final = tuple(_benchmark(task, scale) for task, scale in SCALES.items())
