"""Every loss against numbers worked out by hand; the perceptual one with random weights of VGG-16."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aio.errors import InputError
from aio.losses.edge import EdgeDifference, EdgeWeighted, sobel
from aio.losses.frequency import Frequency
from aio.losses.mixture import Mixture
from aio.losses.perceptual import Perceptual
from aio.losses.pixel import L1, L2, PIXEL_LOSSES, Charbonnier, NegativePSNR

RESTORED = torch.tensor([0.0, 0.5, 1.0, 0.25]).view(1, 1, 2, 2)
CLEAN = torch.tensor([0.0, 0.0, 0.5, 0.5]).view(1, 1, 2, 2)
IMPULSE = torch.zeros(1, 1, 3, 3)
IMPULSE[..., 1, 1] = 1.0
ROOT_2 = math.sqrt(2)


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """The file that timm's VGG-16 would give, with random weights."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.manual_seed(0)
    state = timm.create_model("vgg16.tv_in1k", pretrained=False).state_dict()
    torch.save({key: value for key, value in state.items() if key.startswith("features.")}, path)
    return str(path)


@pytest.fixture(scope="module")
def perceptual(vgg_file):
    return Perceptual(vgg_file)


def noisy_pair(seed=0, side=16):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(2, 3, side, side, generator=generator)
    return (clean + 0.1 * torch.randn(clean.shape, generator=generator)).requires_grad_(), clean


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (L1(), (0 + 0.5 + 0.5 + 0.25) / 4),
        (L2(), (0 + 0.25 + 0.25 + 0.0625) / 4),
        (Charbonnier(eps=0.5), (0.5 + 2 * math.sqrt(0.5) + math.sqrt(0.0625 + 0.25)) / 4),
        (NegativePSNR(), 10 * math.log10((0 + 0.25 + 0.25 + 0.0625) / 4)),
        (Frequency(), (0.75 + 0.25 + 0.25 + 1.25) / 8),  # of sums and differences; all imaginary parts are 0
    ],
    ids=["l1", "l2", "charbonnier", "psnr", "frequency"],
)
def test_pixel_losses_by_hand(loss, expected):
    assert loss(RESTORED, CLEAN).item() == pytest.approx(expected, rel=1e-6)


def test_charbonnier_is_eps_at_its_foot_with_a_gradient_of_zero():
    restored = CLEAN.clone().requires_grad_()
    loss = Charbonnier()(restored, CLEAN)
    loss.backward()
    assert loss.item() == pytest.approx(1e-3, rel=1e-6)
    assert restored.grad.abs().max() == 0


def test_negative_psnr_is_the_mean_over_images_and_has_a_floor():
    black = torch.zeros(2, 3, 4, 4)
    grays = torch.tensor([0.1, 0.001]).view(2, 1, 1, 1).expand_as(black)
    assert NegativePSNR()(grays, black).item() == pytest.approx((-20 - 60) / 2, abs=0.03)
    assert NegativePSNR()(black, black).item() == pytest.approx(-80)


def test_a_ceiling_takes_the_weight_from_images_that_are_nearly_right():
    clean = torch.zeros(2, 3, 4, 4)
    restored = torch.tensor([0.1, 0.001]).view(2, 1, 1, 1).expand_as(clean).clone().requires_grad_()
    assert NegativePSNR(ceiling=40)(clean, clean).item() == pytest.approx(-40)
    shares = []
    for ceiling in (80, 40):
        (gradient,) = torch.autograd.grad(NegativePSNR(ceiling)(restored, clean), restored)
        worse, nearly_right = gradient.flatten(1).norm(dim=1)
        shares.append((nearly_right / worse).item())
    # e / (e^2 + eps), of e = 0.001 over e = 0.1.
    assert shares == pytest.approx([99, 1], rel=0.01)


@given(st.integers(1, 9), st.integers(1, 9))
def test_frequency_against_numpy(height, width):
    rng = np.random.default_rng([height, width])
    restored, clean = rng.random((2, 2, 3, height, width), dtype=np.float32)
    apart = np.fft.rfft2(restored) - np.fft.rfft2(clean)
    expected = (np.abs(apart.real).mean() + np.abs(apart.imag).mean()) / 2
    assert Frequency()(torch.from_numpy(restored), torch.from_numpy(clean)).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 9), (64, 32)])
def test_a_constant_offset_costs_about_itself_in_frequency(height, width):
    clean = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    expected = 0.25 * width / (2 * (width // 2 + 1))
    assert Frequency()(clean - 0.25, clean).item() == pytest.approx(expected, rel=1e-4)


def test_white_noise_costs_in_frequency_as_its_deviation_and_the_side():
    noise = 0.1 * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert Frequency()(noise, torch.zeros_like(noise)).item() == pytest.approx(0.1 * 128 / math.sqrt(math.pi), rel=0.02)


def test_sobel_by_hand():
    """Zeros stand outside; both channels are filtered alike and apart."""
    image = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    gradient = sobel(torch.cat([image, 2 * image], dim=1))
    assert gradient.shape == (1, 2, 2, 3, 3)
    assert gradient[0, 0, :, 1, 1].tolist() == [(3 - 1) + 2 * (6 - 4) + (9 - 7), (7 - 1) + 2 * (8 - 2) + (9 - 3)]
    assert gradient[0, 0, :, 0, 0].tolist() == [2 * 2 + 5, 2 * 4 + 5]
    assert gradient[0, 0, :, 2, 1].tolist() == [(6 - 4) + 2 * (9 - 7), -(4 + 2 * 5 + 6)]
    assert torch.equal(gradient[:, 1], 2 * gradient[:, 0])


def test_edge_difference_of_an_impulse_by_hand():
    """Its derivatives are the kernels turned by half: 4 times 1, 2 times 2, 3 times 0, for each of the two."""
    eps = EdgeDifference.eps
    values = [1.0] * 4 + [2.0] * 2 + [0.0] * 3
    expected = sum(math.sqrt(value**2 + eps**2) for value in values) / 9
    assert EdgeDifference()(IMPULSE, torch.zeros_like(IMPULSE)).item() == pytest.approx(expected, rel=1e-6)


def test_edge_difference_of_equal_images_is_eps():
    restored, _ = noisy_pair()
    assert EdgeDifference()(restored, restored.detach()).item() == pytest.approx(EdgeDifference.eps, rel=1e-5)


def test_edge_weighted_by_hand():
    """E of the impulse is sqrt 2 in the corners, 2 beside it, 0 upon it: only an error on an edge counts."""
    restored = IMPULSE.clone()
    restored[..., 0, 0] += 0.5
    restored[..., 1, 1] -= 0.75
    assert EdgeWeighted()(restored, IMPULSE).item() == pytest.approx(0.5 * ROOT_2 / (4 * ROOT_2 + 4 * 2), rel=1e-6)


def test_edge_weighted_of_a_black_image_is_l1():
    black = torch.zeros(1, 3, 4, 4)
    restored = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert EdgeWeighted()(restored, black).item() == pytest.approx(restored.mean().item(), rel=1e-6)


@pytest.mark.parametrize(
    "loss", [*(kind() for kind in PIXEL_LOSSES.values()), EdgeDifference(), EdgeWeighted(), Frequency()]
)
def test_losses_are_float32_under_bfloat16(loss):
    restored, clean = noisy_pair()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(restored, clean)
    assert mixed.dtype == torch.float32
    assert mixed.item() == loss(restored, clean).item()
    assert loss(restored.bfloat16(), clean).dtype == torch.float32


def test_perceptual_is_zero_for_equal_images_alone(perceptual):
    restored, clean = noisy_pair()
    assert perceptual(clean, clean).item() == 0
    assert perceptual(restored, clean).item() > 0


def test_perceptual_is_the_mean_distance_of_three_levels(vgg_file, perceptual):
    """Against torchvision's order of layers, counted by hand: relu2_2, relu3_3 and relu4_3 are features 8, 15, 22."""
    whole = timm.create_model("vgg16.tv_in1k", pretrained=False)
    whole.load_state_dict(torch.load(vgg_file, weights_only=True), strict=False)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    restored, clean = noisy_pair()
    levels: list[list[torch.Tensor]] = []
    for image in (restored, clean):
        x, kept = (image - mean.view(3, 1, 1)) / std.view(3, 1, 1), []
        for i, layer in enumerate(whole.features[:23]):
            x = layer(x.clone())
            kept += [x] if i in (8, 15, 22) else []
        levels.append(kept)
    expected = sum((a - b).abs().mean() for a, b in zip(*levels, strict=True)) / 3
    assert perceptual(restored, clean).item() == pytest.approx(expected.item(), rel=1e-5)


def test_perceptual_is_float32_under_bfloat16(perceptual):
    restored, clean = noisy_pair()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = perceptual(restored, clean)
    assert mixed.dtype == torch.float32
    assert mixed.item() == perceptual(restored, clean).item()


def test_gradients_reach_the_restored_image_only(perceptual):
    restored, clean = noisy_pair()
    clean.requires_grad_()
    perceptual.train()
    perceptual(restored, clean).backward()
    assert restored.grad.abs().sum() > 0
    assert clean.grad is None
    assert all(parameter.grad is None for parameter in perceptual.parameters())


def test_without_network_and_file_the_message_says_what_to_do():
    with pytest.raises(InputError, match=r"cannot be downloaded .* --loss\.vgg_weights .* --perceptual_weight 0"):
        Perceptual()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a file of plain weights"),
        (b"no weights at all", "not a file of plain weights"),
        ([1, 2], "holds a list"),
        ({1: torch.zeros(2)}, "features_0.weight is missing"),
        ({"features.0.weight": torch.zeros(2)}, "features_0.weight is missing or of another shape"),
    ],
    ids=["empty", "text", "list", "no_names", "shape"],
)
def test_a_wrong_file_is_named(tmp_path, content, says):
    path = tmp_path / "wrong.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=says) as raised:
        Perceptual(str(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert "--loss.vgg_weights" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_truncated_file_and_a_missing_one_are_named(tmp_path, vgg_file):
    half = tmp_path / "half.pth"
    half.write_bytes(Path(vgg_file).read_bytes()[:1_000_000])
    for path in (half, tmp_path / "none.pth"):
        with pytest.raises(InputError, match=path.name):
            Perceptual(str(path))


def test_mixture_names_its_terms_and_weighs_their_sum():
    mixture = Mixture(l1=(L1(), 2.0), l2=(L2(), 0.5), off=(Charbonnier(), 0.0))
    terms = mixture(RESTORED, CLEAN)
    assert {name: value.item() for name, value in terms.items()} == {"l1": 0.3125, "l2": 0.140625}
    assert mixture.total(terms).item() == 2 * 0.3125 + 0.5 * 0.140625


def test_a_factor_scales_the_sum_alone_and_at_zero_keeps_the_graph():
    mixture, restored = Mixture(l1=(L1(), 2.0)), RESTORED.clone().requires_grad_()
    mixture.factor = 0.0
    terms = mixture(restored, CLEAN)
    total = mixture.total(terms)
    total.backward()
    assert (terms["l1"].item(), total.item()) == (0.3125, 0)
    assert not restored.grad.any()
    mixture.factor = 1.0
    assert mixture.total(terms).item() == 2 * 0.3125


def test_mixture_without_a_term_is_refused():
    with pytest.raises(InputError, match="at least one term"):
        Mixture(l1=(L1(), 0.0))


def test_mixture_stays_out_of_its_holder(perceptual):
    """Neither saved, nor averaged (a copy holds the same networks), nor optimised."""
    holder = nn.Module()
    holder.criterion = Mixture(perceptual=(perceptual, 1.0))
    assert not holder.state_dict()
    assert not list(holder.parameters())
    copied = copy.deepcopy(holder)
    assert copied.criterion is holder.criterion


def test_losses_can_be_pickled():
    mixture = Mixture(l1=(L1(), 1.0), edge=(EdgeDifference(), 0.05))
    again = pickle.loads(pickle.dumps(mixture))
    assert again(RESTORED, CLEAN)["l1"].item() == 0.3125
