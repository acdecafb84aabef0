"""Parts of a net with a rate of their own, and parts that rest: laws of the weights, the optimiser and resumption."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from aio.callbacks.ema import EMA
from aio.callbacks.parts import Parts
from aio.cli import AioCLI
from aio.errors import InputError
from aio.nets.base import RestorationNet
from aio.task import RestorationTask, WarmupCosine
from training import batch_of, loader, trainer_for

BATCHES = [batch_of(2, seed=seed) for seed in range(2)]
EPOCHS = 4


class Small(RestorationNet):
    """An encoder with batch norm, and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.encoder_2 = nn.Conv2d(4, 4, 1)
        self.decoder = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3))

    def forward(self, image, task=None):
        return image + self.decoder(self.encoder_2(self.encoder(image)))


class Diary(L.Callback):
    """Rates of every step; state and modes of the net before each epoch and at the end."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.states: list[dict[str, torch.Tensor]] = []
        self.modes: list[tuple[bool, bool]] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.states.append({key: value.clone() for key, value in pl_module.net.state_dict().items()})

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        self.modes.append((pl_module.net.encoder[1].training, pl_module.net.decoder[1].training))

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.on_train_epoch_start(trainer, pl_module)

    def moved(self, part: str) -> list[bool]:
        """For each epoch, whether anything of the part changed, statistics included."""
        pairs = pairwise(self.states)
        return [any(not torch.equal(a[key], b[key]) for key in a if key.startswith(part)) for a, b in pairs]


class Still(L.Callback):
    """Holds a batch norm at its statistics."""

    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm

    def on_train_batch_start(self, *_: Any) -> None:
        self.norm.eval()


def fitted(parts: Parts, *, net: RestorationNet | None = None, **arguments: Any) -> tuple[L.Trainer, Diary]:
    resume = arguments.pop("ckpt_path", None)
    before = arguments.pop("callbacks", [])
    task = RestorationTask(net=net or Small(), lr=1e-2, min_lr=1e-4, weight_decay=0.1, warmup_epochs=0.5)
    diary = Diary()
    trainer = trainer_for(callbacks=[*before, parts, diary], **{"max_epochs": EPOCHS, **arguments})
    trainer.fit(task, loader(BATCHES), loader(BATCHES[:1]), ckpt_path=resume, weights_only=True)
    return trainer, diary


def test_every_group_follows_the_schedule_at_its_own_height():
    trainer, diary = fitted(Parts(lr={"encoder": 1e-3, "decoder.0": 5e-3}))
    steps = len(BATCHES) * EPOCHS
    factor = WarmupCosine(warmup=1, total=steps, floor=1e-2)
    expected = [[height * factor(min(step + 1, steps)) for height in (1e-2, 1e-3, 5e-3)] for step in range(steps)]
    assert diary.rates == [pytest.approx(rates) for rates in expected]
    groups = [len(group["params"]) for group in trainer.optimizers[0].param_groups]
    assert groups == [4, 4, 2]  # `encoder_2` is no part of `encoder`


def test_a_rate_of_its_own_is_that_of_a_net_which_trains_at_it():
    """The first step: gradients are the same, and Adam's step is the rate times a function of the gradient."""
    _, own = fitted(Parts(lr={"encoder": 1e-3}), max_steps=1)
    _, plain = fitted(Parts(), max_steps=1)
    (ours_before, ours), (theirs_before, theirs) = own.states, plain.states
    for key in (key for key in ours if key.endswith("weight")):
        step, full = ours[key] - ours_before[key], theirs[key] - theirs_before[key]
        torch.testing.assert_close(step, full * (0.1 if key.startswith("encoder.") else 1), atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_what_rests_is_equal_to_the_bit_and_wakes_in_its_epoch(clip):
    """Weight decay and momentum too: all of them would move it; validation turns modes in between."""
    _, diary = fitted(Parts(frozen={"encoder": 2}), gradient_clip_val=clip)
    assert diary.moved("encoder.") == [False, False, True, True]
    assert diary.moved("encoder_2") == diary.moved("decoder") == [True] * 4
    assert diary.modes == [(False, True)] * 4 + [(True, True)] * 4


def test_the_rest_train_as_if_what_rests_had_no_gradient():
    net = Small()
    net.encoder.requires_grad_(False)
    _, expected = fitted(Parts(), net=net, callbacks=[Still(net.encoder[1])], gradient_clip_val=0.1)
    _, ours = fitted(Parts(frozen={"encoder": EPOCHS}), gradient_clip_val=0.1)
    assert all(torch.equal(value, expected.states[-1][key]) for key, value in ours.states[-1].items())


def test_the_optimiser_counts_the_steps_of_a_part_from_its_first():
    trainer, _ = fitted(Parts(frozen={"encoder": 3}))
    state = trainer.optimizers[0].state
    net = trainer.lightning_module.net
    assert state[net.encoder[0].weight]["step"] == 2
    assert state[net.decoder[0].weight]["step"] == 8


def test_batch_norms_that_rest_before_stay_so_and_those_that_rested_wake_at_the_end():
    net = Small()
    _, diary = fitted(Parts(frozen={"encoder": 1}), net=net, callbacks=[Still(net.encoder[1])])
    assert {mode for mode, _ in diary.modes} == {False}
    other = Small()
    fitted(Parts(frozen={"encoder": 9}), net=other)
    assert other.encoder[1].training


@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_resumed_in_any_epoch_it_ends_as_uninterrupted(tmp_path, at, ema):
    def parts() -> list[L.Callback]:
        return [EMA(decay=0.9)] if ema else []

    words = {"lr": {"encoder": 1e-3}, "frozen": {"encoder": 2}}
    whole, _ = fitted(Parts(**words), callbacks=parts())

    class Stop(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == at - 1:
                trainer.save_checkpoint(tmp_path / "a.ckpt")
                trainer.should_stop = True

    fitted(Parts(**words), callbacks=[*parts(), Stop()])
    again, diary = fitted(Parts(**words), callbacks=parts(), ckpt_path=tmp_path / "a.ckpt")
    ours, theirs = (trainer.lightning_module.state_dict() for trainer in (again, whole))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert diary.moved("encoder.") == [epoch >= 2 for epoch in range(at, EPOCHS)]
    assert again.optimizers[0].param_groups[1]["lr"] == whole.optimizers[0].param_groups[1]["lr"]


def test_other_rates_go_on_and_other_parts_are_refused(tmp_path):
    first, _ = fitted(Parts(lr={"encoder": 1e-3}), max_epochs=2)
    first.save_checkpoint(tmp_path / "a.ckpt")
    _, diary = fitted(Parts(lr={"encoder": 2e-3}), ckpt_path=tmp_path / "a.ckpt")
    assert all(part == pytest.approx(0.2 * rest) for rest, part in diary.rates)
    with pytest.raises(InputError, match=r"groups of \[6, 4\] weights, this one of \[10\].*parts\.lr"):
        fitted(Parts(), ckpt_path=tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"lr": {"encoder": 0.0}}, r"parts\.lr encoder 0\.0: expected a rate above 0"),
        ({"frozen": {"encoder": -1}}, r"parts\.frozen encoder -1: expected a whole number of at least 0"),
        ({"lr": {"encode": 1e-3}}, r"parts\.lr encode: no weights of Small train there: encoder, encoder_2, decoder"),
        ({"frozen": {"head": 1}}, r"parts\.frozen head: no weights of Small"),
        ({"lr": {"encoder": 1e-3, "encoder.0": 1e-4}}, r"parts\.lr encoder\.0: lies in encoder"),
        ({"frozen": {"encoder": 1, "encoder_2": 1, "decoder": 2}}, r"nothing is left to train in the first epoch"),
    ],
)
def test_parts_that_cannot_be_are_named(words, says):
    with pytest.raises(InputError, match=says):
        Parts(**words).tell(RestorationTask(net=Small()))


def test_by_the_command_line_a_scaled_rate_scales_that_of_the_parts(short_fit, tmp_path):
    words = ["--parts.lr", '{"patch_embed": 1e-5}', "--parts.frozen", '{"patch_embed": 1}']
    scaled = ["--lr", "1e-4", "--scale_lr", "linear", "--base_batch", "1"]
    cli = AioCLI([*short_fit, *words, *scaled, "--epochs", "1", "--ckpt_dir", str(tmp_path / "run")])
    weight = cli.model.net.patch_embed.proj.weight
    before = weight.clone()
    cli.fit()
    assert [group["initial_lr"] for group in cli.trainer.optimizers[0].param_groups] == pytest.approx([2e-4, 2e-5])
    assert torch.equal(weight, before)
    stored = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["settings"]["parts"]
    assert stored == {"lr": {"patch_embed": 1e-5}, "frozen": {"patch_embed": 1}}


# Lightning starts this file again for the second rank.
SCRIPT = """\
import sys
import lightning as L
import torch
from aio.cli import AioCLI

class States(L.Callback):
    seen = []
    def on_train_epoch_start(self, trainer, module):
        self.seen.append({key: value.clone() for key, value in module.net.state_dict().items()})
    on_train_end = on_train_epoch_start

cli = AioCLI(sys.argv[2:])
cli.trainer.callbacks.append(States())
cli.fit()
torch.save(States.seen, f"{sys.argv[1]}/rank{cli.trainer.global_rank}.pt")
"""


@pytest.mark.slow
def test_two_ranks_rest_and_wake_together(short_fit, tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    words = ["--parts.frozen", '{"patch_embed": 1}', "--num_gpus", "2", "--ckpt_dir", str(tmp_path / "run")]
    command = [sys.executable, str(tmp_path / "train.py"), str(tmp_path), *short_fit, *words]
    command += ["--data.samples_per_epoch", "8", "--use_ema", "false"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ}, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    ours, theirs = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert len(ours) == 3
    for key in ours[0]:
        assert all(torch.equal(one[key], other[key]) for one, other in zip(ours, theirs, strict=True))
        moved = [not torch.equal(one[key], other[key]) for one, other in pairwise(ours)]
        assert moved == [not key.startswith("patch_embed"), True], key
