"""How good a restored image is: PSNR and SSIM, the named protocols of the field, and the table of a whole benchmark."""

from aio.metrics.image import Window, psnr, ssim
from aio.metrics.named import PROTOCOLS, find_protocol, input_name, sr_y
from aio.metrics.per_task import TaskErrors, TaskMeans
from aio.metrics.protocols import Protocol, Score, comparable
from aio.metrics.table import Means, Row, ScoreTable

__all__ = [
    "PROTOCOLS",
    "Means",
    "Protocol",
    "Row",
    "Score",
    "ScoreTable",
    "TaskErrors",
    "TaskMeans",
    "Window",
    "comparable",
    "find_protocol",
    "input_name",
    "psnr",
    "sr_y",
    "ssim",
]
