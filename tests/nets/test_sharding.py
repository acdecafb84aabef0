"""Sharded nets: which blocks, and the same outputs and gradients as before, for every net."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from aio.nets.sharding import blocks_of, shard
from tiny_nets import TINY, build
from training import tiny


@pytest.fixture(scope="module")
def mesh(tmp_path_factory) -> Iterator[DeviceMesh]:
    """Of this process alone."""
    meet = tmp_path_factory.mktemp("mesh") / "meet"
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_the_blocks_of_a_restormer_are_those_of_its_stages():
    stages = ["encoder_level1", "encoder_level2", "encoder_level3", "latent"]
    stages += ["decoder_level3", "decoder_level2", "decoder_level1", "refinement"]
    assert set(blocks_of(tiny())) == {f"{stage}.0" for stage in stages}


def test_blocks_within_blocks_and_single_layers_are_none():
    block = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.ModuleList([nn.TransformerEncoderLayer(4, 1)]))
    assert blocks_of(nn.ModuleDict({"a": block, "b": nn.ReLU()})) == ["a.1.0"]


def forward_backward(net: nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The output, and all gradients in one vector."""
    torch.manual_seed(0)
    out = net(image, torch.zeros(len(image), dtype=torch.int64))
    out.square().mean().backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    whole = [g.full_tensor() if isinstance(g, DTensor) else g for g in gradients]
    return out.detach(), torch.cat([g.flatten() for g in whole])


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")  # of in-place work on a view; gradients would be wrong
@pytest.mark.parametrize("name", TINY)
def test_a_sharded_net_computes_the_same(name, mesh):
    """A block that reaches into another one's weights would meet them sharded."""
    plain, sharded = build(name), shard(build(name), mesh)
    assert isinstance(sharded, FSDPModule)
    assert all(isinstance(p, DTensor) for p in sharded.parameters())
    side = 2 * plain.multiple_of if plain.multiple_of > 4 else 16
    image = torch.rand(1, plain.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    ours, gradients = forward_backward(sharded, image)
    theirs, expected = forward_backward(plain, image)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert (gradients - expected).norm() < 1e-4 * expected.norm()
