"""The laws of an adapted net, for every architecture: nothing changes until it is taught, then its task alone."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from adapting import copied, ids, image_for, same, taught, taught_tiny
from aio.adapters import LoRA, add_adapters, require_adapter
from aio.errors import InputError
from aio.nets.base import RestorationNet, restore_any_size
from tiny_nets import TINY, build
from training import tiny

CONTRACT = ("multiple_of", "scale", "in_channels", "out_channels", "pad_mode", "config")
RAIN = ids("derain")


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_fresh_adapters_change_nothing(name):
    """Not a bit of the output, no key of the state, nothing that a caller must know."""
    base = build(name)
    state, image = copied(base.state_dict()), image_for(base)
    untold, told = base(image), base(image, RAIN)
    net = add_adapters(base, {"derain": LoRA(rank=4, alpha=8.0), "dehaze": LoRA(rank=1, alpha=1.0)})
    assert torch.equal(net(image), untold)
    assert torch.equal(net(image, RAIN), told)
    ours = net.state_dict()
    assert list(ours)[: len(state)] == list(state)
    assert all(key.startswith(("adapters.derain.", "adapters.dehaze.")) for key in list(ours)[len(state) :])
    assert same(ours, state)
    assert [getattr(net, key) for key in CONTRACT] == [getattr(base, key) for key in CONTRACT]
    assert not net.training


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_a_taught_adapter_serves_its_task_alone_and_merges(name):
    base = build(name)
    image, state = image_for(base), copied(base.state_dict())
    told = {task: base(image, ids(task)) for task in ("derain", "dehaze")}
    net = taught(base, "derain")
    restored = net(image, RAIN)
    assert not torch.allclose(restored, told["derain"], rtol=1e-3)
    assert torch.equal(net(image, ids("dehaze")), told["dehaze"])

    net.merge("derain")
    merged = net(image, RAIN)
    torch.testing.assert_close(merged, restored, rtol=1e-5, atol=1e-5 * float(restored.abs().max()))
    assert not same(base.state_dict(), state)
    assert same(net.state_dict(), state)
    net.unmerge()
    assert same(base.state_dict(), state)
    assert torch.equal(net(image, RAIN), restored)


@pytest.mark.parametrize("name", TINY)
def test_training_moves_the_adapter_and_nothing_else(name):
    """Neither a weight nor a buffer of the base, be it the statistics of a batch norm or a queue of contrast."""
    base = build(name).train()
    state, image = copied(base.state_dict()), image_for(base, batch=2)
    net = add_adapters(base, {"derain": LoRA(rank=2, alpha=2.0), "dehaze": LoRA(rank=2, alpha=2.0)})
    before = copied(net.state_dict())
    assert not net.wants_second_view
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        loss = net(image, ids("derain", "derain")).square().mean() + sum(net.extra_losses(image).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = net.state_dict()
    assert same(after, state)
    assert same(base.state_dict(), state)
    moved = {key.split(".")[1] for key in set(before) - set(state) if not torch.equal(before[key], after[key])}
    assert moved == {"derain"}


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_a_mixed_batch_equals_its_images_one_by_one(name):
    net = taught(build(name), "derain", "dehaze")
    tasks = ids("dehaze", "derain", "lowlight", "dehaze", "derain")
    image = image_for(net, batch=5)
    alone = torch.cat([net(image[i : i + 1], tasks[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(net(image, tasks), alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_each_adapter_learns_from_its_own_images():
    """The gradients of a mixed batch are those of each task's images alone; an idle adapter has none."""
    net = taught(tiny(), "derain", "dehaze", "lowlight").train()
    image, tasks = image_for(net, batch=4), ids("dehaze", "derain", "deblur", "dehaze")

    def gradients(rows):
        net.zero_grad(set_to_none=True)
        net(image[rows], tasks[rows]).square().sum().backward()
        return {key: p.grad for key, p in net.named_parameters() if p.grad is not None}

    mixed = gradients([0, 1, 2, 3])
    alone = gradients([0, 3]) | gradients([1])
    assert {key.split(".")[1] for key in mixed} == {"derain", "dehaze"}
    assert mixed.keys() == alone.keys()
    for key, gradient in mixed.items():
        torch.testing.assert_close(gradient, alone[key], rtol=1e-4, atol=1e-4 * float(gradient.abs().max()))


class Brightness(RestorationNet):
    """Leaves the mean of its batch behind as a loss."""

    own_losses = ("brightness",)

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 3, kernel_size=1)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        self.left = {"brightness": image.mean()} if self.training else {}
        return self.mix(image)

    def extra_losses(self, second_view: Tensor | None = None) -> dict[str, Tensor]:
        return self.left


def test_the_losses_of_the_base_are_those_of_the_whole_batch():
    net = taught(Brightness(), "derain").train()
    image = image_for(net, batch=4)
    for tasks in (None, ids("derain", "dehaze", "dehaze", "lowlight"), ids(*4 * ["derain"])):
        net(image, tasks)
        torch.testing.assert_close(net.extra_losses(), {"brightness": image.mean()})
    assert net.own_losses == ("brightness",)
    net.eval()(image, ids("derain", "dehaze", "dehaze", "lowlight"))
    assert net.extra_losses() == {}


def test_a_further_adapter_stands_beside_the_first():
    net = taught_tiny("derain")
    image, before = image_for(net), copied(net.state_dict())
    restored = net(image, RAIN)
    both = taught(net, "dehaze", rank=3)
    assert both is net
    assert same(net.state_dict(), before)
    assert torch.equal(net(image, RAIN), restored)
    assert not torch.allclose(net(image, ids("dehaze")), restored)
    net.train_only(["dehaze"])
    assert {key.split(".")[1] for key, p in net.named_parameters() if p.requires_grad} == {"dehaze"}
    with pytest.raises(InputError, match="Restormer has an adapter for dehaze already"):
        add_adapters(net, {"dehaze": LoRA(rank=1, alpha=1.0)})


def test_an_official_state_fills_the_base():
    net, other = taught_tiny("derain"), build("restormer")
    other.output.weight.data += 1
    adapters = copied({key: p for key, p in net.state_dict().items() if key.startswith("adapters.")})
    net.load_state_dict(other.state_dict(), strict=False)
    assert same(net.base.state_dict(), other.state_dict())
    assert same(net.state_dict(), adapters)
    wrapped = nn.ModuleDict({"net": net})
    assert set(wrapped.state_dict()) == {f"net.{key}" for key in net.state_dict()}
    wrapped.load_state_dict(wrapped.state_dict())


def test_a_merged_net_refuses_other_tasks_and_unmerges_to_learn():
    net = taught_tiny("derain")
    image, state = image_for(net), copied(net.base.state_dict())
    restored = net(image, RAIN)
    net.merge("derain")
    torch.testing.assert_close(net(image), restored)
    with pytest.raises(ValueError, match="merged with the adapter for derain, but told the task 4: unmerge first"):
        net(image, ids("dehaze"))
    net.merge("derain")  # again: not twice as much
    torch.testing.assert_close(net(image), restored)
    assert same(net.train().base.state_dict(), state)
    with pytest.raises(InputError, match="no adapter for dehaze: there are adapters for derain"):
        net.merge("dehaze")
    with pytest.raises(InputError, match="there are adapters for nothing"):
        require_adapter(tiny(), "derain")


def test_copies_and_pickles_are_whole():
    net = taught_tiny("derain", "dehaze").train()
    image = image_for(net)
    restored = net(image, RAIN)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(image, RAIN), restored)
        assert (other.plan, other.config) == (net.plan, net.config)


def test_any_size_and_autocast():
    net = taught_tiny("derain")
    image = torch.rand(1, 3, 13, 9)
    exact = restore_any_size(net, image, RAIN)
    assert exact.shape == image.shape
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(restore_any_size(net, image, RAIN).float(), exact, rtol=0.1, atol=0.1)


def test_a_folder_of_one_net_takes_no_adapters(tmp_path):
    with pytest.raises(InputError, match="has no place for adapters"):
        taught_tiny("derain").save_pretrained(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
