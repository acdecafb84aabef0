"""The default network: an affine change of light on a coarse grid, experts for detail, and who of them is asked."""

import pytest
import torch
import torch.nn.functional as F

from aio.errors import InputError
from aio.nets.coarse_to_fine import CoarseToFine
from aio.vocabulary import TASK_ID
from golden.fill import golden_input
from tiny_nets import build

EXPERTS = 4  # by default: noise and clean photographs, rain, haze and low light, blur


def set_up(*, light=True, experts=True, presence=100.0, chosen=None):
    """A net without the halves that are not wanted, and sure whether the light is to change and who is `chosen`."""
    net = build("coarse_to_fine")
    silent = [] if light else [net.light]
    silent += [] if experts else [expert.output for expert in net.experts]
    with torch.no_grad():
        for layer in (*silent, net.presence):
            layer.weight.zero_()
            layer.bias.zero_()
        net.presence.bias.fill_(presence)
        if chosen is not None:
            net.choice.logits.weight.zero_()
            net.choice.logits.bias.copy_(100.0 * torch.eye(EXPERTS)[chosen])
    return net


def test_untrained_it_returns_its_input():
    image = golden_input((1, 3, 24, 40))
    assert torch.equal(CoarseToFine(coarse_dim=16, dim=8)(image), image)


@torch.no_grad()
def test_gain_and_offset_undo_haze():
    """Of one depth, as the scattering equation says: J = (I - A) / t + A."""
    net, image = set_up(light=False, experts=False), golden_input((1, 3, 16, 24))
    airlight, transmission = torch.tensor([0.8, 0.85, 0.9]), 0.4
    hazy = image * transmission + (airlight * (1 - transmission)).view(3, 1, 1)
    gain = torch.log(torch.tensor(1 / transmission))
    net.light.bias[:3] = 3 * torch.atanh(gain / 3)
    net.light.bias[3:] = airlight * (1 - 1 / transmission)
    torch.testing.assert_close(net(hazy), image)


@torch.no_grad()
def test_what_is_not_present_changes_no_light():
    image = golden_input((1, 3, 16, 24))
    assert (set_up(experts=False)(image) - image).abs().max() > 0.01
    assert torch.equal(set_up(experts=False, presence=-200.0)(image), image)


@torch.no_grad()
def test_the_gain_is_bounded():
    net, image = set_up(light=False, experts=False), golden_input((1, 3, 8, 8))
    net.light.bias[:3] = 1e6
    torch.testing.assert_close(net(image), image * torch.exp(torch.tensor(3.0)))


@torch.no_grad()
def test_between_cells_the_fields_are_linear():
    """A grid that rises along a row, enlarged about the cells' centres."""
    net = set_up(light=False, experts=False)
    rise = torch.arange(4.0).expand(1, 8, 1, 4).clone()
    net.norm.forward = lambda x: rise
    net.light.weight[3:, 0] = 1.0
    added = net(torch.zeros(1, 3, 8, 32))
    expected = ((torch.arange(32) + 0.5) / 8 - 0.5).clamp(0, 3)
    torch.testing.assert_close(added, expected.expand_as(added))


@torch.no_grad()
def test_an_expert_sees_no_farther_than_its_convolutions():
    """Four 3x3 convolutions on squares of 2 x 2 pixels, and those of the square itself."""
    expert, image = build("coarse_to_fine").experts[0], golden_input((1, 3, 64, 64))
    coarse, other = torch.zeros(1, 8, 8, 8), image.clone()
    other[..., 32, 32] += 0.5
    seen = (expert(other, coarse) - expert(image, coarse)).abs().amax(dim=(0, 1)) > 0
    for places in seen.nonzero().T:
        assert (places.min(), places.max()) == (32 - 2 * 4, 33 + 2 * 4)


@torch.no_grad()
def test_an_expert_is_told_of_the_whole():
    """Its context comes from the coarse half: a change far away reaches nearly every pixel."""
    net, image = set_up(light=False), golden_input((1, 3, 64, 64))
    other = image.clone()
    other[..., :8, :8] = 1 - other[..., :8, :8]
    difference = (net(other) - net(image))[..., 48:, 48:]
    assert difference.abs().amin(dim=(0, 1)).gt(0).float().mean() > 0.95


def added_by(net, number, image):
    """What expert `number` adds to an image whose light stays."""
    seen = {}
    handle = net.norm.register_forward_hook(lambda module, inputs, output: seen.update(coarse=output))
    net(image)
    handle.remove()
    return net.experts[number](image, seen["coarse"])


@torch.no_grad()
@pytest.mark.parametrize("number", range(EXPERTS))
def test_a_sure_choice_is_one_expert(number):
    net, image = set_up(light=False, chosen=number), golden_input((2, 3, 16, 24))
    torch.testing.assert_close(net(image), image + added_by(net, number, image))


@torch.no_grad()
def test_of_a_doubtful_choice_the_likeliest_restores_and_untold_all_train():
    net, image = set_up(light=False, chosen=0), golden_input((2, 3, 16, 24))
    shares = torch.tensor([0.3, 0.5, 0.2, 0.0])
    net.choice.logits.bias.copy_(shares.add(1e-9).log())
    added = [added_by(net, number, image) for number in range(3)]
    torch.testing.assert_close(net(image), image + added[1])
    mixed = sum(share * each for share, each in zip(shares, added, strict=False))
    torch.testing.assert_close(net.train()(image), image + mixed)


@torch.no_grad()
def test_each_image_of_a_batch_has_its_own_experts():
    net = set_up()
    net.choice.logits.weight.mul_(50)
    images = torch.cat(
        [golden_input((1, 3, 16, 24)), 0.1 * golden_input((1, 3, 16, 24)), golden_input((1, 3, 16, 24), 1)]
    )
    chosen = []
    net.choice.register_forward_hook(lambda module, inputs, logits: chosen.extend(logits.argmax(dim=1).tolist()))
    net(images)
    assert len(set(chosen)) > 1
    torch.testing.assert_close(net(images), torch.cat([net(image[None]) for image in images]))


def test_in_training_the_expert_of_the_task_learns_and_the_choice_learns_the_task():
    net, image = set_up(chosen=3).train(), golden_input((2, 3, 16, 16))
    net(image, torch.tensor([TASK_ID["derain"], TASK_ID["lowlight"]])).square().mean().backward()
    for number, expert in enumerate(net.experts):
        gradients = [parameter.grad for parameter in expert.parameters()]
        assert all(gradient is not None for gradient in gradients)  # for DistributedDataParallel
        assert any(gradient.abs().max() > 0 for gradient in gradients) == (number in (1, 2))
    logits = 100.0 * torch.eye(EXPERTS)[[3, 3]]
    losses = net.extra_losses()
    torch.testing.assert_close(losses, {"routing": F.cross_entropy(logits, torch.tensor([1, 2]))})
    assert net.extra_losses() == {}  # once a step


def test_a_task_without_an_expert_is_shared_out():
    net, image = set_up(chosen=0), golden_input((1, 3, 16, 16))
    expected = net(image)
    net.train()
    torch.testing.assert_close(net(image, torch.tensor([TASK_ID["desnow"]])), expected)
    assert net.extra_losses()["routing"] == 0
    torch.testing.assert_close(net(image), expected)  # nothing was told
    assert net.extra_losses() == {}


@torch.no_grad()
def test_in_use_it_is_blind():
    net, image = set_up(chosen=0), golden_input((1, 3, 16, 16))
    assert torch.equal(net(image, torch.tensor([TASK_ID["deblur"]])), net(image))


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_that_do_not_divide_the_width_are_refused(heads):
    with pytest.raises(InputError, match=f"coarse_heads {heads}: expected a divisor of coarse_dim 8"):
        CoarseToFine(coarse_dim=8, coarse_heads=heads)


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        ([], "experts: expected at least one"),
        ([["fog"]], "experts: unknown degradation 'fog'"),
        ([["denoise"], ["denoise_25", "derain"]], "experts: denoise_25 stands twice"),
    ],
)
def test_experts_for_nothing_known_or_for_the_same_are_refused(experts, message):
    with pytest.raises(InputError, match=message):
        CoarseToFine(experts=experts)
