"""MoCE-IR's routed experts: FFT-attention experts of growing size, the router and its balance loss.

Source: Zamfir et al., Complexity Experts are Task-Discriminative Learners, CVPR 2025, section 3; the
load term comes from Shazeer et al., Outrageously Large Neural Networks, ICLR 2017, appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from aio.nets.base import count_parameters, pad_to_multiple
from aio.nets.blocks import LayerNorm


def circular_convolution(q: Tensor, k: Tensor, patch_size: int) -> Tensor:
    """Each patch of `q (B, C, H, W)` convolved circularly with the same patch of `k`, by FFT in float32.

    Maps whose sides are no multiple of the patch are padded with zeros and cropped back.
    """
    batch, channels, height, width = q.shape
    q, k = (pad_to_multiple(t.float(), patch_size, "zeros") for t in (q, k))
    rows = q.shape[-2] // patch_size
    patches = "b c (h p) (w q) -> (b c h w) p q"
    q, k = (rearrange(t, patches, p=patch_size, q=patch_size) for t in (q, k))
    out = torch.fft.irfft2(torch.fft.rfft2(q) * torch.fft.rfft2(k), s=(patch_size, patch_size))
    out = rearrange(out, "(b c h w) p q -> b (h p) (w q) c", b=batch, c=channels, h=rows)
    return out[:, :height, :width].permute(0, 3, 1, 2)


class FFTAttention(nn.Module):
    """Self-attention inside patches, whose product of queries and keys is taken in the Fourier domain."""

    def __init__(self, dim: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.q = nn.Conv2d(dim, dim, kernel_size=1, bias=False)
        self.q_dwconv = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim)
        self.kv = nn.Conv2d(dim, dim * 2, kernel_size=1, bias=False)
        self.kv_dwconv = nn.Conv2d(dim * 2, dim * 2, kernel_size=7, padding=3, groups=dim * 2)
        self.norm = LayerNorm(dim)
        self.proj_out = nn.Conv2d(dim, dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        k, v = self.kv_dwconv(self.kv(x)).chunk(2, dim=1)
        out = circular_convolution(self.q_dwconv(self.q(x)), k, self.patch_size)
        return self.proj_out(self.norm(out) * v)


class Expert(nn.Module):
    """x + W2(FFT-attention(W0 x) * SiLU(W1 shared)) at reduced width `rank`."""

    def __init__(self, dim: int, rank: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
            for inputs, outputs in ((dim, rank), (dim, rank), (rank, dim))
        )
        self.body = FFTAttention(rank, patch_size)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        x, shared = inputs
        return x + self.proj[2](self.body(self.proj[0](x)) * F.silu(self.proj[1](shared)))


def balance_loss(logits: Tensor, noisy_logits: Tensor, noise_std: float, complexity: Tensor | None = None) -> Tensor:
    """How unevenly a batch uses the experts: the mean of CV^2(importance) and CV^2(load).

    `logits`, `noisy_logits`: `(B, experts)`. Importance is the sum of the noise-free probabilities,
    weighted by `complexity` if given; load is the estimated chance that fresh noise lifts an expert
    over the winner, by the normal distribution function.
    """
    importance = logits.softmax(dim=-1).sum(dim=0)
    if complexity is not None:
        importance = importance * complexity
    to_beat = noisy_logits.amax(dim=-1, keepdim=True)
    load = torch.special.ndtr((logits - to_beat) / noise_std).mean(dim=0)
    return 0.5 * _squared_variation(importance) + 0.5 * _squared_variation(load)


def _squared_variation(x: Tensor) -> Tensor:
    # The variance, not the squared deviation: the root has no gradient at perfect balance.
    return x.var() / (x.mean() + 1e-8) ** 2


class SpatialMean(nn.Module):
    """`(B, C, H, W) -> (B, C)`, in float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=(-2, -1))


class Router(nn.Module):
    """Chooses one expert per sample, from its features and from its frequency embedding, in float32.

    Returns the expert's probability, its index, both `(B,)`, and in training mode the balance loss.
    `complexity` holds the experts' parameter counts over the largest.
    """

    complexity: Tensor

    def __init__(self, dim: int, freq_dim: int, parameters: Sequence[int], with_complexity: bool) -> None:
        super().__init__()
        # The identity keeps the place of a reshape in the official keys: `gate.2`.
        self.gate = nn.Sequential(SpatialMean(), nn.Identity(), nn.Linear(dim, len(parameters), bias=False))
        self.freq_gate = nn.Linear(freq_dim, len(parameters), bias=False)
        self.register_buffer("complexity", torch.tensor([n / max(parameters) for n in parameters]))
        self.with_complexity = with_complexity
        self.noise_std = 1 / len(parameters)

    def forward(self, x: Tensor, freq_embedding: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        with torch.autocast(x.device.type, enabled=False):
            logits = self.gate(x) + self.freq_gate(freq_embedding.float())
            if not self.training:
                return *logits.softmax(dim=-1).max(dim=-1), None
            noisy = logits + self.noise_std * torch.randn_like(logits)
            complexity = self.complexity if self.with_complexity else None
            return *noisy.softmax(dim=-1).max(dim=-1), balance_loss(logits, noisy, self.noise_std, complexity)


class Adapter(nn.Module):
    """Experts of growing width and patch size; each sample passes through one of them alone."""

    def __init__(self, dim: int, freq_dim: int, num_experts: int, with_complexity: bool) -> None:
        super().__init__()
        # A sequence of one keeps the level of the official keys: `experts.0.0`.
        self.experts = nn.ModuleList(
            nn.Sequential(Expert(dim, rank=dim // 2 ** (num_experts - 1 - i), patch_size=4 * 2**i))
            for i in range(num_experts)
        )
        self.proj_out = nn.Conv2d(dim, dim, kernel_size=1, bias=False)
        self.routing = Router(dim, freq_dim, [count_parameters(expert) for expert in self.experts], with_complexity)

    def forward(self, x: Tensor, freq_embedding: Tensor, shared: Tensor) -> tuple[Tensor, Tensor | None]:
        probability, choice, balance = self.routing(x, freq_embedding)
        out = self.run_experts(x, shared, choice) * probability[:, None, None, None]
        return self.proj_out(out), balance

    def run_experts(self, x: Tensor, shared: Tensor, choice: Tensor) -> Tensor:
        """Sample i through expert `choice[i]`; every chosen expert runs once, on all its samples.

        In a graph, whose way no value may change, all run on all samples, and what was not chosen is dropped.
        """
        if torch.compiler.is_exporting():
            out = torch.zeros_like(x)
            for number, expert in enumerate(self.experts):
                out = torch.where((choice == number)[:, None, None, None], expert((x, shared)), out)
            return out
        order = choice.argsort(stable=True)
        sizes = choice.bincount(minlength=len(self.experts)).tolist()
        groups = zip(self.experts, x[order].split(sizes), shared[order].split(sizes), strict=True)
        out = torch.cat([expert((x_, shared_)) for expert, x_, shared_ in groups if len(x_)])[order.argsort()]
        if self.training:
            # DistributedDataParallel waits for a gradient of every parameter: an idle expert's is zero.
            idle = [expert for expert, size in zip(self.experts, sizes, strict=True) if size == 0]
            out = out + 0 * sum(parameter.sum() for expert in idle for parameter in expert.parameters())
        return out
