"""AirNet: the official release's outputs, and the laws of its contrastive encoder."""

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
    net, image = tiny().train(mode), views()[0]
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
    net.contrastive(*views())
    torch.testing.assert_close([k.detach() for _, k in pairs], [e.detach() for e in expected])


def test_only_the_query_encoder_learns_from_the_loss():
    net = tiny()
    net.contrastive(*views()).backward()
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
        net.contrastive(query, key)
        for vector in embedded(moco.encoder_k, key):
            expected[place] = vector
            place = (place + 1) % 5
        torch.testing.assert_close(moco.queue, torch.stack(expected, dim=1))
        assert moco.queue_ptr.tolist() == [place]


def test_a_batch_longer_than_the_queue_is_refused():
    with pytest.raises(ValueError, match=r"batch of 6 keys .* length 5"):
        tiny().contrastive(*views(6))


def test_loss_is_the_cross_entropy_of_the_own_key_among_the_queue():
    net = tiny()
    moco = net.E.E
    query, key = views()
    queue = moco.queue.double().numpy()
    loss = net.contrastive(query, key).item()
    q = embedded(moco.encoder_q, query).double().numpy()
    k = embedded(moco.encoder_k, key).double().numpy()
    own = np.exp((q * k).sum(1) / 0.07)
    others = np.exp(q @ queue / 0.07).sum(1)
    assert loss == pytest.approx(-np.log(own / (own + others)).mean(), abs=1e-5)


def test_mixed_precision_keeps_the_loss_in_float32():
    image, key = views()
    exact, mixed = tiny(), tiny()
    with torch.autocast("cpu", torch.bfloat16):
        out, loss = mixed(image), mixed.contrastive(image, key)
    torch.testing.assert_close(out.float(), exact(image), atol=0.05, rtol=0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.contrastive(image, key).item(), rel=0.1, abs=0.05)
