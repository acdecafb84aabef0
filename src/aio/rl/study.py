"""From a net to policies that have been measured: passes over patches, agents at several prices and seeds, tables.

What is there already, from a run that was killed, is not computed again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from aio.data.datamodule import RestorationData
from aio.errors import InputError
from aio.files import atomic_write, write_text
from aio.nets.base import RestorationNet
from aio.pictures import write_picture
from aio.rl.actions import DEAREST, macs_of_actions
from aio.rl.adaptive import AdaptiveNet, net_digest
from aio.rl.agent import HIDDEN, LearningCurve, decisions, train_agent
from aio.rl.outcome import (
    Outcome,
    fixed_outcomes,
    oracle_outcome,
    outcome_of,
    random_outcome,
    shuffled_outcome,
)
from aio.rl.patches import Patches, cut, held_out_patches, training_patches
from aio.rl.plots import draw_spending
from aio.rl.policy import About, Policy, read_policy, write_policy
from aio.rl.report import write_curve, write_learning
from aio.rl.rollouts import Rollouts, roll_out
from aio.vocabulary import DEGRADATIONS

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Task:
    """What agents are trained for.

    Attributes:
        net: in eval mode on its device.
        patch_size: side of the patches in pixels, a multiple of the net's size rule.
        passes: that a patch may have at most.
    """

    net: RestorationNet
    patch_size: int
    passes: int = 3

    @cached_property
    def digest(self) -> str:
        """Of the net's weights."""
        return net_digest(self.net)

    @cached_property
    def macs(self) -> list[int]:
        """Of each action, for one patch."""
        return macs_of_actions(self.net, self.patch_size)

    def about(self, price: float) -> About:
        """For the header of a policy."""
        return About(self.digest, self.patch_size, self.passes, price, self.macs, HIDDEN)


def check(task: Task) -> None:
    """Raises InputError if no agent can be trained for it."""
    net, side = task.net, task.patch_size
    if (net.in_channels, net.out_channels, net.scale) != (3, 3, 1):
        raise InputError(f"{type(net).__name__}: a policy is for nets that restore colour images at their size")
    if side < net.multiple_of or side % net.multiple_of:
        raise InputError(f"--patch_size {side}: expected a multiple of {net.multiple_of}")
    if task.passes < 1:
        raise InputError(f"--passes {task.passes}: expected a number of at least 1")


def roll_outs(task: Task, data: RestorationData, folder: Path, progress: Progress) -> tuple[Rollouts, Rollouts]:
    """All passes over the training patches and over the held-out ones; kept in `folder`."""
    key = json.dumps([task.digest, task.patch_size, task.passes, data.tasks, data.trainset, str(data.root)])
    batches = data.batches_per_epoch() * data.batch_size
    return (
        _kept(folder / "training.npz", f"{key} {batches} {data.seed}", task, lambda: training_patches(data), progress),
        _kept(
            folder / "held_out.npz",
            f"{key} {data.val_images} {data.seed}",
            task,
            lambda: held_out_patches(data, task.patch_size),
            progress,
        ),
    )


def _kept(path: Path, key: str, task: Task, patches: Callable[[], Patches], progress: Progress) -> Rollouts:
    names = [field.name for field in fields(Rollouts)]
    if path.exists():
        with np.load(path) as stored:
            if str(stored["key"]) == key:
                return Rollouts(int(stored["steps"]), *(stored[name] for name in names[1:]))
    degraded, clean, tasks = patches()
    costs = [macs / task.macs[DEAREST] for macs in task.macs]
    total = len(degraded)
    made = roll_out(
        *(task.net, degraded, clean),
        costs=costs,
        tasks=tasks,
        steps=task.passes,
        progress=lambda done: progress(done, total),
    )
    with atomic_write(path) as file:
        np.savez(
            file, allow_pickle=False, key=np.array(key), **{name: np.asarray(getattr(made, name)) for name in names}
        )
    return made


def policy_path(folder: Path, price: float, seed: int) -> Path:
    """Where the policy of this price and seed lies."""
    return folder / f"policy-{price:g}-seed{seed}.safetensors"


def learn(
    about: About, training: Rollouts, folder: Path, *, seed: int, actions: int, progress: Progress
) -> tuple[Policy, LearningCurve]:
    """The policy of `about`'s price and this seed, after so many actions; as it lies in `folder` if it does."""
    path = policy_path(folder, about.price, seed)
    notes = path.with_suffix(".json")
    made_by = {"about": asdict(about), "actions": actions, "patches": sha256(training.errors.tobytes()).hexdigest()}
    made_by = json.loads(json.dumps(made_by))  # as it is read again
    if path.exists() and notes.exists():
        said = json.loads(notes.read_text())
        if said["made_by"] == made_by:
            return read_policy(path), LearningCurve(**said["curve"])
    policy, curve = train_agent(
        training, about, seed=seed, steps=actions, progress=lambda done: progress(done, actions)
    )
    write_policy(policy, path)
    write_text(notes, json.dumps({"made_by": made_by, "curve": asdict(curve)}))
    return policy, curve


def report(
    policies: Mapping[tuple[float, int], Policy],
    curves: Mapping[tuple[float, int], LearningCurve],
    held_out: Rollouts,
    folder: Path,
) -> str:
    """Measures `policies`, by price and seed, on `held_out`; writes tables and pictures, returns the Markdown."""
    unit = next(iter(policies.values())).about.costs[DEAREST] / 1e9

    def told(outcome: Outcome) -> Outcome:
        return replace(outcome, cost=outcome.cost * unit)

    learned: dict[float, list[tuple[Outcome, Outcome]]] = {}
    for (price, seed), policy in policies.items():
        errors, spent, taken = decisions(policy, held_out)
        reached = outcome_of(f"learned {price:g} seed {seed}", errors, spent)
        learned.setdefault(price, []).append((told(reached), told(shuffled_outcome(held_out, taken))))
    write_learning(folder, curves)
    return write_curve(
        folder,
        fixed=[told(outcome) for outcome in fixed_outcomes(held_out)],
        random=told(random_outcome(held_out)),
        oracle={price: told(oracle_outcome(held_out, price)) for price in learned},
        learned=learned,
    )


def draw_photographs(task: Task, policy: Policy, data: RestorationData, folder: Path) -> None:
    """Where `policy` spends: the first held-out photograph of each degradation as `spending-TASK.png`."""
    adaptive = AdaptiveNet(net=task.net, policy=policy).eval()
    drawn: set[int] = set()
    for batch in data.val_dataloader():
        number, image = int(batch["task"][0]), batch["degraded"][0]
        patches = cut(image, task.patch_size)
        if number in drawn or not len(patches):
            continue
        drawn.add(number)
        adaptive.forget()
        adaptive(patches.to(next(task.net.parameters()).device))
        picture = draw_spending(image, task.patch_size, adaptive.chosen)
        write_picture(picture, folder / f"spending-{DEGRADATIONS[number]}.png")
