"""A policy: the Q-network of a trained agent, with all that says which net and which patches it is for, in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from aio.errors import InputError
from aio.files import atomic_write
from aio.rl.actions import ACTIONS, DEAREST
from aio.rl.observation import SIZE

_ENTRY: Final = "aio_policy"
_LARGEST: Final = 1 << 16  # bytes of the header's entry


@dataclass(frozen=True)
class About:
    """What a policy is for.

    Attributes:
        net: digest of the weights that it chooses the computation of, see `net_digest`.
        patch_size: side of its patches in pixels.
        steps: passes that a patch may have at most.
        price: dB per pass of the dearest action, at which it was trained.
        costs: multiply-accumulates of each action for one patch.
        actions: their names, in order.
        hidden: widths of the network's layers between observation and values.
    """

    net: str
    patch_size: int
    steps: int
    price: float
    costs: Sequence[int]
    hidden: Sequence[int]
    actions: Sequence[str] = tuple(action.name for action in ACTIONS)


class Policy(nn.Module):
    """Observations `(B, SIZE)` to the values of the actions `(B, actions)`: what each is still to bring, in dB.

    The observation is standardised first, by the mean and deviation of those that the agent was trained on.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, about: About) -> None:
        super().__init__()
        self.about = about
        widths = [SIZE, *about.hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.values = nn.Sequential(*layers, nn.Linear(widths[-1], len(ACTIONS)))
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("deviation", torch.ones(SIZE))

    @property
    def shares(self) -> Tensor:
        """`(actions,)`: what each action costs, in passes of the dearest."""
        costs = torch.tensor(self.about.costs, dtype=torch.float32)
        return costs / costs[DEAREST]

    def forward(self, observation: Tensor) -> Tensor:
        return self.values((observation - self.mean) / self.deviation)


def write_policy(policy: Policy, path: str | Path) -> None:
    """Writes `policy`, whole or not at all, to a `.safetensors` file."""
    state = {key: value.detach().cpu().contiguous() for key, value in policy.state_dict().items()}
    with atomic_write(path) as file:
        file.write(save(state, {"format": "pt", _ENTRY: json.dumps(asdict(policy.about), allow_nan=False)}))


def read_policy(path: str | Path) -> Policy:
    """The policy in `path`.

    Raises:
        InputError: the file is missing, damaged, no policy, or one for other actions than this release has.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected a policy, as `python -m aio.rl.fit` writes it")
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(_ENTRY)
            if entry is None or len(entry) > _LARGEST:
                raise InputError(f"{path}: is no policy; expected what `python -m aio.rl.fit` writes")
            about = _about(json.loads(entry), path)
            policy = Policy(about)
            policy.load_state_dict({key: file.get_tensor(key) for key in policy.state_dict()})
    except (SafetensorError, ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{path}: damaged, or no policy ({str(error).splitlines()[0]})") from error
    return policy.eval()


def _about(said: Any, path: str | Path) -> About:
    names = [field.name for field in fields(About)]
    kinds = {"net": str, "patch_size": int, "steps": int, "price": float, "costs": list, "hidden": list}
    if (
        not isinstance(said, dict)
        or sorted(said) != sorted(names)
        or not all(isinstance(said.get(name), kind) for name, kind in kinds.items())
    ):
        raise InputError(f"{path}: its header {_ENTRY} is of another form than `python -m aio.rl.fit` writes")
    actions = [action.name for action in ACTIONS]
    if said["actions"] != actions or len(said["costs"]) != len(actions):
        raise InputError(f"{path}: is for the actions {said['actions']}, and this release has {actions}")
    if not all(isinstance(width, int) and 0 < width <= 4096 for width in said["hidden"]):
        raise InputError(f"{path}: its header {_ENTRY} names layers of widths {said['hidden']}")
    return About(**said)
