"""What several tests share: comparison with the official releases' outputs and keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from aio.nets.base import RestorationNet, restore_any_size
from golden.fill import fill_state_dict, golden_input

GOLDEN = Path(__file__).parent / "golden"


def official_keys(name: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, type) of the official release's state dict."""
    rows = (line.split("\t") for line in (GOLDEN / f"{name}.keys.txt").read_text().splitlines() if line[0] != "#")
    return {key: (tuple(int(n) for n in shape.strip("()").split(",") if n.strip()), kind) for key, shape, kind in rows}


def filled(net: RestorationNet, name: str) -> RestorationNet:
    """`net` in eval mode with the golden weights, and the golden buffers where the release has any."""
    state = fill_state_dict(net.state_dict())
    buffers = GOLDEN / f"{name}.buffers.npz"
    if buffers.exists():
        state |= {key: torch.from_numpy(value) for key, value in np.load(buffers).items()}
    net.load_state_dict(state)
    return net.eval()


def assert_official(net: RestorationNet, name: str) -> None:
    """Keys, shapes, types and outputs of `net` are those of the official release `name`."""
    state = net.state_dict()
    ours = {key: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in state.items()}
    assert ours == official_keys(name)
    net = filled(net, name)
    golden = np.load(GOLDEN / f"{name}.npz")
    for i in range(sum(key.startswith("out") for key in golden)):
        image = golden_input(tuple(golden[f"shape{i}"]), int(golden[f"seed{i}"]))
        with torch.no_grad():
            out = restore_any_size(net, image).numpy()
        expected = golden[f"out{i}"]
        assert out.shape == expected.shape
        assert np.abs(out - expected).max() <= 1e-4 * max(1.0, float(expected.std()))
