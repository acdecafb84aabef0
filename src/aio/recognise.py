"""Which network a bare state dict belongs to: the architecture by a tell-tale key, its sizes by the shapes.

What shapes do not tell keeps its default: heads and sides of attention windows, Stoformer's offsets, what only
training uses. Of networks with the same keys the first in the table is meant, and DCTLSA rather than GRLA.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch

from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.nets.lora import MIN_RANK
from aio.presets import list_presets, net_preset

Shapes = Mapping[str, tuple[int, ...]]
Arguments = dict[str, Any]


def _children(shapes: Shapes, prefix: str) -> int:
    """How many modules lie under `prefix`: names up to the next dot."""
    return len({key.removeprefix(prefix).split(".")[0] for key in shapes if key.startswith(prefix)})


def _ratio(pairs: set[tuple[int, int]], usual: float, least: int = 0) -> float:
    """The ratio for which most pairs (whole, part) have part = max(least, int(whole * ratio)).

    Of many such ratios the usual one is taken, or one of the fewest decimals.
    """
    units = [10**digits for digits in range(1, 7)]
    lowest = [(-(-part * unit // whole), unit) for unit in units for whole, part in sorted(pairs)]
    # In floating point a lower bound may fall short itself: int(100 * 0.29) is 28.
    ratios = [usual, *((low + more) / unit for low, unit in lowest for more in (0, 1))]
    return max(ratios, key=lambda ratio: sum(max(least, int(whole * ratio)) == part for whole, part in pairs))


def _ffn_expansion_factor(shapes: Shapes, norm: str, usual: float) -> float:
    """Of all feed-forward networks; `norm` is the layer norm before them."""
    end = "ffn.dwconv.weight"
    hidden = {key.removesuffix(end): shape[0] // 2 for key, shape in shapes.items() if key.endswith(end)}
    return _ratio({(shapes[f"{block}{norm}.body.weight"][0], width) for block, width in hidden.items()}, usual)


_RESTORMER_STAGES: Final = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")


def _restormer_sizes(shapes: Shapes) -> Arguments:
    return {
        "dim": shapes["patch_embed.proj.weight"][0],
        "num_blocks": [_children(shapes, f"{stage}.") for stage in _RESTORMER_STAGES],
        "num_refinement_blocks": _children(shapes, "refinement."),
        "ffn_expansion_factor": _ffn_expansion_factor(shapes, "norm2", usual=2.66),
    }


def _promptir_or_adair(shapes: Shapes) -> Arguments:
    return _restormer_sizes(shapes) | {
        "inp_channels": shapes["patch_embed.proj.weight"][1],
        "out_channels": shapes["output.weight"][0],
        "heads": [shapes[f"{stage}.0.attn.temperature"][0] for stage in _RESTORMER_STAGES],
        "bias": "encoder_level1.0.attn.qkv.bias" in shapes,
        "LayerNorm_type": "WithBias" if "encoder_level1.0.norm1.body.bias" in shapes else "BiasFree",
    }


def _restormer(shapes: Shapes) -> Arguments:
    return _promptir_or_adair(shapes) | {"dual_pixel_task": "skip_conv.weight" in shapes}


def _lora_restormer(shapes: Shapes) -> Arguments:
    sizes, first = _restormer_sizes(shapes), "encoder_level1.0.attn."
    gates = shapes[f"{first}qkv_dwconv.weight"][0] - 3 * sizes["dim"]
    arguments = sizes | {
        "gate": {0: "none", 1: "headwise", sizes["dim"]: "elementwise"}[gates],
        "use_dfrg": f"{first}dfrg.spatial_gate.0.weight" in shapes,
        "use_csff": "csff1.conv_merge.weight" in shapes,
    }
    if arguments["use_dfrg"]:
        experts = shapes.get(f"{first}dfrg.task_logits")
        arguments |= {"use_experts": False} if experts is None else {"num_tasks": experts[0]}
    return arguments | _low_rank(shapes)


def _low_rank(shapes: Shapes) -> Arguments:
    """Kind and ratios of the low-rank convolutions; with `seed`, DFRG's have the ratio of the qkv projection."""
    ends = {"seed": ".spatial_context.1.running_mean", "spatial": ".spatial_context.1.body.weight"}
    ends["plain"] = ".conv1.weight"
    kind = next((kind for kind, end in ends.items() if any(key.endswith(end) for key in shapes)), "none")
    if kind == "none":
        return {"lora": kind}
    squeeze, expand = ("conv1", "conv2") if kind == "plain" else ("conv_down", "conv_up")
    pairs: dict[str, set[tuple[int, int]]] = {"attn": set(), "ffn": set()}
    for key in shapes:
        if key.endswith(f".{squeeze}.weight"):
            rank, inputs = shapes[key][:2]
            outputs = shapes[key.replace(squeeze, expand)][0]
            place = "attn" if ".qkv." in key or ".dfrg." in key else "ffn"
            pairs[place].add((min(inputs, outputs), rank))
    published = {"attn": 0.8, "ffn": 0.5}
    ratios = {place: _ratio(found, published[place], MIN_RANK) if found else 0.0 for place, found in pairs.items()}
    return {"lora": kind, "lora_ratio_attn": ratios["attn"], "lora_ratio_ffn": ratios["ffn"]}


def _coarse_to_fine(shapes: Shapes) -> Arguments:
    usual = _defaults("aio.nets.coarse_to_fine.CoarseToFine")["experts"]
    experts = _children(shapes, "experts.")
    return {
        "coarse_dim": shapes["cells.weight"][0],
        "coarse_blocks": _children(shapes, "coarse."),
        "coarse_heads": shapes["coarse.0.attn.temperature"][0],
        "ffn_expansion_factor": _ffn_expansion_factor(shapes, "norm2", usual=2.66),
        "dim": shapes["experts.0.output.weight"][1],
        "num_blocks": _children(shapes, "experts.0.blocks."),
        "experts": usual if experts == len(usual) else [[]] * experts,  # whose they are matters in training alone
    }


def _moce_ir(shapes: Shapes) -> Arguments:
    dim, inp_channels = shapes["patch_embed.proj.weight"][:2]
    stages = ("enc.0.0", "enc.1.0", "enc.2.0", "latent")
    return {
        "inp_channels": inp_channels,
        "out_channels": shapes["output.weight"][0],
        "dim": dim,
        "num_blocks": [_children(shapes, f"{stage}.layers.") for stage in stages],
        "num_dec_blocks": [_children(shapes, f"dec.{2 - level}.2.layers.") for level in range(3)],
        "num_refinement_blocks": _children(shapes, "refinement.layers."),
        "heads": [shapes[f"{stage}.layers.0.mixer.temperature"][0] for stage in stages],
        "ffn_expansion_factor": _ffn_expansion_factor(shapes, "norms.1", usual=2),
        "num_experts": _children(shapes, "dec.0.2.layers.0.adapter.experts."),
    }


def _nafnet(shapes: Shapes) -> Arguments:
    dim, img_channel = shapes["intro.weight"][:2]
    levels = range(_children(shapes, "downs."))  # a level may be without blocks, but not without its convolution
    return {
        "img_channel": img_channel,
        "dim": dim,
        "middle_blk_num": _children(shapes, "middle_blks."),
        "enc_blk_nums": [_children(shapes, f"encoders.{level}.") for level in levels],
        "dec_blk_nums": [_children(shapes, f"decoders.{level}.") for level in levels],
    }


def _symunet(shapes: Shapes) -> Arguments:
    arguments = _nafnet(shapes)
    stages = [*(f"encoders.{level}" for level in range(len(arguments["enc_blk_nums"]))), "middle_blks"]
    return arguments | {
        "heads": [shapes[f"{stage}.0.attn.temperature"][0] for stage in stages],
        "ffn_expansion_factor": _ffn_expansion_factor(shapes, "norm2", usual=2.66),
        "bias": "middle_blks.0.attn.qkv.bias" in shapes,
        "LayerNorm_type": "WithBias" if "middle_blks.0.norm1.body.bias" in shapes else "BiasFree",
    }


def _airnet(shapes: Shapes) -> Arguments:
    return {
        "dim": shapes["R.head.0.weight"][0],
        "num_groups": _children(shapes, "R.body.") - 1,
        "num_blocks": _children(shapes, "R.body.0.body.") - 1,
        "queue_length": shapes["E.E.queue"][1],
    }


def _stoformer(shapes: Shapes) -> Arguments:
    stages = [*(f"encoderlayer_{level}" for level in range(4)), "conv"]
    return {
        "dim": shapes["input_proj.proj.0.weight"][0],
        "num_blocks": [_children(shapes, f"{stage}.blocks.") for stage in stages],
        "heads": [shapes[f"{stage}.blocks.0.relative_position_bias_table"][1] for stage in stages],
    }


def _hybrid_stoformer(shapes: Shapes) -> Arguments:
    cnn = "cnn_extractor.layer"
    depths = tuple(_children(shapes, f"{cnn}{stage}.") for stage in range(1, 5))
    bottlenecks = f"{cnn}1.0.conv3.weight" in shapes
    stages = ["conv", *(f"decoderlayer_{level}" for level in range(4))]
    return {
        "backbone": _RESNETS[bottlenecks, depths],
        "backbone_channels": [shapes[f"{cnn}{stage}.0.conv1.weight"][0] for stage in range(1, 5)],
        "dim": shapes["skip_conv0.weight"][0],
        "num_blocks": [_children(shapes, f"{stage}.blocks.") for stage in stages],
        "heads": [shapes[f"{stage}.blocks.0.relative_position_bias_table"][1] for stage in stages],
    }


def _super_resolution(shapes: Shapes, first: str, last: str) -> Arguments:
    """Of a net that ends in a pixel-shuffle. Shapes tell `out_channels * scale**2` alone: as many go out as come in."""
    dim, channels = shapes[first][:2]
    scale = math.isqrt(shapes[last][0] // channels)
    return {"dim": dim, "in_channels": channels, "out_channels": channels, "scale": scale}


def _davit_sr(shapes: Shapes) -> Arguments:
    num_blocks = _children(shapes, "layers.") - 2
    arguments = _super_resolution(shapes, "layers.0.weight", f"layers.{num_blocks + 1}.weight")
    return arguments | {"num_blocks": num_blocks}


def _dctlsa(shapes: Shapes) -> Arguments:
    arguments = _super_resolution(shapes, "fea_conv.weight", "upsampler.0.weight")
    return arguments | {"num_blocks": _children(shapes, "B")}


def _grla_seed(shapes: Shapes) -> Arguments:
    dim = shapes["head.weight"][0]
    return {
        "scale": math.isqrt(shapes["tail.0.weight"][0] // dim),
        "dim": dim,
        "num_blocks": _children(shapes, "body.") - 2,
        "layer_norm": "body.0.twsa.norm1.weight" in shapes,
    }


_RESNETS: Final[dict[tuple[bool, tuple[int, ...]], str]] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
}

# class_path, a key which tells it from those below, and what reads its arguments
_ARCHITECTURES: Final[tuple[tuple[str, str, Callable[[Shapes], Arguments]], ...]] = (
    ("aio.nets.adair.AdaIR", "fre1.para1", _promptir_or_adair),
    ("aio.nets.promptir.PromptIR", "prompt1.prompt_param", _promptir_or_adair),
    ("aio.nets.restormer.Restormer", "encoder_level1.0.attn.temperature", _restormer),
    ("aio.nets.lora_restormer.LoraRestormer", "encoder_level1.0.attn.temperature", _lora_restormer),
    ("aio.nets.coarse_to_fine.CoarseToFine", "cells.weight", _coarse_to_fine),
    ("aio.nets.moce_ir.MoCEIR", "freq_embed.mlp.0.weight", _moce_ir),
    ("aio.nets.nafnet.NAFNet", "middle_blks.0.beta", _nafnet),
    ("aio.nets.symunet.SymUNet", "middle_blks.0.attn.temperature", _symunet),
    ("aio.nets.airnet.AirNet", "E.E.queue", _airnet),
    ("aio.nets.stoformer.Stoformer", "encoderlayer_0.blocks.0.relative_position_bias_table", _stoformer),
    ("aio.nets.hybrid_stoformer.HybridStoformer", "feature_fusion.init_conv_proj.weight", _hybrid_stoformer),
    ("aio.nets.davit_sr.DaViTSR", "layers.1.0.window_attention.project_q.weight", _davit_sr),
    ("aio.nets.dctlsa.DCTLSA", "fea_conv.weight", _dctlsa),
    ("aio.nets.grla_seed.GRLASeed", "body.0.twsa.LFE.0.weight", _grla_seed),
)


def recognise(shapes: Shapes, source: str | Path = "these weights") -> dict[str, Any]:
    """`{"class_path": ..., "init_args": ...}` of the net with exactly these keys and shapes, defaults left out.

    Args:
        shapes: of a state dict without wrappers and prefixes.
        source: the file they come from, for messages.

    Raises:
        InputError: there is no such net (the message names the nearest), or its number of heads cannot be told.
    """
    tried = []
    for class_path, telltale, read in _ARCHITECTURES:
        if telltale not in shapes:
            continue
        try:
            config = {"class_path": class_path, "init_args": _without_defaults(class_path, read(shapes))}
            built = _shapes_of(config)
        except (LookupError, ArithmeticError, TypeError, ValueError, RuntimeError):
            continue  # a key or a dimension that this architecture needs is not there
        if built == shapes:
            _check_heads(config, source)
            return config
        tried.append((class_path, built))
    raise InputError(f"{source}: {_no_net(shapes, tried)}")


def preset_of(config: dict[str, Any]) -> str | None:
    """The preset in conf/net/ of the net which `config` names, defaults written out or not; the first of equal ones."""
    presets = {name: net_preset(name) for name in list_presets()}
    alike = {name: preset for name, preset in presets.items() if preset["class_path"] == config["class_path"]}
    return next((name for name, preset in alike.items() if _all_arguments(preset) == _all_arguments(config)), None)


def _net_class(class_path: str) -> type[RestorationNet]:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def _shapes_of(config: dict[str, Any]) -> Shapes:
    with torch.device("meta"):
        net = _net_class(config["class_path"])(**config["init_args"])
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


@cache
def _preset_shapes(name: str) -> Shapes:
    return _shapes_of(net_preset(name))


def _defaults(class_path: str) -> Arguments:
    parameters = inspect.signature(vars(_net_class(class_path))["__init__"]).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name != "self"}


def _without_defaults(class_path: str, arguments: Arguments) -> Arguments:
    defaults = _defaults(class_path)
    return {name: value for name, value in arguments.items() if _frozen(value) != _frozen(defaults[name])}


def _all_arguments(config: dict[str, Any]) -> Arguments:
    arguments = _defaults(config["class_path"]) | config["init_args"]
    return {name: _frozen(value) for name, value in arguments.items()}


def _frozen(value: Any) -> Any:
    """Lists, as YAML has them, as tuples, as signatures have them."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _check_heads(config: dict[str, Any], source: str | Path) -> None:
    arguments = _all_arguments(config)
    dim, heads = arguments["dim"], arguments.get("num_heads", 1)
    if dim % heads:
        raise InputError(
            f"{source}: the weights of {_name(config['class_path'])} {dim} wide do not tell its heads, "
            f"and the usual {heads} do not divide {dim}: name the network in a YAML file with num_heads"
        )


def _no_net(shapes: Shapes, tried: list[tuple[str, Shapes]]) -> str:
    """What to tell the user: the three nearest architectures, and where the first one differs first."""
    presets = [(str(net_preset(name)["class_path"]), _preset_shapes(name)) for name in list_presets()]
    nearest: dict[str, Shapes] = {}
    for class_path, theirs in sorted([*presets, *tried], key=lambda known: _likeness(shapes, known[1]), reverse=True):
        if shapes.keys() & theirs.keys():
            nearest.setdefault(_name(class_path), theirs)
    if not nearest:
        known = ", ".join(sorted(_name(class_path) for class_path, _, _ in _ARCHITECTURES))
        return f"no network here has any of these keys; expected the weights of one of {known}"
    first, wanted = next(iter(nearest.items()))
    shared = (
        f"{name} ({len(shapes.keys() & theirs.keys())} of its {len(theirs)} keys)"
        for name, theirs in islice(nearest.items(), 3)
    )
    found = "; ".join(islice(_differences(shapes, wanted), 3))
    return f"no network here has exactly these keys and shapes. Nearest: {', '.join(shared)}. For {first}, {found}"


def _likeness(shapes: Shapes, theirs: Shapes) -> tuple[float, int]:
    """The share of common keys; where that is equal, how many of them have the same shape."""
    share = len(shapes.keys() & theirs.keys()) / len(shapes.keys() | theirs.keys())
    return share, len(shapes.items() & theirs.items())


def _differences(shapes: Shapes, wanted: Shapes) -> Iterator[str]:
    for key, shape in wanted.items():
        if key not in shapes:
            yield f"{key} is missing"
        elif shapes[key] != shape:
            yield f"{key} has shape {shapes[key]}, expected {shape}"
    yield from (f"{key} has no place in it" for key in shapes if key not in wanted)


def _name(class_path: str) -> str:
    return class_path.rpartition(".")[2]
