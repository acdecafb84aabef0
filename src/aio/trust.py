"""Which classes a file or an option may name: those of a few packages, and of others that the user trusts.

Reads plain data alone: nothing is imported to find out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from aio.errors import InputError

PACKAGES: Final = ("aio", "lightning", "torch", "torchvision")
# What in these packages runs code, or loads what may hold some.
EXECUTING: Final = (
    *("torch.hub", "torch.load", "torch.serialization", "torch.package", "torch.jit", "torch.multiprocessing"),
    *("torch.utils.cpp_extension", "torch.utils.model_zoo", "torch.distributed.run", "torch.distributed.launch"),
    *("torch.distributed.launcher", "torch.distributed.elastic", "torch.classes", "torch.ops", "torchvision.io"),
    *("lightning.fabric.cli", "lightning.pytorch.cli", "lightning.app", "lightning.pytorch.callbacks.LambdaCallback"),
    *("lightning.pytorch.callbacks.lambda_function", "lightning.fabric.utilities.cloud_io"),
)


def refuse_foreign(content: Any, source: str, trusted: Sequence[str] = ()) -> None:
    """Looks through plain data for the classes that it names.

    Raises:
        InputError: one is of no package that may be named; naming it and `source`.
    """
    for name in _named(content):
        if "." in name and not _allowed(name, trusted):
            raise InputError(
                f"{source}: refused, it names {name!r}: expected a class of {', '.join(PACKAGES)}; if you trust it, "
                f"say --trust {name.partition('.')[0]}"
            )


def _allowed(name: str, trusted: Sequence[str]) -> bool:
    def below(packages: Sequence[str]) -> bool:
        return any(name == package or name.startswith(f"{package}.") for package in packages)

    return below(trusted) or (below(PACKAGES) and not below(EXECUTING))


def _named(content: Any) -> Iterator[str]:
    """YAML's references may repeat a part, even within itself: each is looked at once."""
    seen: dict[int, Any] = {}
    waiting = [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (dict, list)) and id(part) not in seen:
            seen[id(part)] = part
            if isinstance(part, dict) and "class_path" in part:
                yield str(part["class_path"])
            waiting += part.values() if isinstance(part, dict) else part
