"""PromptIR: the official release, sizes from `dim`, prompts, and which parameters learn."""

import pytest
import torch
import torch.nn.functional as F

from aio.nets.base import count_parameters
from aio.nets.promptir import PromptGenBlock, PromptIR
from golden.fill import fill_state_dict, golden_input
from support import assert_official

UNUSED = {f"chnl_reduce{i}.weight" for i in (1, 2, 3)} | {f"reduce_noise_channel_{i}.weight" for i in (1, 2, 3)}


def small(**arguments):
    return PromptIR(**{"dim": 12, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1} | arguments)


def test_equals_the_official_release():
    net = PromptIR()
    assert count_parameters(net) == 35_592_263
    assert_official(net, "promptir")


@pytest.mark.parametrize(("dim", "prompts"), [(24, (32, 64, 160)), (48, (64, 128, 320)), (96, (128, 256, 640))])
def test_every_width_follows_dim(dim, prompts):
    with torch.device("meta"):
        paper = small(dim=48)
    net = small(dim=dim)
    with torch.no_grad():
        assert net(torch.rand(1, 3, 8, 16)).shape == (1, 3, 8, 16)
    assert tuple(p.conv3x3.out_channels for p in (net.prompt1, net.prompt2, net.prompt3)) == prompts
    for key, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.in_channels > 3 and ".ffn." not in key:
            assert layer.in_channels * 48 == paper.get_submodule(key).in_channels * dim, key


@pytest.mark.parametrize("dim", [2, 8, 10, 22])
def test_widths_that_the_prompts_do_not_divide(dim):
    assert small(dim=dim, heads=(1, 2, 4, 8))(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_a_prompt_is_the_mean_that_the_features_choose():
    block = PromptGenBlock(width=6, channels=4, size=4, length=3)
    with torch.no_grad():
        block.linear_layer.weight.zero_()
        block.linear_layer.bias.copy_(torch.tensor([0.0, 200.0, 0.0]))
        expected = F.interpolate(block.prompt_param[:, 1], (8, 6), mode="bilinear")
        expected = F.conv2d(expected, block.conv3x3.weight, padding=1)
        torch.testing.assert_close(block(torch.rand(2, 6, 8, 6)), expected.expand(2, -1, -1, -1))

        block.linear_layer.weight[0, 0] = 1000.0
        features = torch.zeros(2, 6, 8, 6)
        features[1, 0] = 1.0
        first, second = block(features)
        torch.testing.assert_close(first, expected[0])
        assert not torch.allclose(second, expected[0], atol=0.01)


def test_other_channels_in_and_out():
    net = small(inp_channels=1, out_channels=1)
    assert net.in_channels == net.out_channels == 1
    assert net(torch.rand(1, 1, 8, 16)).shape == (1, 1, 8, 16)


def test_every_parameter_learns_but_the_six_that_the_release_skips():
    net = small()
    net.load_state_dict(fill_state_dict(net.state_dict()))
    net(golden_input((2, 3, 16, 16))).square().mean().backward()
    assert {name for name, p in net.named_parameters() if p.grad is None} == UNUSED
    assert {name for name, p in net.named_parameters() if not p.requires_grad} == UNUSED
    assert [name for name, p in net.named_parameters() if p.grad is not None and not p.grad.any()] == []
