"""What measuring costs beside restoring. `python bench/metrics.py`

PSNR and SSIM of one 1280 x 720 image by every protocol, and scikit-image's for two of them, as shares of Restormer's
forward pass on the same image in the same process. `--side N` takes a square of N pixels instead, to try it quickly.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

# Threads that spin while they wait for each other would measure what else runs on the machine; read as torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from aio.metrics import PROTOCOLS, Protocol
from aio.nets.restormer import Restormer

ROUNDS = 5
WIDTH, HEIGHT = 1280, 720


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int)
    side = parser.parse_args().side
    height, width = (side, side) if side else (HEIGHT, WIDTH)
    torch.manual_seed(0)
    clean = torch.rand(3, height, width)
    restored = (clean + 0.02 * torch.randn_like(clean)).clamp(0, 1)
    net = Restormer().eval()
    with torch.inference_mode():
        padded = torch.nn.functional.pad(clean[None], (0, -width % 8, 0, -height % 8), mode="reflect")
        forward = seconds(lambda: net(padded), rounds=1)
    print(f"| {width} x {height}, {torch.get_num_threads()} threads | seconds | share of Restormer's forward pass |")
    print("| --- | ---: | ---: |")
    print(f"| Restormer's forward pass | {forward:.1f} | 100 % |")
    for name, protocol in PROTOCOLS.items():
        if name != "realblur":  # registers images, which is no metric
            report(f"aio: {name}", seconds(scored(protocol, restored, clean)), forward)
    arrays = [image.permute(1, 2, 0).numpy() for image in (restored, clean)]
    for name, options in {"promptir": {}, "moce_ir": {"gaussian_weights": True}}.items():
        report(f"scikit-image: {name}", seconds(lambda options=options: by_skimage(*arrays, options)), forward)


def scored(protocol: Protocol, restored: torch.Tensor, clean: torch.Tensor) -> Callable[[], object]:
    """What is timed of ours."""
    return lambda: protocol.scores(restored, clean)


def by_skimage(restored: object, clean: object, options: dict) -> None:
    """What is timed of scikit-image."""
    peak_signal_noise_ratio(clean, restored, data_range=1)
    structural_similarity(clean, restored, channel_axis=-1, data_range=1, **options)


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median of some rounds after one that does not count, save where one is all."""
    if rounds > 1:
        work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def report(name: str, spent: float, forward: float) -> None:
    """One row."""
    print(f"| {name} | {spent:.2f} | {spent / forward:.2%} |")


if __name__ == "__main__":
    main()
