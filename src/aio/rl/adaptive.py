"""A net whose computation a policy chooses patch by patch, without a clean image to look at."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from aio.errors import InputError
from aio.inference.settings import Tile
from aio.nets.base import RestorationNet
from aio.rl.actions import STOP, passed
from aio.rl.observation import observe
from aio.rl.policy import Policy, read_policy


class AdaptiveNet(RestorationNet):
    """`net` under `policy`: each image of a batch is a patch, and gets the passes that the policy asks for.

    Patches that want the same pass take it together. Give it tiles of about `policy.about.patch_size`, on which the
    policy was trained.

    Attributes:
        macs: multiply-accumulates of all passes so far.
        chosen: for each patch so far, its actions in order, without the stop.
    """

    def __init__(self, *, net: RestorationNet, policy: Policy) -> None:
        super().__init__()
        self.multiple_of, self.global_statistics = net.multiple_of, net.global_statistics
        self.config = net.config | {"policy": asdict(policy.about)}
        self.net, self.policy = net, policy
        self.chosen: list[tuple[int, ...]] = []
        self.forget()

    def forget(self) -> None:
        """Begins to count anew."""
        self.macs, self.chosen = 0.0, []

    @torch.no_grad()
    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        count, device = len(image), image.device
        estimate, asking = image.clone(), torch.arange(count, device=device)
        spent, last = torch.zeros(count, device=device), torch.full((count,), STOP, device=device)
        shares = self.policy.shares.to(device)
        taken: list[tuple[int, ...]] = [()] * count
        for steps in range(self.policy.about.steps):
            observation = observe(image[asking], estimate[asking], steps=steps, spent=spent[asking], last=last[asking])
            wanted = self.policy(observation).argmax(dim=1)
            asking, wanted = asking[wanted != STOP], wanted[wanted != STOP]
            if not len(asking):
                break
            for action in wanted.unique().tolist():
                of = asking[wanted == action]
                ids = None if task is None else task[of]
                estimate[of] = passed(self.net, action, image[of], estimate[of], ids)
            spent[asking] += shares[wanted]
            last[asking] = wanted
            for patch, action in zip(asking.tolist(), wanted.tolist(), strict=True):
                taken[patch] = (*taken[patch], action)
        self._count(taken, image.shape[2] * image.shape[3])
        return estimate

    def _count(self, taken: list[tuple[int, ...]], pixels: int) -> None:
        """Costs are counted for patches of the policy's size; those of others by their pixels."""
        costs, side = self.policy.about.costs, self.policy.about.patch_size
        self.macs += sum(costs[action] for actions in taken for action in actions) * pixels / side**2
        self.chosen += taken


def tile_of(net: RestorationNet, tile: Tile) -> Tile:
    """The side of tiles for `net`: under a policy that which it was trained on, unless `tile` is a number."""
    return net.policy.about.patch_size if isinstance(net, AdaptiveNet) and isinstance(tile, str) else tile


def net_digest(net: RestorationNet) -> str:
    """SHA-256 of the names and weights of `net`, wherever they are."""
    digest = hashlib.sha256(type(net).__name__.encode())
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def with_policy(net: RestorationNet, path: str | Path) -> AdaptiveNet:
    """`net` under the policy in `path`, in eval mode.

    Raises:
        InputError: the file cannot be read, or its policy was trained for another net or other weights.
    """
    policy = read_policy(path)
    if (found := net_digest(net)) != policy.about.net:
        raise InputError(
            f"{path}: was trained for the net {policy.about.net[:12]}, and this one is {found[:12]}; "
            "name the checkpoint that it was trained with, or train one for this: python -m aio.rl.fit"
        )
    adaptive = AdaptiveNet(net=net, policy=policy.to(next(net.parameters()).device))
    return adaptive.eval()
