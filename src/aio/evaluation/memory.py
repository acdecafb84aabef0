"""The memory that a restoration takes."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

import torch

_STATUS: Final = Path("/proc/self/status")
_FORGET: Final = Path("/proc/self/clear_refs")


def reset_peak_memory() -> None:
    """Starts anew: on a GPU for torch alone, on Linux for the process; elsewhere the peak of the past stays."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _FORGET.exists():
        _FORGET.write_text("5")  # of what the kernel counts, the highest resident size


def peak_memory() -> int:
    """Bytes: what torch had allocated at most on the present GPU; without one, what the process held at most."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
