"""LoRA adapters: a frozen net learns new degradations, each in a few kilobytes of its own, switched by the task id."""

from __future__ import annotations

from aio.adapters.lowrank import LoRA, read_plan
from aio.adapters.net import AdaptedNet, add_adapters, require_adapter
from aio.adapters.storage import fingerprint, load_adapters, save_adapters

__all__ = [
    "AdaptedNet",
    "LoRA",
    "add_adapters",
    "fingerprint",
    "load_adapters",
    "read_plan",
    "require_adapter",
    "save_adapters",
]
