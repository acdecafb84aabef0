"""What every part of the LoRA-gated Restormer costs in one block. `python bench/blocks.py`

One block at 40 channels, 4 heads, 128 x 128 pixels; each row changes one part of the plain block (Restormer's), and
the last has headwise gate, low rank and DFRG at once. Time is given as a ratio to the plain block's within the same
rounds; memory is what the forward pass keeps for the backward pass.
"""

from __future__ import annotations

import statistics
import time
from functools import partial

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from aio.nets.base import count_parameters
from aio.nets.csff import CSFF, Concatenate
from aio.nets.dfrg import DFRG
from aio.nets.lora import pointwise
from aio.nets.lora_restormer import Gate, GatedBlock

WIDTH, HEADS, SIDE, FACTOR = 40, 4, 128, 2.66


def block(
    *, gate: Gate = "none", attn: str = "none", ffn: str = "none", dfrg: bool = False, used: bool = True
) -> nn.Module:
    """One block; `attn` and `ffn` are the kinds of low rank of its 1x1 convolutions, at half the rank."""
    refine = DFRG(WIDTH, use_experts=used) if dfrg else None
    low_rank = (partial(pointwise, kind=kind, ratio=0.5) for kind in (attn, ffn))
    return GatedBlock(WIDTH, HEADS, FACTOR, gate, *low_rank, refine)


class Skip(nn.Module):
    """A skip and the 1x1 convolution after it."""

    def __init__(self, *, csff: bool) -> None:
        super().__init__()
        self.fuse = CSFF(WIDTH) if csff else Concatenate()
        self.reduce = nn.Conv2d(WIDTH if csff else 2 * WIDTH, WIDTH, kernel_size=1, bias=False)

    def forward(self, image: Tensor, task: Tensor) -> Tensor:
        return self.reduce(self.fuse(image, image.flip(1)))


PARTS = {
    "block: plain": block(),
    "gate: headwise": block(gate="headwise"),
    "gate: elementwise": block(gate="elementwise"),
    "low rank in attention: plain": block(attn="plain"),
    "low rank in attention: spatial": block(attn="spatial"),
    "low rank in FFN: plain": block(ffn="plain"),
    "low rank in FFN: spatial": block(ffn="spatial"),
    "DFRG, experts idle": block(dfrg=True, used=False),
    "DFRG, experts used": block(dfrg=True),
    "block: all three": block(gate="headwise", ffn="spatial", dfrg=True),
}
SKIPS = {"skip: concatenation": Skip(csff=False), "skip: CSFF": Skip(csff=True)}


def inputs() -> tuple[Tensor, Tensor]:
    image = torch.rand(1, WIDTH, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return image.contiguous(memory_format=torch.channels_last), torch.zeros(1, dtype=torch.long)


def macs(part: nn.Module) -> int:
    analysis = FlopCountAnalysis(part.eval(), inputs())
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def kept_bytes(part: nn.Module) -> int:
    """Bytes of distinct storages, but for the weights, that the backward pass needs."""
    kept: dict[int, int] = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in part.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = part.train()(*inputs())
    del result
    return sum(kept.values())


def seconds(part: nn.Module, *, train: bool) -> float:
    """Of the faster of three passes: the first one finds the caches filled by another part."""
    image, task = inputs()
    part.train(train)
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        with torch.inference_mode(not train):
            result = part(image, task)
            if train:
                result.sum().backward()
        taken.append(time.perf_counter() - start)
    return min(taken)


def rows(parts: dict[str, nn.Module], rounds: int) -> list[str]:
    """A line for each part, the first of which is the reference."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            times[name].append((seconds(part, train=False), seconds(part, train=True)))
    reference = times[next(iter(parts))]
    lines = []
    for name, part in parts.items():
        paired = zip(times[name], reference, strict=True)
        ratios = [(ours[0] / plain[0], ours[1] / plain[1]) for ours, plain in paired]
        forward, both = (statistics.median(column) for column in zip(*ratios, strict=True))
        count, cost = count_parameters(part), macs(part) / 1e9
        lines.append(
            f"| {name} | {count:,} | {cost:.3f} | {forward:.2f} | {both:.2f} | {kept_bytes(part) / 2**20:.1f} |"
        )
    return lines


def main(rounds: int = 7) -> None:
    torch.manual_seed(0)
    print("| part | parameters | GMACs | forward | forward and backward | MiB kept |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(rows(PARTS, rounds) + rows(SKIPS, rounds)))


if __name__ == "__main__":
    main()
