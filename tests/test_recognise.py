"""A bare state dict is recognised by its keys and shapes; what belongs to no network is refused with a hint."""

import inspect

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.errors import InputError
from aio.presets import list_presets, net_preset
from aio.recognise import preset_of, recognise
from aio.weights import build_net
from support import GOLDEN, official_keys

RELEASES = sorted(path.name.removesuffix(".keys.txt") for path in GOLDEN.glob("*.keys.txt"))
# Presets which have the keys of another one, the answer.
TWINS = {"fixformer": "stoformer", "grla_x2": "dctlsa_x2", "grla_x3": "dctlsa_x3", "grla_x4": "dctlsa_x4"}


def net(class_path, **init_args):
    return {"class_path": f"aio.nets.{class_path}", "init_args": init_args}


def on_meta(config):
    with torch.device("meta"):
        return build_net(config, "test")


def shapes_of(config):
    return {key: tuple(value.shape) for key, value in on_meta(config).state_dict().items()}


def released(name):
    return {key: shape for key, (shape, _) in official_keys(name).items()}


@pytest.mark.parametrize("name", RELEASES)
def test_every_release_at_its_width_and_at_half(name):
    config = recognise(released(name))
    built = on_meta(config)
    assert {key: tuple(value.shape) for key, value in built.state_dict().items()} == released(name)
    assert preset_of(config) == (None if name == "grla_seed_x4_layernorm" else name)

    default = inspect.signature(type(built).__init__).parameters["dim"].default
    dim = config["init_args"].get("dim", default)
    config["init_args"]["dim"] = 30 if dim == 55 else dim // 2  # its five heads must divide it
    assert recognise(shapes_of(config)) == config


@pytest.mark.parametrize("name", sorted(set(list_presets()) - set(RELEASES)))
def test_every_preset_without_a_release(name):
    found = recognise(shapes_of(net_preset(name)))
    assert preset_of(found) == preset_of(net_preset(TWINS.get(name, name)))


def test_defaults_are_left_out():
    assert recognise(released("restormer")) == net("restormer.Restormer")
    assert recognise(released("airnet") | {"E.E.queue": (256, 768)}) == net("airnet.AirNet", queue_length=768)
    assert recognise(released("moce_ir_s")) == net("moce_ir.MoCEIR", dim=32)


def test_the_answer_is_plain_data():
    shapes = {key: torch.Size(shape) for key, shape in released("nafnet_gopro_width32").items()}
    arguments = {"dim": 32, "middle_blk_num": 1, "enc_blk_nums": [1, 1, 1, 28], "dec_blk_nums": [1, 1, 1, 1]}
    config = recognise(dict(reversed(shapes.items())))
    assert config == net("nafnet.NAFNet", **arguments)
    assert {type(value) for value in config["init_args"].values()} == {int, list}


@pytest.mark.parametrize(
    "config",
    [
        net("restormer.Restormer", dim=2),  # 2.63 would do as well as 2.66, which is meant
        # The ranks of 0.29 to 0.2912, save that int(100 * 0.29) is 28.
        net("lora_restormer.LoraRestormer", dim=100, num_blocks=[1, 1, 1, 1], lora="plain", lora_ratio_ffn=0.291),
        # As many ranks in DFRG, of the first ratio, as there are of the second.
        net(
            "lora_restormer.LoraRestormer",
            dim=48,
            num_blocks=[1, 1, 1, 1],
            lora="seed",
            lora_ratio_attn=0.5,
            lora_ratio_ffn=0.3,
            use_dfrg=True,
            use_experts=False,
        ),
        net("promptir.PromptIR", dim=16, heads=[1, 2, 2, 4], bias=True, LayerNorm_type="BiasFree"),
        net("adair.AdaIR", inp_channels=1, out_channels=1, dim=16, num_blocks=[1, 2, 1, 3], ffn_expansion_factor=2.5),
        net("moce_ir.MoCEIR", dim=16, num_dec_blocks=[1, 2, 3], num_experts=3, ffn_expansion_factor=2.66),
        net("symunet.SymUNet", dim=8, enc_blk_nums=[1, 2], dec_blk_nums=[3, 1], heads=[2, 4, 8]),
        net("nafnet.NAFNet", img_channel=1, dim=8, enc_blk_nums=[1, 0, 2], dec_blk_nums=[1, 1, 1]),
        net("airnet.AirNet", dim=8, num_groups=2, num_blocks=3, queue_length=256),
        net("stoformer.Stoformer", dim=8, num_blocks=[1, 1, 2, 1, 3], heads=[1, 1, 2, 4, 8]),
        net(
            "hybrid_stoformer.HybridStoformer",
            backbone="resnet18",
            backbone_channels=[16, 32, 32, 64],
            dim=8,
            num_blocks=[1, 2, 1, 1, 1],
            heads=[8, 8, 4, 2, 1],
        ),
        net("davit_sr.DaViTSR", scale=2, in_channels=1, out_channels=1, dim=32, num_blocks=3),
        net("dctlsa.DCTLSA", scale=3, dim=20, num_blocks=11),
        net("grla_seed.GRLASeed", scale=2, dim=20, num_blocks=3, layer_norm=True),
    ],
    ids=lambda config: config["class_path"].rpartition(".")[2],
)
def test_sizes_nobody_published(config):
    assert recognise(shapes_of(config)) == config


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    dim=st.sampled_from([4, 8, 12, 48]),
    num_blocks=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    heads=st.lists(st.sampled_from([1, 2, 4]), min_size=4, max_size=4),
    ffn_expansion_factor=st.floats(1, 4),
    inp_channels=st.integers(1, 8),
    out_channels=st.integers(1, 8),
    bias=st.booleans(),
    LayerNorm_type=st.sampled_from(["WithBias", "BiasFree"]),
    dual_pixel_task=st.booleans(),
)
def test_any_restormer(**arguments):
    shapes = shapes_of(net("restormer.Restormer", **arguments))
    found = recognise(shapes)
    assert found["class_path"] == "aio.nets.restormer.Restormer"
    assert shapes_of(found) == shapes


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    dim=st.sampled_from([16, 24, 48]),
    gate=st.sampled_from(["headwise", "elementwise"]),
    lora=st.sampled_from(["none", "plain", "spatial", "seed"]),
    lora_ratio_attn=st.floats(0, 1.1),
    lora_ratio_ffn=st.floats(0, 1.1),
    use_dfrg=st.booleans(),
    use_csff=st.booleans(),
    num_tasks=st.none() | st.integers(1, 20),
)
def test_any_lora_restormer(num_tasks, **arguments):
    small = {"num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1}
    # Experts start from the last layer of a dense gate.
    experts = {"use_experts": False} if num_tasks is None or arguments["lora"] == "seed" else {"num_tasks": num_tasks}
    shapes = shapes_of(net("lora_restormer.LoraRestormer", **arguments, **small, **experts))
    found = recognise(shapes)
    assert found["class_path"] == "aio.nets.lora_restormer.LoraRestormer"
    assert shapes_of(found) == shapes


@settings(max_examples=10, derandomize=True, deadline=None)
@given(
    coarse_dim=st.sampled_from([16, 24, 48]),
    coarse_heads=st.sampled_from([1, 2, 8]),
    coarse_blocks=st.integers(1, 3),
    ffn_expansion_factor=st.sampled_from([2.0, 2.66]),
    dim=st.integers(1, 20),
    num_blocks=st.integers(1, 3),
    experts=st.sampled_from([[["derain"]], [["denoise"], ["derain"], ["lol", "dehaze"], ["deblur"]], [[]] * 5]),
)
def test_any_coarse_to_fine(**arguments):
    shapes = shapes_of(net("coarse_to_fine.CoarseToFine", **arguments))
    found = recognise(shapes)
    assert found["class_path"] == "aio.nets.coarse_to_fine.CoarseToFine"
    assert shapes_of(found) == shapes
    assert found["init_args"].get("coarse_heads", 8) == arguments["coarse_heads"]


def test_a_lora_restormer_without_its_parts_is_a_restormer():
    parts = {"gate": "none", "lora": "none", "use_dfrg": False, "use_csff": False}
    shapes = shapes_of(net("lora_restormer.LoraRestormer", dim=16, **parts))
    assert recognise(shapes)["class_path"] == "aio.nets.restormer.Restormer"
    assert shapes_of(recognise(shapes)) == shapes


def refusal(shapes):
    with pytest.raises(InputError) as caught:
        recognise(shapes, "some.pth")
    message = str(caught.value)
    assert message.startswith("some.pth: ")
    return message


@pytest.mark.parametrize(
    ("name", "key", "nearest"),
    [
        ("restormer", "latent.3.norm1.body.weight", "Restormer (493 of its 494 keys)"),
        ("restormer", "output.weight", "Restormer (493 of its 494 keys)"),
        ("adair", "fre1.para1", "AdaIR (586 of its 587 keys)"),  # the tell-tale
        ("airnet", "R.body.2.body.1.conv1.bias", "AirNet (583 of its 584 keys)"),
        ("nafnet_sidd_width32", "encoders.3.7.conv5.weight", "NAFNet (663 of its 664 keys)"),
        ("dctlsa_x4", "c3.0.bias", "DCTLSA (545 of its 546 keys), GRLA (545 of its 546 keys)"),
    ],
)
def test_a_missing_key(name, key, nearest):
    shapes = released(name)
    del shapes[key]
    message = refusal(shapes)
    assert f"Nearest: {nearest}" in message
    assert message.endswith(f"{key} is missing")


def test_a_changed_shape_is_measured_by_the_net_of_that_width():
    shapes = shapes_of(net("restormer.Restormer", dim=24))
    shapes["latent.2.ffn.dwconv.weight"] = (1000, 1, 3, 3)
    message = refusal(shapes)
    assert "Nearest: Restormer (494 of its 494 keys)" in message
    assert message.endswith(
        "For Restormer, latent.2.ffn.dwconv.weight has shape (1000, 1, 3, 3), expected (1020, 1, 3, 3)"
    )


def test_a_surplus_key():
    message = refusal(released("symunet") | {"ema.decay": ()})
    assert message.endswith("For SymUNet, ema.decay has no place in it")


def test_low_ranks_of_no_ratio():
    config = net("lora_restormer.LoraRestormer", dim=16, lora="plain", lora_ratio_ffn=0.5)
    shapes = shapes_of(config)
    squeeze = "encoder_level2.0.ffn.project_in.conv1.weight"
    shapes[squeeze] = (5, *shapes[squeeze][1:])
    message = refusal(shapes)
    assert "Nearest: LoraRestormer" in message
    assert message.endswith(f"{squeeze} has shape (5, 32, 1, 1), expected (16, 32, 1, 1)")


def test_at_most_three_differences_are_told():
    message = refusal({key: (*shape, 1) for key, shape in released("restormer_gray_biasfree").items()})
    assert message.count(" has shape ") == 3
    assert message.count(" keys)") == 3


def test_other_weights():
    with torch.device("meta"):
        resnet = torchvision.models.resnet18(weights=None)
    message = refusal({key: tuple(value.shape) for key, value in resnet.state_dict().items()})
    assert "no network here has any of these keys; expected the weights of one of AdaIR, AirNet, " in message
    assert "has any of these keys" in refusal({})


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # from torch, beside the refusal
@pytest.mark.parametrize("shape", [(), (0, 0, 0, 0), (10**9, 10**9, 3, 3), (-1, -1)])
@pytest.mark.parametrize("key", ["patch_embed.proj.weight", "encoder_level1.0.attn.temperature"])
def test_absurd_shapes(key, shape):
    refusal(released("restormer") | {key: shape})


def test_heads_that_cannot_be_told():
    message = refusal(shapes_of(net("dctlsa.DCTLSA", dim=27, num_heads=3)))
    assert "DCTLSA 27 wide do not tell its heads, and the usual 5 do not divide 27" in message


def test_preset_of_ignores_order_defaults_and_kind_of_sequence():
    spelt_out = {"heads": (1, 2, 4, 8), "LayerNorm_type": "BiasFree", "dim": 48, "num_blocks": [4, 6, 6, 8]}
    assert preset_of(net("restormer.Restormer", **spelt_out)) == "restormer_color_biasfree"
    assert preset_of(net("grla.GRLA", scale=2)) == "grla_x2"
    assert preset_of(net("restormer.Restormer", dim=50)) is None
    assert preset_of(net("elsewhere.Net")) is None
