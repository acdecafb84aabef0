"""AirNet: the official release's outputs, and the laws of its contrastive encoder."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from aio.nets.airnet import DCN, AirNet
from aio.nets.base import count_parameters
from support import assert_official


def tiny(**changes):
    torch.manual_seed(0)
    return AirNet(**{"dim": 4, "num_groups": 1, "num_blocks": 1, "queue_length": 5} | changes)


def views(count=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, count, 3, 16, 16, generator=generator)


def contrast(net, query, key):
    """The weighted contrastive loss of one training step."""
    net.train()(query)
    return net.extra_losses(key)["contrastive"]


def embedded(encoder, image):
    """Unit vectors of `image` by batch statistics, as in training."""
    with torch.no_grad():
        return F.normalize(encoder(image), dim=1)


def test_equals_the_official_release():
    net = AirNet()
    assert count_parameters(net) == 8_930_313
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 7_610_377
    assert_official(net, "airnet")


def test_restores_any_size_and_half_the_width():
    assert tiny(dim=2).eval()(torch.rand(1, 3, 7, 5)).shape == (1, 3, 7, 5)


def test_deformable_convolution_starts_as_half_a_convolution():
    layer, x = DCN(4), torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(layer(x, torch.rand(1, 4, 8, 8)), 0.5 * F.conv2d(x, layer.weight, padding=1))


@pytest.mark.parametrize("mode", [True, False])
def test_forward_neither_reads_nor_moves_what_only_the_loss_needs(mode):
    net, image = tiny(contrastive_weight=0.0).train(mode), views()[0]
    moco = net.E.E
    expected = net(image)
    with torch.no_grad():
        moco.queue.zero_()
        for parameter in [*moco.encoder_k.parameters(), *moco.encoder_q.E.parameters()]:
            parameter.zero_()
    torch.testing.assert_close(net(image), expected)
    assert not moco.queue.any()
    assert not any(p.any() for p in moco.encoder_k.parameters())
    assert net.extra_losses() == {}


def test_key_encoder_starts_as_the_query_encoder_and_follows_it():
    net = tiny(momentum=0.9)
    moco = net.E.E
    pairs = list(zip(moco.encoder_q.parameters(), moco.encoder_k.parameters(), strict=True))
    assert all(torch.equal(q, k) for q, k in pairs)
    with torch.no_grad():
        for q, _ in pairs:
            q.add_(torch.randn_like(q))
    expected = [0.9 * k + 0.1 * q for q, k in pairs]
    contrast(net, *views())
    torch.testing.assert_close([k.detach() for _, k in pairs], [e.detach() for e in expected])


def test_only_the_query_encoder_learns_from_the_loss():
    net = tiny()
    contrast(net, *views()).backward()
    moco = net.E.E
    assert all(p.grad is not None for p in moco.encoder_q.parameters())
    assert all(p.grad is None for p in [*moco.encoder_k.parameters(), *net.R.parameters()])


def test_queue_starts_with_unit_vectors():
    queue = tiny().E.E.queue
    assert queue.shape == (16, 5)
    torch.testing.assert_close(queue.norm(dim=0), torch.ones(5))


def test_queue_is_a_ring_of_the_newest_keys():
    net = tiny(momentum=0.5)
    moco = net.E.E
    with torch.no_grad():
        moco.encoder_q.mlp[0].weight.normal_()  # thus the keys show whether their encoder moved before them
    expected = list(moco.queue.T.clone())
    place = 0
    for step in range(4):
        query, key = views(seed=step)
        contrast(net, query, key)
        for vector in embedded(moco.encoder_k, key):
            expected[place] = vector
            place = (place + 1) % 5
        torch.testing.assert_close(moco.queue, torch.stack(expected, dim=1))
        assert moco.queue_ptr.tolist() == [place]


def test_a_batch_longer_than_the_queue_is_refused():
    with pytest.raises(ValueError, match=r"batch of 6 keys .* length 5"):
        contrast(tiny(), *views(6))


def test_loss_is_the_cross_entropy_of_the_own_key_among_the_queue():
    net = tiny(contrastive_weight=1.0)
    moco = net.E.E
    query, key = views()
    queue = moco.queue.double().numpy()
    loss = contrast(net, query, key).item()
    q = embedded(moco.encoder_q, query).double().numpy()
    k = embedded(moco.encoder_k, key).double().numpy()
    own = np.exp((q * k).sum(1) / 0.07)
    others = np.exp(q @ queue / 0.07).sum(1)
    assert loss == pytest.approx(-np.log(own / (own + others)).mean(), abs=1e-5)


def test_mixed_precision_keeps_the_loss_in_float32_and_gradients_finite():
    image, key = views()
    exact, mixed = tiny(contrastive_weight=1.0), tiny(contrastive_weight=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        out, loss = mixed(image), mixed.extra_losses(key)["contrastive"]
    torch.testing.assert_close(out.float(), exact(image), atol=0.05, rtol=0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.extra_losses(key)["contrastive"].item(), rel=0.1, abs=0.05)
    (out.float().mean() + loss).backward()
    assert all(p.grad.isfinite().all() for p in mixed.parameters() if p.requires_grad)


def test_the_weight_scales_the_loss():
    one, two = (contrast(tiny(contrastive_weight=weight), *views()).item() for weight in (0.1, 0.25))
    assert one > 0
    assert two == pytest.approx(2.5 * one, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_what_it_declares_is_what_it_does(weight):
    net = tiny(contrastive_weight=weight).train()
    assert net.extra_losses() == {}  # before any training pass
    net(views()[0])
    assert net.wants_second_view is (weight > 0)
    assert tuple(net.extra_losses(views()[1])) == net.own_losses


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_every_trainable_parameter_receives_a_gradient(weight):
    net = tiny(contrastive_weight=weight).train()
    image, key = views()
    (net(image).square().mean() + sum(net.extra_losses(key).values())).backward()
    assert [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    deep = [p for part in (net.E.E.encoder_q.E, net.E.E.encoder_q.mlp) for p in part.parameters()]
    reached = [p.grad is not None and bool(p.grad.any()) for p in deep]
    assert all(reached) if weight else not any(reached)


def test_a_training_pass_is_contrasted_once():
    """Its maps are those of the forward pass: one look of the first block at the batch, one step of the key encoder."""
    net = tiny()
    seen, followed = [], []
    net.E.E.encoder_q.E_pre.register_forward_hook(lambda *_: seen.append(1))
    net.E.E.encoder_k.register_forward_hook(lambda *_: followed.append(1))
    contrast(net, *views())
    assert net.extra_losses(views()[1]) == {}
    assert (len(seen), len(followed)) == (1, 1)
    assert net.E.E.queue_ptr.tolist() == [2]


@pytest.mark.parametrize(("count", "given"), [(None, "none"), (1, "1"), (3, "3")])
def test_a_second_view_of_each_image_is_demanded(count, given):
    net = tiny().train()
    net(views()[0])
    with pytest.raises(ValueError, match=rf"two crops of each image: expected 2 second views, got {given}; "):
        net.extra_losses(None if count is None else torch.rand(count, 3, 16, 16))


def test_evaluation_remembers_nothing():
    net = tiny().train()
    net(views()[0])
    net.eval()(views()[0])
    assert net.extra_losses() == {}


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"contrastive_weight -0\.1"):
        tiny(contrastive_weight=-0.1)


def test_it_can_be_copied_between_forward_and_backward():
    net = tiny().train()
    net(views()[0])
    assert copy.deepcopy(net).extra_losses() == {}
    assert pickle.loads(pickle.dumps(net)).extra_losses() == {}
    net.extra_losses(views()[1])["contrastive"].backward()


def test_compiled_it_gives_the_same_loss():
    plain, compiled = tiny(), tiny()
    compiled.compile(backend="eager", fullgraph=True)
    for step in range(2):
        losses = [contrast(net, *views(seed=step)) for net in (plain, compiled)]
        assert losses[0].item() == losses[1].item()
        losses[1].backward()
    assert all(p.grad is not None for p in compiled.E.E.encoder_q.parameters())


def test_training_lowers_the_contrastive_loss_of_fixed_views():
    """Two views of noise among keys of blocky images; without training all vectors are much alike."""
    net = tiny(queue_length=4)
    for seed in (2, 3):
        contrast(net, *F.interpolate(views(seed=seed).flatten(0, 1)[..., :4, :4], 16).unflatten(0, (2, 2)))
    blocky = net.E.E.queue.clone()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(6):
        net.E.E.queue.copy_(blocky)
        loss = contrast(net, *views())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / net.contrastive_weight)
    assert losses[0] > 0.8 * np.log(5)
    assert losses[-1] < 0.6 * losses[0]
