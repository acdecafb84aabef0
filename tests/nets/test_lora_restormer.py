"""LoRA-gate Restormer: published sizes, plain Restormer when all is off, gates, task, one-image training."""

import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from einops import rearrange

from aio.nets.base import count_parameters
from aio.nets.dfrg import UNKNOWN_TASK
from aio.nets.lora_restormer import GatedMDTA, LoraRestormer
from aio.nets.restormer import Restormer
from golden.fill import fill_state_dict, golden_input

PRESETS = Path(__file__).parents[2] / "conf" / "net"
OFF = {"gate": "none", "lora": "none", "use_dfrg": False, "use_csff": False}
ALL = {"gate": "headwise", "lora": "spatial", "lora_ratio_ffn": 0.5, "use_dfrg": True, "use_csff": True}
SMALL = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}


def preset(name, **changes):
    config = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    assert config["class_path"] == "aio.nets.lora_restormer.LoraRestormer"
    return LoraRestormer(**config["init_args"] | changes)


@pytest.mark.parametrize(
    ("name", "changes", "parameters", "keys"),
    [
        ("lora_restormer_base", {}, 22_723_552, 846),
        ("lora_restormer_base", {"gate": "none"}, 21_207_328, 846),
        ("lora_restormer_base", {"lora": "none"}, 28_009_588, 494),
        ("lora_restormer_base", {"lora": "none", "gate": "headwise"}, 26_165_032, 494),
        ("lora_restormer_seed", {}, 25_856_276, 4520),
        ("lora_restormer_seed", {"gate": "headwise"}, 24_417_888, 4520),
        ("lora_restormer_seed", {"gate": "none"}, 24_387_284, 4520),
        ("lora_restormer_seed", {"lora": "none"}, 29_539_012, 824),
    ],
)
def test_published_networks_have_their_size(name, changes, parameters, keys):
    with torch.device("meta"):
        net = preset(name, **changes)
    assert count_parameters(net) == parameters
    assert len(net.state_dict()) == keys


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("lora_restormer", 18_300_000),
        ("lora_restormer_full", 18_300_000),
        ("lora_restormer_light", 7_500_000),
        ("lora_restormer_tiny", 700_000),
    ],
)
def test_our_presets_stay_within_their_budget(name, limit):
    with torch.device("meta"):
        assert count_parameters(preset(name)) <= limit


@pytest.mark.parametrize("name", ["lora_restormer", "lora_restormer_full"])
def test_flagship_stays_within_its_macs(name):
    net, image = preset(name).eval(), torch.rand(1, 3, 256, 256)
    with warnings.catch_warnings(action="ignore", category=FutureWarning), torch.no_grad():
        from fvcore.nn import FlopCountAnalysis  # scripts a function as it is imported, and torch deprecates that

        counted = FlopCountAnalysis(net, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert counted.total() <= 42.1e9


def test_the_default_is_the_flagship():
    with torch.device("meta"):
        shapes, expected = (
            {key: tensor.shape for key, tensor in net.state_dict().items()}
            for net in (LoraRestormer(), preset("lora_restormer"))
        )
    assert shapes == expected


@pytest.mark.parametrize("off", [OFF, {**OFF, "lora": "spatial", "lora_ratio_attn": 0, "lora_ratio_ffn": 0}])
def test_all_off_is_plain_restormer_bit_for_bit(off):
    plain, net = Restormer(**SMALL), LoraRestormer(**SMALL, **off)
    state = fill_state_dict(plain.state_dict())
    assert list(state) == list(net.state_dict())
    plain.load_state_dict(state)
    net.load_state_dict(state)
    image = golden_input((2, 3, 16, 24))
    assert torch.equal(net(image), plain(image))
    assert torch.equal(net(image, torch.tensor([0, 3])), plain(image))


@pytest.mark.parametrize("lora", ["none", "plain"])
@pytest.mark.parametrize("gate", ["none", "headwise", "elementwise"])
def test_gated_attention_by_hand(gate, lora):
    torch.manual_seed(0)
    with torch.device("meta"):
        block = LoraRestormer(**SMALL, **OFF | {"gate": gate, "lora": lora}).encoder_level2[0]
    net = block.attn.to_empty(device="cpu")
    assert isinstance(net, GatedMDTA)
    net.load_state_dict(fill_state_dict(net.state_dict()))
    x = torch.randn(2, 16, 4, 5)

    maps = net.qkv_dwconv(net.qkv(x))
    assert maps.shape[1] == {"none": 48, "headwise": 50, "elementwise": 64}[gate]
    q, k, v = maps[:, :16], maps[:, -32:-16], maps[:, -16:]
    q, k, v = (rearrange(t, "b (n c) h w -> b n c (h w)", n=2) for t in (q, k, v))
    cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2)
    out = (cosine * net.temperature).softmax(-1) @ v
    if gate == "headwise":
        out = out * torch.sigmoid(maps[:, 16:18]).flatten(2)[:, :, None]
    out = rearrange(out, "b n c (h w) -> b (n c) h w", h=4)
    if gate == "elementwise":
        out = out * torch.sigmoid(maps[:, 16:32])
    torch.testing.assert_close(net(x, None), net.project_out(out))


def test_both_residual_branches_are_scaled():
    block = LoraRestormer(**SMALL, **ALL).encoder_level1[0]
    x, task = torch.randn(1, 8, 8, 8), torch.tensor([1])
    with torch.no_grad():
        block.gamma1.fill_(0.5)
        block.gamma2.fill_(3)
        middle = x + 0.5 * block.attn(block.norm1(x), task)
        expected = middle + 3 * block.ffn(block.norm2(middle))
        torch.testing.assert_close(block(x, task), expected)


def test_task_changes_the_output_only_where_it_is_known():
    net = LoraRestormer(**SMALL, **ALL).eval()
    image = golden_input((3, 3, 16, 16))
    with torch.no_grad():
        blind = net(image)
        told = net(image, torch.tensor([0, UNKNOWN_TASK, 3]))
        assert torch.equal(net(image, torch.full((3,), UNKNOWN_TASK)), blind)
    changed = (told - blind).abs().amax((1, 2, 3)) > 1e-6
    assert changed.tolist() == [True, False, True]


def test_in_training_half_of_the_samples_are_blind():
    net = LoraRestormer(**SMALL, **ALL)
    image = torch.randint(0, 256, (4, 3, 8, 8)) / 255
    image[:, 0, 4, 4] = torch.tensor([0, 37, 124, 255]) / 255
    task = torch.tensor([5, 5, 6, 6])
    out = net(image, task)
    net.eval()
    torch.testing.assert_close(out, net(image, torch.tensor([5, UNKNOWN_TASK, 6, UNKNOWN_TASK])))


@pytest.mark.parametrize("name", ["lora_restormer", "lora_restormer_full"])
@pytest.mark.parametrize("task", [None, torch.tensor([2])])
def test_flagship_trains_on_one_image(name, task):
    net = preset(name)
    image = golden_input((1, 3, 16, 16))
    image[:, 0, 8, 8] = 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):  # what starts at zero passes no gradient to what lies before it in the first step
        optimizer.zero_grad()
        (net(image, task) - 0.5).abs().mean().backward()
        optimizer.step()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or (task is None and "task_logits" in name), name


@pytest.mark.parametrize("name", ["lora_restormer_full", "lora_restormer_seed", "lora_restormer_base"])
def test_mixed_precision_is_finite_and_near(name):
    net = preset(name, **SMALL).eval()
    image = golden_input((2, 3, 16, 16))
    with torch.no_grad():
        full = net(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = net(image)
    assert half.isfinite().all()
    assert (half - full).abs().max() < 0.05
