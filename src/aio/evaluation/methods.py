"""Who restores: a checkpoint's net or a classical method, described by plain data and opened in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from aio.errors import InputError
from aio.evaluation.baselines import BASELINES, ENLARGING, baseline
from aio.nets.base import RestorationNet
from aio.rl.adaptive import with_policy
from aio.vocabulary import SCALES, Degradation
from aio.weights import open_net, place


class Form(NamedTuple):
    """Which images a method takes: how much larger the clean ones are, and whether it sees their luma alone."""

    scale: int
    gray: bool


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        name: in the table, and of its folder.
        checkpoint: a checkpoint, or None for the classical method of that name.
        model: the checkpoint's preset, where the weights alone do not tell.
        adapters: files of adapters beside the checkpoint.
        policy: the file of what chooses the computation of its tiles, if anything does.
        fingerprint: of the contents of these files.
    """

    name: str
    checkpoint: Path | None
    model: str | None
    adapters: tuple[Path, ...]
    fingerprint: str
    policy: Path | None = None

    def open(self, device: str, *, scale: int) -> RestorationNet:
        """The net, in eval mode on `device`; a classical method computes on the host, for images of `scale`.

        Raises:
            InputError: the checkpoint cannot be opened, or the device is not there.
        """
        if self.checkpoint is None:
            return baseline(self.name, scale=scale)
        net = open_net(self.checkpoint, self.model, self.adapters)
        return place(net if self.policy is None else with_policy(net, self.policy), device)


def common_form(methods: Sequence[Method], task: Degradation | None) -> Form:
    """The form of all nets among `methods`; without a net, that which `task` asks for.

    Raises:
        InputError: they differ, so that no images are for all of them.
    """
    nets = {method.name: method.open("cpu", scale=1) for method in methods if method.checkpoint}
    forms = {name: Form(net.scale, net.in_channels == 1) for name, net in nets.items()}
    if len(set(forms.values())) > 1:
        listed = ", ".join(
            f"{name} ({form.scale} x, {'gray' if form.gray else 'colour'})" for name, form in forms.items()
        )
        raise InputError(f"--checkpoint: measure apart what takes other images: {listed}")
    return next(iter(forms.values()), Form(SCALES.get(task, 1) if task else 1, gray=False))


def methods_of(
    checkpoints: Sequence[Path],
    baselines: Sequence[str],
    *,
    model: str | None,
    adapters: Sequence[str],
    policy: str | None = None,
) -> list[Method]:
    """One for each checkpoint, one for each under `policy`, then one for each classical method.

    Raises:
        InputError: there is none, a file is missing or a classical method unknown.
    """
    if not checkpoints and not baselines:
        raise InputError(
            "say what to measure: --checkpoint C ... (`default` is the one in the package), --baseline B ... or both"
        )
    files = tuple(Path(adapter) for adapter in adapters)
    nets = [
        Method(name, path, model, files, _fingerprint([path, *files], model or ""))
        for name, path in zip(_names(checkpoints), checkpoints, strict=True)
    ]
    if policy is not None:
        nets += [_under(method, Path(policy)) for method in nets]
    if unknown := set(baselines) - {*BASELINES, ENLARGING}:
        raise InputError(f"--baseline {', '.join(sorted(unknown))}: choose from {', '.join((*BASELINES, ENLARGING))}")
    return nets + [Method(name, None, None, (), name) for name in baselines]


def _under(method: Method, policy: Path) -> Method:
    if not policy.is_file():
        raise InputError(f"--policy {policy}: no such file")
    fingerprint = method.fingerprint + _fingerprint([policy], "")
    return replace(method, name=f"{method.name}+{policy.stem}", policy=policy, fingerprint=fingerprint)


def _names(checkpoints: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart, without slashes: `runA-best`, or `best` alone."""
    parts = [path.resolve().with_suffix("").parts[1:] for path in checkpoints]
    for length in range(1, max((len(p) for p in parts), default=0) + 1):
        names = ["-".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    if parts:
        raise InputError(f"--checkpoint {' '.join(map(str, checkpoints))}: one is named twice")
    return []


def _fingerprint(paths: Sequence[Path], model: str) -> str:
    digest = hashlib.sha256(model.encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
