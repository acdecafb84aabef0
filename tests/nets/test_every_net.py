"""What the contract promises of every net: any width and size, batches, one training step, and clear errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aio.nets.base import RestorationNet, pad_to_multiple, restore_any_size
from golden.fill import golden_input
from tiny_nets import TINY, build, net_classes

QUICK = [name for name in TINY if name != "stoformer"]  # it pads to 128 pixels

# The official code pads these to more than they need, and its outputs are those of the padded image.
ACCEPTED_STEP = {"symunet": 4, "stoformer": 16}
# A hidden layer of a unit or two may be switched off by ReLU as a whole: these nets learn everywhere when wider.
WIDE = {"adair": 12, "lora_restormer_full": 12, "lora_restormer_seed": 48}
RESTING = {
    # On maps below 128 pixels the low band is empty.
    "adair": r"channel_cross_h\.(temperature|q\.weight|q_dwconv\.weight)$",
    # A batch of two does not reach all experts.
    "moce_ir": r"adapter\.experts\.",
    "coarse_to_fine": r"^experts\.[1-3]\.",
    # Of 32 pixels, the deepest map has one, which can only attend to itself.
    "hybrid_stoformer": r"conv\.blocks\.\d\.(relative_position_bias_table|to_q)",
}
# BatchNorm on maps of one pixel.
NEEDS_A_BATCH = {"lora_restormer_seed", "hybrid_stoformer"}


def images(net: RestorationNet, batch: int, height: int, width: int | None = None) -> Tensor:
    """Smooth images whose task a net under training may not ignore: the middle pixel's parity says so."""
    image = golden_input((batch, net.in_channels, height, width or height))
    image[:, 0, height // 2, (width or height) // 2] = 2 / 255
    return image


def side_of(net: RestorationNet) -> int:
    """A small side which the net takes; Stoformer takes a quarter of what it declares."""
    return max(16, min(32, net.multiple_of))


def trained_step(net: RestorationNet, batch: int) -> Tensor:
    """The loss of one step on that many images, after its backward pass."""
    net.train()
    side = side_of(net)
    image = images(net, batch, side)
    restored = net(image, torch.arange(batch))
    assert restored.shape == (batch, net.out_channels, net.scale * side, net.scale * side)
    loss = (restored.float() - 0.5).abs().mean() + sum(net.extra_losses(image.flip(-1)).values())
    loss.backward()
    return loss


def faults(net: RestorationNet) -> list[str]:
    """Trainable parameters without a gradient, for which DistributedDataParallel would wait, or with a broken one."""
    trainable = ((name, p.grad) for name, p in net.named_parameters() if p.requires_grad)
    return [name for name, gradient in trainable if gradient is None or not gradient.isfinite().all()]


@pytest.fixture(scope="module", params=TINY)
def net(request) -> RestorationNet:
    """Each net in eval mode, for reading only."""
    return build(request.param)


@pytest.fixture(scope="module")
def quick_nets() -> dict[str, RestorationNet]:
    return {name: build(name) for name in QUICK}


@torch.no_grad()
def assert_keeps_size(net: RestorationNet, height: int, width: int) -> None:
    restored = restore_any_size(net, images(net, 1, height, width))
    assert restored.shape == (1, net.out_channels, net.scale * height, net.scale * width)
    assert restored.isfinite().all()


def test_no_net_is_forgotten():
    assert net_classes() == {kind for kind, _ in TINY.values()}


@pytest.mark.parametrize("dim", [4, 16])
@pytest.mark.parametrize("name", TINY)
def test_the_width_halves_and_doubles(name, dim):
    assert TINY[name][1]["dim"] == 8
    net = build(name, dim=dim)
    usual, changed = (sum(p.numel() for p in each.parameters()) for each in (build(name), net))
    assert (changed < usual) == (dim < 8)
    assert_keeps_size(net, net.multiple_of, net.multiple_of)


def test_sizes_round_the_step_come_back(net):
    step = net.multiple_of
    for size in {1, 2, step - 1, step + 1, 70} - {0} if step < 128 else {1}:
        assert_keeps_size(net, size, 9)
        assert_keeps_size(net, 9, size)


@settings(max_examples=40)
@given(name=st.sampled_from(QUICK), height=st.integers(1, 70), width=st.integers(1, 70))
def test_any_size_comes_back(quick_nets, name, height, width):
    assert_keeps_size(quick_nets[name], height, width)


@pytest.mark.slow
def test_every_size_comes_back(net):
    for size in range(1, 71):
        assert_keeps_size(net, size, 9)
        assert_keeps_size(net, 9, size)


@pytest.mark.parametrize("multiple", [1, 2, 3, 8, 16, 128])
def test_padding_reflects_as_numpy_does(multiple):
    for size in range(1, 71):
        image = torch.rand(2, 1, size, 3, generator=torch.Generator().manual_seed(size))
        below, right = -size % multiple, -3 % multiple
        expected = np.pad(image.numpy(), [(0, 0), (0, 0), (0, below), (0, right)], mode="reflect")
        assert np.array_equal(pad_to_multiple(image, multiple).numpy(), expected)


@torch.no_grad()
def accepts(net: RestorationNet, step: int) -> bool:
    """Whether the net itself takes multiples of `step` and answers in their size."""
    for rows, columns in ((1, 1), (3, 2), (2, 5)) if step < 64 else ((1, 1), (2, 1)):
        image = images(net, 1, rows * step, columns * step)
        try:
            restored = net(image)
        except (RuntimeError, ValueError):
            return False
        if restored.shape[-2:] != (net.scale * rows * step, net.scale * columns * step):
            return False
    return True


@pytest.mark.parametrize("name", TINY)
def test_the_declared_step_is_the_smallest_that_works(name):
    net = build(name)
    assert accepts(net, net.multiple_of)
    smallest = next(step for step in range(1, net.multiple_of + 1) if accepts(net, step))
    assert smallest == ACCEPTED_STEP.get(name, net.multiple_of)
    assert net.multiple_of % smallest == 0


@torch.no_grad()
def test_evaluation_repeats_itself_and_keeps_the_images_of_a_batch_apart(net):
    batch = images(net, 2, side_of(net))
    restored = net(batch)
    assert torch.equal(net(batch), restored)
    torch.testing.assert_close(restored, torch.cat([net(image[None]) for image in batch]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_memory_format_changes_nothing(net):
    batch = images(net, 2, side_of(net))
    last = batch.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(net(last), net(batch.contiguous()), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_learns_in_one_step(name):
    net = build(name, dim=WIDE.get(name, 8))
    assert trained_step(net, 2).isfinite()
    assert faults(net) == []
    zero = [name for name, p in net.named_parameters() if p.requires_grad and not p.grad.any()]
    resting = re.compile(RESTING.get(name, r"$^"))
    assert [name for name in zero if not resting.search(name)] == []


@pytest.mark.parametrize("name", TINY)
def test_one_step_in_bfloat16_is_finite(name):
    net = build(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert trained_step(net, 2).isfinite()
    assert faults(net) == []


@pytest.mark.parametrize("name", TINY)
def test_a_new_net_trains_on_one_image(name):
    kind, arguments = TINY[name]
    torch.manual_seed(0)
    net = kind(**arguments)
    if name in NEEDS_A_BATCH:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            trained_step(net, 1)
        return
    assert trained_step(net, 1).isfinite()
    assert faults(net) == []


def test_other_channels_are_refused_by_name(net):
    wanted = rf"{type(net).__name__} takes images \(B, {net.in_channels}, H, W\), but got shape"
    for shape in ((1, net.in_channels + 1, 16, 16), (net.in_channels, 16, 16)):
        with pytest.raises(ValueError, match=rf"{wanted} \({shape[0]}, "):
            restore_any_size(net, torch.rand(shape))
