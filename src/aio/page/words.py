"""The page's words: degradations as photographers call them, durations, and messages without the server's paths."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aio.page.work import Look
from aio.vocabulary import Degradation

NAMES: Final[dict[Degradation, str]] = {
    "denoise_15": "Noise, slight",
    "denoise_25": "Noise, medium",
    "denoise_50": "Noise, strong",
    "denoise_blind": "Noise of unknown strength",
    "denoise_real": "Noise of a camera",
    "derain": "Rain",
    "dehaze": "Haze",
    "desnow": "Snow",
    "deblur": "Motion blur",
    "defocus": "Out of focus",
    "lowlight": "Too dark",
    "jpeg": "JPEG blocks",
    "realworld": "Several at once",
    "low_haze": "Dark and hazy",
    "low_rain": "Dark and rainy",
    "low_snow": "Dark and snowy",
    "haze_rain": "Haze and rain",
    "haze_snow": "Haze and snow",
    "low_haze_rain": "Dark, haze and rain",
    "low_haze_snow": "Dark, haze and snow",
    "clean": "Nothing",
}


def facts(look: Look) -> str:
    """`4000 × 3000 pixels, JPEG, 8 bit`."""
    depth = "float" if look.bits == 32 else f"{look.bits} bit"
    return f"{look.width} × {look.height} pixels, {look.format}, {depth}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def message(error: Exception, photo: Path) -> str:
    """What is wrong with the photograph, by its name alone."""
    return str(error).replace(f"{photo.parent}/", "")
