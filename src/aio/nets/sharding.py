"""Which parts of a net are sharded by themselves over the ranks (FSDP2), for nets beyond the memory of one GPU.

A part's weights are gathered for its forward and backward pass alone; what lies in no part is gathered with the root.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from aio.nets.base import RestorationNet


def shard(net: RestorationNet, mesh: DeviceMesh) -> RestorationNet:
    """`net` itself, its parameters split over the one axis of `mesh`: block by block, then the rest."""
    for name in blocks_of(net):
        fully_shard(net.get_submodule(name), mesh=mesh)
    fully_shard(net, mesh=mesh)
    return net


def blocks_of(net: nn.Module) -> list[str]:
    """Names of the blocks which the stages of `net` repeat: the outermost modules with parts and weights of their own
    in a `Sequential` or `ModuleList`."""
    return list(_blocks("", net))


def _blocks(prefix: str, module: nn.Module) -> Iterator[str]:
    in_stage = _is_list(module)
    for name, child in module.named_children():
        is_block = in_stage and not _is_list(child) and any(True for _ in child.children())
        if is_block and any(True for _ in child.parameters()):
            yield prefix + name
        else:
            yield from _blocks(f"{prefix}{name}.", child)


def _is_list(module: nn.Module) -> bool:
    return isinstance(module, (nn.Sequential, nn.ModuleList))
