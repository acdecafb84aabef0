"""Restormer against its straightforward formulation, in one process. `python bench/nets.py`

The reference computes what the paper writes, step by step, on channels-first maps: tokens for the layer norm, q and k
normalised before their product, the output projection as a convolution. Same weights, same output.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

# Threads that spin while they wait for each other would measure what else runs on the machine; read as torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from aio.nets.blocks import GDFN, MDTA, LayerNorm
from aio.nets.restormer import Restormer


class PlainLayerNorm(nn.Module):
    """Over tokens, with mean and variance as tensors of their own."""

    def __init__(self, norm: LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.body.weight, norm.body.bias

    def forward(self, x: Tensor) -> Tensor:
        tokens = rearrange(x, "b c h w -> b (h w) c")
        mean = tokens.mean(-1, keepdim=True)
        variance = tokens.var(-1, keepdim=True, unbiased=False)
        centred = tokens if self.bias is None else tokens - mean
        tokens = centred / torch.sqrt(variance + 1e-5) * self.weight
        tokens = tokens if self.bias is None else tokens + self.bias
        return rearrange(tokens, "b (h w) c -> b c h w", h=x.shape[2]).contiguous()


class PlainMDTA(nn.Module):
    """Equation 1 of the paper in its own order."""

    def __init__(self, attention: MDTA) -> None:
        super().__init__()
        self.heads, self.temperature = attention.num_heads, attention.temperature
        self.qkv, self.dwconv, self.project_out = attention.qkv, attention.qkv_dwconv, attention.project_out

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            rearrange(t, "b (n c) h w -> b n c (h w)", n=self.heads) for t in self.dwconv(self.qkv(x)).chunk(3, dim=1)
        )
        weights = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * self.temperature).softmax(-1)
        return self.project_out(rearrange(weights @ v, "b n c (h w) -> b (n c) h w", h=x.shape[2]))


class PlainGDFN(nn.Module):
    """Equation 2 of the paper on whole maps."""

    def __init__(self, network: GDFN) -> None:
        super().__init__()
        self.project_in, self.dwconv, self.project_out = network.project_in, network.dwconv, network.project_out

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


class ChannelsFirst(nn.Module):
    """Undoes the memory order that the net asks for."""

    def __init__(self, stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem

    def forward(self, x: Tensor) -> Tensor:
        return self.stem(x.contiguous())


def straightforward(net: Restormer) -> Restormer:
    """A Restormer that shares the weights of `net` and computes in the paper's order."""
    plain = Restormer(**net.config["init_args"])
    plain.load_state_dict(net.state_dict())
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LayerNorm):
                setattr(module, name, PlainLayerNorm(child))
            elif isinstance(child, MDTA):
                setattr(module, name, PlainMDTA(child))
            elif isinstance(child, GDFN):
                setattr(module, name, PlainGDFN(child))
    plain.patch_embed = ChannelsFirst(plain.patch_embed)  # type: ignore[assignment]
    return plain.eval()


def seconds(run: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@torch.inference_mode()
def main(rounds: int = 5, side: int = 256) -> None:
    torch.manual_seed(0)
    ours = Restormer().eval()
    plain = straightforward(ours)
    image = torch.rand(1, 3, side, side)
    difference = (ours(image) - plain(image)).abs().max().item()
    pairs = [(seconds(lambda: plain(image)), seconds(lambda: ours(image))) for _ in range(rounds)]
    plain_time, our_time = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"| Restormer {side} x {side}, {torch.get_num_threads()} threads | seconds | times as fast | max difference |"
    )
    print("| --- | ---: | ---: | ---: |")
    print(f"| straightforward | {plain_time:.2f} | 1 | |")
    print(f"| aio | {our_time:.2f} | {ratio:.2f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
