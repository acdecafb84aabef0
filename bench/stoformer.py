"""Time of Stoformer's evaluation, the expectation over all 64 window offsets, against loops over the offsets.

Reference: the naive loop, which projects, rolls, masks, attends, rolls back and projects for every offset.
Command: python bench/stoformer.py
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aio.nets.stoformer import ALL_OFFSETS, Offset, StochasticBlock, Stoformer, window_attention

SIZE = 128


def naive_loop(block: StochasticBlock, x: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """Every offset by itself, projections included."""
    bias = block.relative_position_bias_table[block.relative_position_index].permute(2, 0, 1)
    mean = torch.zeros_like(x)
    for offset in offsets:
        q, kv = block.to_q(x) * block.scale, block.to_kv(x)
        mean += block.proj(window_attention(q, kv, bias, offset)) / len(offsets)
    return mean


def loop_with_shared_projections(block: StochasticBlock, x: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """Every offset by itself, between projections that run once."""
    bias = block.relative_position_bias_table[block.relative_position_index].permute(2, 0, 1)
    q, kv = block.to_q(x) * block.scale, block.to_kv(x)
    mean = torch.zeros_like(x)
    for offset in offsets:
        mean += window_attention(q, kv, bias, offset) / len(offsets)
    return block.proj(mean)


def seconds(run: Callable[[], Tensor], repeats: int = 3) -> tuple[float, Tensor]:
    """The best of `repeats` after one to warm up, and the result."""
    best, out = float("inf"), run()
    for _ in range(repeats):
        start = time.perf_counter()
        out = run()
        best = min(best, time.perf_counter() - start)
    return best, out


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    net, image = Stoformer().eval(), torch.rand(1, 3, SIZE, SIZE)
    for name, table in net.named_parameters():
        if name.endswith("relative_position_bias_table"):
            table.normal_()
    one_pass = StochasticBlock.attend
    ours, expected = seconds(lambda: net(image))
    print(f"| Stoformer {SIZE} x {SIZE}, {len(ALL_OFFSETS)} offsets | seconds | times one pass | max difference |")
    print("| --- | ---: | ---: | ---: |")
    print(f"| one pass (aio.nets.stoformer) | {ours:.2f} | 1 | |")
    for loop in (naive_loop, loop_with_shared_projections):
        StochasticBlock.attend = loop  # type: ignore[method-assign]
        theirs, out = seconds(lambda: net(image), repeats=1)
        StochasticBlock.attend = one_pass  # type: ignore[method-assign]
        error = (out - expected).abs().max().item()
        print(f"| {loop.__name__.replace('_', ' ')} | {theirs:.2f} | {theirs / ours:.1f} | {error:.1e} |")


if __name__ == "__main__":
    main()
