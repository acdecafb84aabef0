"""What becomes of the memory of freed tensors on a CPU: it is kept for the next ones, as a GPU's allocator keeps it.

By default glibc asks the kernel for every large block anew, and the kernel fills it with zeros, page by page.
Constants: glibc's malloc.h.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_MAX: Final = -4
_KEPT: Final = 2**31 - 1  # bytes free at the top of the heap before some go back to the kernel; the largest int
_AHEAD: Final = 2**28  # bytes that the heap grows by


def keep_freed_memory() -> bool:
    """Tells the C library of this process, and so of those it forks; False where it is not glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    chosen = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _AHEAD))
    return all(mallopt(parameter, value) == 1 for parameter, value in chosen)
