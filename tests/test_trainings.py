"""Every net learns on the demo photographs, in float32 and mixed precision, and as one in two processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml

from aio.cli import AioCLI
from aio.nets.base import RestorationNet
from tiny_nets import TINY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# No data here have the two views of a dual-pixel camera.
TRAINED = [name for name in TINY if name != "restormer_dual_pixel"]
# It pads to 128 pixels: without blocks on its largest maps, a step takes a quarter of a second.
LIGHTER = {"stoformer": {"num_blocks": [0, 0, 1, 1, 1]}}


def lighter(name: str) -> tuple[type[RestorationNet], dict[str, Any]]:
    kind, arguments = TINY[name]
    return kind, arguments | LIGHTER.get(name, {})


# Lightning starts this file again for the second rank; one start serves all nets, as starting takes longest.
SCRIPT = """\
import sys
from pathlib import Path
import torch
from aio.cli import AioCLI

for home in map(Path, sys.argv[1:]):
    cli = AioCLI([*(home / "words.txt").read_text().split(), "--num_gpus", "2"])
    cli.fit()
    torch.save(cli.model.net.state_dict(), home / f"rank{cli.trainer.global_rank}.pt")
"""


def words(name: str, home: Path, *, steps: int) -> list[str]:
    """The command line of a training of `steps` steps on two images each."""
    kind, arguments = lighter(name)
    preset = {"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": arguments}
    (home / "net.yaml").write_text(yaml.safe_dump(preset))
    scale = arguments.get("scale", 1)
    task = "denoise_25" if scale == 1 else f"sr_x{scale}"
    patch = 64 if name in LIGHTER else 16 * scale
    return f"""--model {home}/net.yaml --de_type {task} --epochs 1 --batch_size 2 --patch_size {patch}
        --data.samples_per_epoch {2 * steps} --data.val_size 32 --data.val_images 2 --num_workers 0
        --perceptual_weight 0 --lr 2e-3 --use_ema false --trainer.accelerator cpu --ckpt_dir {home}/run
        --trainer.enable_progress_bar false --trainer.log_every_n_steps 1""".split()


class Losses(L.Callback):
    """The loss of each step, all of it."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self.seen.append(outputs["loss"].item())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", TRAINED)
def test_the_loss_falls(name, precision, tmp_path):
    cli = AioCLI([*words(name, tmp_path, steps=50), "--precision", precision])
    losses = Losses()
    cli.trainer.callbacks.append(losses)
    cli.fit()
    seen = torch.tensor(losses.seen)
    assert len(seen) == 50
    assert seen.isfinite().all()
    assert all(p.isfinite().all() for p in cli.model.net.state_dict().values() if p.is_floating_point())
    assert seen[-10:].mean() < 0.92 * seen[:10].mean()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> Path:
    """A folder for each net, with the weights which three steps left in either process."""
    home = tmp_path_factory.mktemp("ddp")
    (home / "train.py").write_text(SCRIPT)
    for name in TRAINED:
        (home / name).mkdir()
        (home / name / "words.txt").write_text(" ".join(words(name, home / name, steps=6)))
    command = [sys.executable, "train.py", *(str(home / name) for name in TRAINED)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=850, cwd=home, check=False)
    assert ended.returncode == 0, ended.stderr
    return home


@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_end_with_the_same_weights(name, two_ranks):
    first, second = (torch.load(two_ranks / name / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert first.keys() == second.keys()
    assert [key for key, value in first.items() if not torch.equal(value, second[key])] == []
    kind, arguments = lighter(name)
    torch.manual_seed(0)
    fresh = kind(**arguments).state_dict()
    assert [key for key, value in first.items() if not torch.equal(value, fresh[key])]
