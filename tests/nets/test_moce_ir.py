"""MoCE-IR: the official release's numbers, the routing of a batch, and the balance loss."""

import copy
import math
import statistics

import pytest
import torch

from aio.nets.base import count_parameters, restore_any_size
from aio.nets.moce_experts import Adapter, Router, balance_loss, circular_convolution
from aio.nets.moce_ir import MoCEIR
from golden.fill import fill_state_dict, golden_input
from support import assert_official

SMALL = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_dec_blocks": (1, 1, 2), "num_refinement_blocks": 1}


@pytest.fixture
def net():
    net = MoCEIR(**SMALL, with_complexity=False)
    net.load_state_dict(fill_state_dict(net.state_dict()))
    return net


@pytest.fixture
def images():
    """Five images from flat to finely striped."""
    frequencies = torch.tensor([0.0, 0.2, 0.7, 1.5, 3.0]).reshape(5, 1, 1, 1)
    waves = 0.5 + 0.5 * torch.cos(frequencies * torch.arange(32.0)) * torch.tensor([1.0, -1.0, 0.3]).reshape(3, 1, 1)
    return (waves * torch.linspace(1, 0, 32)[:, None] + golden_input((5, 3, 32, 32))).clamp(0, 1)


def routes(net):
    """A list that every router's choice of the coming forward passes is added to."""
    seen = []
    for module in net.modules():
        if isinstance(module, Router):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output[1].tolist()))
    return seen


def send_all_to(net, expert, margin=50.0):
    """Make every router of `net` prefer `expert` by `margin`, whatever the image."""
    with torch.no_grad():
        net.freq_embed.mlp[2].weight.zero_()
        net.freq_embed.mlp[2].bias.fill_(1.0)
        for module in net.modules():
            if isinstance(module, Router):
                module.gate[2].weight.zero_()
                module.freq_gate.weight.zero_()
                module.freq_gate.weight[expert] = margin / module.freq_gate.in_features


@pytest.mark.parametrize(("name", "dim", "parameters"), [("moce_ir", 48, 25_353_796), ("moce_ir_s", 32, 11_477_752)])
def test_equals_the_official_release(name, dim, parameters):
    net = MoCEIR(dim=dim)
    complexity = {key: value.clone() for key, value in net.named_buffers()}  # parameter counts over the largest
    assert count_parameters(net) == parameters
    assert_official(net, name)
    assert all(torch.equal(complexity[key], value) for key, value in net.named_buffers())


@pytest.mark.parametrize("dim", [16, 24, 96])
def test_every_width_is_derived_from_dim(dim):
    net = MoCEIR(**SMALL | {"dim": dim}).eval()
    image = golden_input((1, 3, 13, 9))
    with torch.no_grad():
        assert restore_any_size(net, image).shape == image.shape


def test_a_batch_equals_its_samples_one_by_one(net, images):
    net.eval()
    seen = routes(net)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, Router):  # decisive, so that samples part
                module.gate[2].weight *= 100
        batch = net(images)
        assert any(len(set(choices)) > 1 for choices in seen)
        torch.testing.assert_close(batch, torch.cat([net(image[None]) for image in images]), atol=1e-5, rtol=0)


def test_each_chosen_expert_runs_once_on_its_samples_alone():
    adapter = Adapter(dim=8, freq_dim=8, num_experts=4, with_complexity=False).eval()
    sizes = []
    for expert in adapter.experts:
        expert.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0][0])))
    x, shared = golden_input((5, 8, 8, 8)), golden_input((5, 8, 8, 8), 1)
    choice = torch.tensor([3, 0, 2, 0, 3])
    out = adapter.run_experts(x, shared, choice)
    assert sizes == [2, 1, 2]
    expected = torch.cat([adapter.experts[i]((x[n, None], shared[n, None])) for n, i in enumerate(choice)])
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)


def test_only_training_draws_noise(net, images):
    with torch.no_grad():
        net.train()
        assert not torch.equal(net(images), net(images))
        net.eval()
        assert torch.equal(net(images), net(images))


def test_every_parameter_has_a_gradient_and_that_of_idle_experts_is_zero(net, images):
    send_all_to(net, 1)
    net.train()
    (net(images).mean() + net.extra_losses()["balance"]).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []
    for module in net.modules():
        if isinstance(module, Adapter):
            busy = [any(p.grad.abs().max() > 0 for p in expert.parameters()) for expert in module.experts]
            assert busy == [False, True, False, False]


def test_balance_loss_against_a_hand_computation():
    logits = [[0.3, -0.2, 0.1], [1.0, 0.4, -0.6]]
    noisy = [[0.2, 0.1, -0.1], [0.8, 0.9, -0.5]]
    complexity = [0.25, 0.5, 1.0]

    def squared_variation(values):
        return statistics.variance(values) / statistics.mean(values) ** 2

    sums = [sum(math.exp(v) for v in row) for row in logits]
    importance = [sum(math.exp(row[i]) / total for row, total in zip(logits, sums, strict=True)) for i in range(3)]
    wins = [[0.5 * math.erfc((max(n) - v) / 0.25 / 2**0.5) for v in row] for row, n in zip(logits, noisy, strict=True)]
    load = squared_variation([sum(column) / 2 for column in zip(*wins, strict=True)])
    weighted = [i * c for i, c in zip(importance, complexity, strict=True)]

    tensors = (torch.tensor(logits), torch.tensor(noisy), 0.25)
    assert balance_loss(*tensors).item() == pytest.approx(0.5 * squared_variation(importance) + 0.5 * load, rel=1e-5)
    assert balance_loss(*tensors, torch.tensor(complexity)).item() == pytest.approx(
        0.5 * squared_variation(weighted) + 0.5 * load, rel=1e-5
    )


def test_balance_loss_is_zero_when_balanced_and_largest_when_collapsed():
    balanced = 20 * torch.eye(4)
    collapsed = balanced[:1].expand(4, 4)
    assert balance_loss(balanced, balanced, 0.25).item() == pytest.approx(0, abs=1e-6)
    # One of four values alone is not zero: variance 1/4 over the square of mean 1/4.
    assert balance_loss(collapsed, collapsed, 0.25).item() == pytest.approx(4, rel=1e-4)
    flat = torch.zeros(4, 4, requires_grad=True)
    balance_loss(flat, flat, 0.25).backward()
    assert torch.isfinite(flat.grad).all()


def test_extra_losses_weigh_the_mean_over_the_decoder_blocks(net, images):
    assert net.extra_losses() == {}
    net.train()
    send_all_to(net, 0, margin=0.0)
    net(images)
    assert net.extra_losses()["balance"].item() == pytest.approx(0, abs=1e-6)
    send_all_to(net, 2)
    net(images)
    assert net.extra_losses()["balance"].item() == pytest.approx(0.01 * 4, rel=1e-4)
    assert tuple(net.extra_losses()) == net.own_losses
    net.eval()(images)
    assert net.extra_losses() == {}


def test_with_complexity_small_experts_cost_less(images):
    net = MoCEIR(**SMALL).train()
    send_all_to(net, 0, margin=0.0)
    net(images)
    complexities = [module.complexity for module in net.modules() if isinstance(module, Router)]
    even = [0.5 * statistics.variance(c) / statistics.mean(c) ** 2 for c in (c.tolist() for c in complexities)]
    assert net.extra_losses()["balance"].item() == pytest.approx(0.01 * statistics.mean(even), rel=1e-4)
    for_small, for_large = (torch.eye(4)[[n, n]] for n in (0, 3))
    assert balance_loss(for_small, for_small, 0.25, complexities[0]) < balance_loss(
        for_large, for_large, 0.25, complexities[0]
    )


def test_a_net_can_be_copied_between_forward_and_backward(net, images):
    net.train()(images)
    assert copy.deepcopy(net).extra_losses() == {}
    net.extra_losses()["balance"].backward()


def test_circular_convolution_against_its_definition():
    q, k = golden_input((1, 2, 6, 5)), golden_input((1, 2, 6, 5), 1)
    padded = [torch.nn.functional.pad(t, (0, 3, 0, 2)) for t in (q, k)]
    expected = torch.zeros(1, 2, 8, 8)
    for top, left in ((0, 0), (0, 4), (4, 0), (4, 4)):
        a, b = (t[..., top : top + 4, left : left + 4] for t in padded)
        for y in range(4):
            for x in range(4):
                shifted = b.roll((y, x), dims=(-2, -1))
                expected[..., top : top + 4, left : left + 4] += a[..., y : y + 1, x : x + 1] * shifted
    torch.testing.assert_close(circular_convolution(q, k, 4), expected[..., :6, :5])


def test_fourier_transform_runs_in_float32_under_autocast(net, images, monkeypatch):
    seen = []
    transform = torch.fft.rfft2
    monkeypatch.setattr(torch.fft, "rfft2", lambda x: seen.append(x.dtype) or transform(x))
    net.eval()
    with torch.no_grad():
        exact = net(images)
        seen.clear()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = net(images)
    assert set(seen) == {torch.float32}
    assert mixed.isfinite().all()
    assert (mixed - exact).abs().mean() < 0.05 * exact.std()
