"""What a user of an exported net has to know, as a page of Markdown beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aio.exporting.agreement import TOLERANCE, Agreement
from aio.exporting.formats import INPUT, OUTPUT
from aio.nets.base import RestorationNet, count_parameters
from aio.nets.cost import SIDE, count_macs

_READ: Final = {
    1: 'np.asarray(Image.open("photo.png").convert("L"), np.float32)[None, None] / 255',
    3: 'np.asarray(Image.open("photo.png").convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255',
    6: 'np.load("views.npy")  # (1, 6, H, W): left view, right view',
}
_WRITE: Final = {
    1: 'Image.fromarray((restored[0, 0].clip(0, 1) * 255).round().astype(np.uint8)).save("restored.png")',
    3: "Image.fromarray((restored[0].transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8))"
    '.save("restored.png")',
}
_RUN: Final = {
    "onnx": """\
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession("{file}")
image = {read}
(restored,) = session.run(None, {{"image": image}})
{write}
""",
    "torch_export": """\
import {modules}
from PIL import Image
image = {read}
with torch.no_grad():
    restored = torch.export.load("{file}").module()(torch.from_numpy(image)).numpy()
{write}
""",
    "safetensors": """\
import aio
from PIL import Image
net = aio.load("{file}")
aio.restore(Image.open("photo.png"), net).save("restored.png")
""",
}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        about: preset, paper, source and licence, as far as they are known.
        tasks: degradations that it is for; empty where nothing is known.
        told: the one of them that the net is told.
        opset: of ONNX.
        operators: modules which bring operators of the graph, beside torch.
        agreements: with PyTorch.
    """

    path: Path
    format: str
    about: Mapping[str, str]
    tasks: Sequence[str]
    told: str | None
    opset: int | None
    operators: Sequence[str]
    agreements: Sequence[Agreement]


def model_card(net: RestorationNet, exported: Exported) -> str:
    """The page; takes a while, as the net's multiply-accumulates are counted."""
    parts = [_heading(net, exported), _contract(net, exported), _usage(net, exported), _measured(exported)]
    return "\n".join(part for part in parts if part)


def _heading(net: RestorationNet, exported: Exported) -> str:
    about = {"preset": "of no preset", "paper": "not stated", "source": "not stated", **exported.about}
    rows = {
        "File": f"`{exported.path.name}`, {exported.path.stat().st_size:,} bytes, {_format(exported)}",
        "Architecture": f"`{net.config['class_path']}` ({about['preset']})",
        "Arguments": f"`{net.config.get('init_args', {})}`",
        "Paper": about["paper"],
        "Source": about["source"],
        "Licence of the weights": about.get("licence", "not stated"),
        "Parameters": f"{count_parameters(net):,}",
        "MACs": f"{count_macs(net) / 1e9:.2f} G at {SIDE} x {SIDE}",
        "For": ", ".join(exported.tasks) or "not stated",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# {type(net).__name__}\n\n| | |\n|---|---|\n{table}\n"


def _format(exported: Exported) -> str:
    if exported.format == "onnx":
        return f"ONNX, opset {exported.opset}"
    return {"torch_export": "a program of `torch.export`", "safetensors": "weights with a header"}[exported.format]


def _contract(net: RestorationNet, exported: Exported) -> str:
    scale = "" if net.scale == 1 else f"{net.scale} "
    told = "The net is blind: it is not told what an image suffers from."
    if exported.told is not None:
        told = f"The net is told that every image suffers from {exported.told}."
    if exported.format == "safetensors":
        return f"## Contract\n\n`forward(image, task)` takes sides that are multiples of {net.multiple_of}; all else of\
 the package takes any.\n"
    missing = f"\n- not in the graph: {net.left_out_of_graphs}" if net.left_out_of_graphs else ""
    return f"""\
## Contract

- in: `{INPUT}` float32 `(batch, {net.in_channels}, height, width)`, {_channels(net.in_channels)}, in [0, 1]
- out: `{OUTPUT}` float32 `(batch, {net.out_channels}, {scale}height, {scale}width)`, not clamped: clip it to [0, 1]
- any batch, height and width: what the net needs, multiples of {net.multiple_of}, is padded and cut off inside
- {told}{missing}
"""


def _channels(count: int) -> str:
    return {1: "gray or luma", 3: "sRGB in the order red, green, blue"}.get(count, "left view, then right view")


def _usage(net: RestorationNet, exported: Exported) -> str:
    code = _RUN[exported.format].format(
        file=exported.path.name,
        modules=", ".join(["numpy as np", "torch", *exported.operators]),
        read=_READ[net.in_channels],
        write=_WRITE[net.out_channels],
    )
    return f"## Use\n\n```python\n{code}```\n"


def _measured(exported: Exported) -> str:
    if not exported.agreements:
        return ""
    rows = "\n".join(f"| {a.batch} x {a.height} x {a.width} | {a.difference:.1e} |" for a in exported.agreements)
    head = "| batch x height x width | largest difference |\n|---|---|"
    return f"## Difference to PyTorch\n\nMeasured on the CPU; {TOLERANCE:.0e} is allowed.\n\n{head}\n{rows}\n"
