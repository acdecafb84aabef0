"""Hybrid Stoformer: counts and outputs of the published code, its windows, where its encoder's weights come from."""

import pytest
import timm
import torch

from aio.errors import InputError
from aio.nets.base import count_parameters
from aio.nets.hybrid_stoformer import HybridStoformer
from aio.nets.stoformer import ALL_OFFSETS, FAST_OFFSETS
from support import assert_official
from tiny_nets import TINY


def tiny(**changes):
    torch.manual_seed(0)
    return HybridStoformer(**TINY["hybrid_stoformer"][1] | changes)


@pytest.mark.parametrize(("backbone", "parameters"), [("resnet18", 51_303_085), ("resnet34", 61_411_245)])
def test_equals_the_published_code(backbone, parameters):
    net = HybridStoformer(backbone=backbone)
    assert count_parameters(net) == parameters
    assert_official(net, f"hybrid_stoformer_{backbone}")


def test_resnet50_has_the_published_count():
    with torch.device("meta"):
        assert count_parameters(HybridStoformer(backbone="resnet50")) == 65_367_213


def test_evaluation_averages_over_all_windows_unless_told_otherwise():
    assert HybridStoformer().conv.blocks[0].eval_offsets == ALL_OFFSETS
    assert tiny(eval_windows="fast").decoderlayer_3.blocks[0].eval_offsets == FAST_OFFSETS


def test_the_encoder_is_timms_resnet():
    net = tiny().eval()
    theirs = timm.create_model("resnet18", features_only=True, channels=(8, 8, 16, 16)).eval()
    theirs.load_state_dict(net.cnn_extractor.state_dict())
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for ours, expected in zip(net._encode(image), theirs(image), strict=True):
            torch.testing.assert_close(ours, expected)


def test_pretrained_is_no_property_of_a_trained_net(monkeypatch):
    asked = []
    build = timm.create_model

    def create_model(name, pretrained, **arguments):
        asked.append(pretrained)
        return build(name, pretrained=False, **arguments)

    monkeypatch.setattr(timm, "create_model", create_model)
    net = tiny(pretrained=True)
    assert asked == [True]
    HybridStoformer(**net.config["init_args"])
    assert asked == [True, False]


def test_weights_out_of_reach_are_said_by_name(monkeypatch):
    def create_model(name, **arguments):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(InputError, match=r"weights of resnet18 cannot be .* \(OSError\).*pretrained false"):
        tiny(pretrained=True)


@pytest.mark.parametrize("backbone", ["vgg16", "resnet", "resnet18.a1_in1k"])
def test_another_backbone_is_refused(backbone):
    with pytest.raises(InputError, match=f"backbone '{backbone}': expected one of resnet18"):
        tiny(backbone=backbone)


def test_training_mean_approaches_the_expectation():
    """Over many draws of one block's window offset the mean output is the evaluation's: within five standard errors."""
    block = tiny(drop_path_rate=0.0, eval_windows="all").decoderlayer_3.blocks[0]
    with torch.no_grad():
        block.relative_position_bias_table.normal_(std=2.0)
        x = torch.randn(1, 16, 16, 16)
        expected = block.eval().attend(block.norm1(x), ALL_OFFSETS)
        torch.manual_seed(1)
        draws = torch.stack([block.attend(block.norm1(x), [block._draw()]) for _ in range(400)])
    error = draws.std(dim=0) / len(draws) ** 0.5
    assert float(((draws.mean(dim=0) - expected).abs() / (error + 1e-6)).quantile(0.999)) < 5
    assert float((draws.mean(dim=0) - draws[0]).abs().max()) > 10 * float((draws.mean(dim=0) - expected).abs().max())


def moved_apart(windows, step):
    """Largest difference between the residual moved by `step` columns and that of the image moved by them, in standard
    deviations, and as far from the sides as these are seen: 224, 112, 56, 28 and 14 pixels by the windows of the five
    stages, 63 by their LeFFs, 217 by the encoder.
    """
    margin, width = 736, 1536
    net = tiny(eval_windows=windows).eval()
    with torch.no_grad():
        for name, table in net.named_parameters():
            if name.endswith(("bias_table", "to_q.weight", "to_kv.weight")):
                table.normal_(std=0.5)
        image = torch.rand(1, 3, 32, width + step)
        still, moved = net(image[..., :width]) - image[..., :width], net(image[..., step:]) - image[..., step:]
    here, there = still[..., margin + step : width - margin], moved[..., margin : width - margin - step]
    return ((here - there).abs().max() / still.std()).item()


def test_all_windows_move_with_the_image_by_what_the_deepest_maps_resolve():
    """The encoder's last map and the bottleneck are at 1/32: a translation by 32 pixels moves the output by 32, and
    one by a single pixel does not. One window offset alone has a period of 8 of that map's pixels, 256 of the image."""
    assert moved_apart("all", 32) < 1e-4
    assert moved_apart("all", 1) > 0.5
    assert moved_apart([(0, 0)], 32) > 0.5
