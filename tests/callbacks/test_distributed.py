"""What DDP is told, and that two ranks train alike however their gradients travel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from aio.callbacks.distributed import Distributed
from aio.errors import InputError

# Lightning starts this file again for the second rank.
SCRIPT = """\
import sys
import lightning as L
import torch
from aio.cli import AioCLI

class Spoil(L.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == int(sys.argv[2]) and trainer.global_rank == 1:
            batch["degraded"][0, 0, 0, 0] = float("nan")

cli = AioCLI(sys.argv[3:])
cli.trainer.callbacks.insert(0, Spoil())
cli.fit()
ended = {"weights": cli.model.net.state_dict(), "skipped": cli.config_init.skip.skipped}
torch.save(ended, f"{sys.argv[1]}/rank{cli.trainer.global_rank}.pt")
"""


def trainer(strategy: Any, world_size: int = 2, accumulated: int = 1) -> Any:
    return SimpleNamespace(strategy=strategy, world_size=world_size, accumulate_grad_batches=accumulated)


def test_ddp_is_told_what_was_chosen():
    strategy, module = DDPStrategy(find_unused_parameters=True), nn.Linear(1, 1)
    Distributed(static_graph=True).setup(trainer(strategy), module, "fit")
    assert strategy._ddp_kwargs == {
        "gradient_as_bucket_view": True,
        "static_graph": True,
        "find_unused_parameters": True,  # as the strategy itself was told
    }
    alone = DDPStrategy()
    Distributed().setup(trainer(alone, world_size=1), module, "fit")
    Distributed().setup(trainer(alone), module, "validate")
    assert not alone._ddp_kwargs


@pytest.mark.parametrize(
    ("words", "where", "says"),
    [
        (
            {"compression": "fp16"},
            trainer(SimpleNamespace()),
            "distributed.compression fp16 with SimpleNamespace: only DDP",
        ),
        ({"static_graph": True}, trainer(DDPStrategy(), accumulated=2), "static_graph with 2 batches to a step"),
        ({"powersgd_rank": 0}, None, "distributed.powersgd_rank 0: expected a whole number of at least 1"),
        ({"powersgd_start": 1}, None, "distributed.powersgd_start 1: expected a whole number of at least 2"),
    ],
    ids=["not ddp", "accumulation", "rank", "start"],
)
def test_what_cannot_be_is_refused(words, where, says):
    with pytest.raises(InputError, match=says):
        Distributed(**words).setup(where, nn.Linear(1, 1), "fit")


def two_ranks(home: Path, short_fit: list[str], *words: str, spoil_at: int = -1) -> list[dict[str, Any]]:
    home.mkdir()
    (home / "train.py").write_text(SCRIPT)
    length = ["--data.samples_per_epoch", "24", "--num_gpus", "2", "--epochs", "1", "--ckpt_dir", str(home / "run")]
    command = [sys.executable, str(home / "train.py"), str(home), str(spoil_at), *short_fit, *length, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ}, cwd=home)
    assert ended.returncode == 0, ended.stderr
    ranks = [torch.load(home / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    assert all(torch.equal(value, ranks[1]["weights"][key]) for key, value in ranks[0]["weights"].items())
    return ranks


def flat(ranks: list[dict[str, Any]]) -> torch.Tensor:
    return torch.cat([value.flatten() for value in ranks[0]["weights"].values()])


@pytest.fixture(scope="module")
def plain(tmp_path_factory, short_fit) -> torch.Tensor:
    """Weights of two ranks of the defaults but for copied gradients."""
    words = ["--distributed.gradient_as_bucket_view", "false"]
    return flat(two_ranks(tmp_path_factory.mktemp("ddp") / "plain", short_fit, *words))


@pytest.mark.slow
@pytest.mark.parametrize("option", ["gradient_as_bucket_view", "static_graph", "find_unused_parameters"])
def test_where_gradients_lie_and_how_they_are_found_changes_nothing(plain, short_fit, tmp_path, option):
    found = flat(two_ranks(tmp_path / "run", short_fit, f"--distributed.{option}", "true"))
    assert torch.equal(found, plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "apart"),
    [
        (["fp16"], 0.05),
        (["bf16"], 0.3),
        (["powersgd", "--distributed.powersgd_start", "2", "--distributed.powersgd_rank", "8"], 1.0),
    ],
    ids=["fp16", "bf16", "powersgd"],
)
def test_compressed_gradients_lead_about_as_far(plain, short_fit, tmp_path, words, apart):
    """Adam turns small differences of small gradients into steps: `apart` is a share of the way of the weights."""
    from aio.nets.restormer import Restormer
    from training import TINY

    found = flat(two_ranks(tmp_path / "run", short_fit, "--distributed.compression", *words))
    torch.manual_seed(0)
    start = torch.cat([value.flatten() for value in Restormer(**TINY).state_dict().values()])
    assert not torch.equal(found, plain)
    assert (found - plain).norm() < apart * (plain - start).norm()


@pytest.mark.slow
def test_the_rest_of_powersgd_begins_anew_after_a_skipped_step(short_fit, tmp_path):
    """Else a NaN would stay in it, and all later steps be skipped."""
    words = ["--distributed.compression", "powersgd", "--distributed.powersgd_start", "2"]
    ranks = two_ranks(tmp_path / "run", short_fit, *words, spoil_at=3)
    assert [rank["skipped"] for rank in ranks] == [1, 1]
    assert flat(ranks).isfinite().all()
