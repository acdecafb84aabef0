"""How much memory there is, how much a net takes for each pixel, and whether an error says that it was too little."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from aio.nets.base import RestorationNet

_PROBE: Final = 128  # pixels, the side of an image that shows what a net takes
_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")
# The CPU's allocator, oneDNN, cuDNN and cuBLAS raise RuntimeError with these words; CUDA's allocator has its own class.
_WORDS: Final = (
    *("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory", "std::bad_alloc"),
    *("could not create a memory object", "could not allocate", "_STATUS_ALLOC_FAILED"),
)
_MEASURED: WeakKeyDictionary[RestorationNet, float] = WeakKeyDictionary()


def is_out_of_memory(error: Exception) -> bool:
    """Whether smaller tensors might have gone well."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def memory_at_hand(device: torch.device) -> int:
    """Bytes that can still be had on `device`; of the host, what its cgroup leaves to this process."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_available(), _left_by_cgroup())


def _available() -> int:
    if not _MEMINFO.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # what is free is not told everywhere
    (line,) = (line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _left_by_cgroup() -> int:
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if not limit.exists() or (most := limit.read_text().strip()) == "max":
        return 1 << 62
    return max(0, int(most) - int(used.read_text()))


def bytes_per_pixel(net: RestorationNet) -> float:
    """What the tensors of a forward pass take at most at one time, for each pixel of the input; measured once."""
    if net not in _MEASURED:
        side = -(-_PROBE // net.multiple_of) * net.multiple_of
        weight = next(net.parameters())
        image = torch.zeros(1, net.in_channels, side, side, dtype=weight.dtype, device=weight.device)
        with torch.inference_mode(), _Peak() as peak:
            net(image)
        _MEASURED[net] = peak.bytes / side**2
    return _MEASURED[net]


class _Peak(TorchFunctionMode):
    """Counts the bytes of the tensors that live after each function; scratch memory inside of one is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple | list) else [result]:
            if isinstance(made, Tensor):
                storage = made.untyped_storage()
                self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        self.bytes = max(self.bytes, sum(size for _, size in self._alive.values()))
        return result
