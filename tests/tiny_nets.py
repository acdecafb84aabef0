"""Every net at a size for tests: one row per class, and further rows where arguments choose other parts."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch

import aio.nets
from aio.nets.adair import AdaIR
from aio.nets.airnet import AirNet
from aio.nets.base import RestorationNet
from aio.nets.coarse_to_fine import CoarseToFine
from aio.nets.davit_sr import DaViTSR
from aio.nets.dctlsa import DCTLSA
from aio.nets.grla import GRLA
from aio.nets.grla_seed import GRLASeed
from aio.nets.hybrid_stoformer import HybridStoformer
from aio.nets.lora_restormer import LoraRestormer
from aio.nets.moce_ir import MoCEIR
from aio.nets.nafnet import NAFNet
from aio.nets.promptir import PromptIR
from aio.nets.restormer import Restormer
from aio.nets.stoformer import Stoformer
from aio.nets.symunet import SymUNet
from golden.fill import fill_state_dict

_BLOCKS = {"num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1}
_PARTS = {"lora_ratio_ffn": 0.5, "use_dfrg": True, "use_csff": True}
_LEVELS = {"middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}
_WINDOWS = {"dim": 8, "num_heads": 2, "window_size": 4}
# name -> class and arguments
TINY: dict[str, tuple[type[RestorationNet], dict[str, Any]]] = {
    "restormer": (Restormer, {"dim": 8, **_BLOCKS}),
    "restormer_gray": (Restormer, {"dim": 8, **_BLOCKS, "inp_channels": 1, "out_channels": 1}),
    "restormer_dual_pixel": (Restormer, {"dim": 8, **_BLOCKS, "inp_channels": 6, "dual_pixel_task": True}),
    "promptir": (PromptIR, {"dim": 8, **_BLOCKS}),
    "adair": (AdaIR, {"dim": 8, **_BLOCKS}),
    "moce_ir": (MoCEIR, {"dim": 8, **_BLOCKS, "num_dec_blocks": [1, 1, 1], "num_experts": 3}),
    "lora_restormer": (LoraRestormer, {"dim": 8, **_BLOCKS}),
    "lora_restormer_full": (
        LoraRestormer,
        {"dim": 8, **_BLOCKS, **_PARTS, "lora": "spatial"},
    ),
    "lora_restormer_seed": (
        LoraRestormer,
        {
            "dim": 8,
            **_BLOCKS,
            **_PARTS,
            "gate": "elementwise",
            "lora": "seed",
            "lora_ratio_attn": 0.8,
            "use_experts": False,
        },
    ),
    "lora_restormer_base": (
        LoraRestormer,
        {"dim": 8, **_BLOCKS, "gate": "elementwise", "lora": "plain", "lora_ratio_ffn": 0.5},
    ),
    "coarse_to_fine": (
        CoarseToFine,
        {"coarse_dim": 8, "coarse_blocks": 1, "coarse_heads": 2, "dim": 8, "num_blocks": 1},
    ),
    "airnet": (AirNet, {"dim": 8, "num_groups": 1, "num_blocks": 1, "queue_length": 8}),
    "nafnet": (NAFNet, {"dim": 8, **_LEVELS}),
    "symunet": (SymUNet, {"dim": 8, **_LEVELS, "heads": [1, 2, 4]}),
    "stoformer": (Stoformer, {"dim": 8, "num_blocks": [1, 1, 1, 1, 1], "eval_windows": "fixed"}),
    "hybrid_stoformer": (
        HybridStoformer,
        {
            "backbone": "resnet18",
            "backbone_channels": [8, 8, 16, 16],
            "dim": 8,
            "num_blocks": [1, 1, 1, 1, 1],
            "heads": [4, 4, 2, 2, 1],
            "eval_windows": "fast",
        },
    ),
    "davit_sr": (DaViTSR, {"scale": 2, "num_blocks": 1, **_WINDOWS}),
    "dctlsa": (DCTLSA, {"scale": 3, "num_blocks": 2, **_WINDOWS}),
    "grla": (GRLA, {"scale": 4, "num_blocks": 2, **_WINDOWS}),
    "grla_seed": (GRLASeed, {"scale": 4, "num_blocks": 1, **_WINDOWS}),
}


def build(name: str, **changes: Any) -> RestorationNet:
    """The net of that row, with weights of which none is zero, in eval mode."""
    kind, arguments = TINY[name]
    torch.manual_seed(0)
    net = kind(**arguments | changes)
    net.load_state_dict(fill_state_dict(net.state_dict()))
    return net.eval()


def net_classes() -> set[type[RestorationNet]]:
    """All that `aio.nets` holds."""
    for module in pkgutil.iter_modules(aio.nets.__path__):
        import_module(f"aio.nets.{module.name}")
    return {kind for kind in _descendants(RestorationNet) if kind.__module__.startswith("aio.nets.")}


def _descendants(kind: type[RestorationNet]) -> Iterator[type[RestorationNet]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)
