"""A frozen net with one adapter per degradation; the task id of a sample chooses its adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from aio.adapters.lowrank import Adapter, Plan, adapted_weights
from aio.errors import InputError
from aio.nets.base import CONTRACT, RestorationNet
from aio.vocabulary import TASK_ID, Degradation


def add_adapters(net: RestorationNet, plan: Plan) -> AdaptedNet:
    """`net`, frozen, with a fresh adapter for each degradation of `plan`: its outputs are what they were.

    Raises:
        InputError: one of them has an adapter already.
    """
    adapted = net if isinstance(net, AdaptedNet) else AdaptedNet(base=net)
    for name, lora in plan.items():
        adapted.attach(name, Adapter(adapted.weights(), lora))
    return adapted


class AdaptedNet(RestorationNet):
    """`base` with its weights frozen, and `adapters` by name of degradation.

    A batch of several degradations is split by adapter, each part runs with its effective weights W + s B A in the
    place of W, and the parts are put together again. Samples whose degradation has no adapter, and all of them where
    none is told, run through the bare base. `base` is told the ids that it would be told alone.

    The state dict holds the keys of `base` as they are, and `adapters.DEGRADATION...` beside them. Statistics of batch
    norms stay frozen in training too. A base that learns from a second view of its images is not shown one, as its
    contrast would move what is frozen.
    """

    def __init__(self, *, base: RestorationNet) -> None:
        super().__init__()
        for name in CONTRACT:
            setattr(self, name, getattr(base, name))
        self.base = base.requires_grad_(False)
        self._adapted = tuple(adapted_weights(base))
        self.adapters = nn.ModuleDict()
        self.merged: Degradation | None = None
        self._originals: dict[str, Tensor] = {}
        self._extra: list[tuple[float, dict[str, Tensor]]] = []
        if not base.wants_second_view:
            self.own_losses = base.own_losses
        self.register_state_dict_post_hook(_leave_out_base)
        self.register_load_state_dict_pre_hook(_put_in_base)
        self.train(base.training)

    @property
    def plan(self) -> Plan:
        """Rank and alpha of each adapter."""
        return {name: adapter.lora for name, adapter in self.adapters.items()}  # type: ignore[misc]

    def weights(self) -> dict[str, Tensor]:
        """The frozen weights that adapters change, by name."""
        return {name: self.base.get_parameter(name).detach() for name in self._adapted}

    def attach(self, name: Degradation, adapter: Adapter) -> None:
        """Adds `adapter` for the degradation `name`."""
        if name in self.adapters:
            raise InputError(f"{type(self.base).__name__} has an adapter for {name} already")
        self.unmerge()
        self.adapters[name] = adapter

    def train_only(self, names: Sequence[Degradation]) -> None:
        """Lets the adapters for `names` train, and no other."""
        for name, adapter in self.adapters.items():
            adapter.requires_grad_(name in names)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        self._extra = []
        if self.merged is not None:
            return self._run_merged(image, task)
        known = {TASK_ID[name]: name for name in TASK_ID if name in self.adapters}
        names = [None] if task is None else [known.get(i) for i in task.tolist()]
        out = self._run(names[0], image, task) if len(set(names)) == 1 else self._run_groups(names, image, task)
        if self.training and dist.is_available() and dist.is_initialized():
            # DistributedDataParallel waits for a gradient of every parameter: that of an idle adapter is zero.
            out = out + 0 * sum(parameter.sum() for parameter in self.adapters.parameters() if parameter.requires_grad)
        return out

    def _run_groups(self, names: Sequence[Degradation | None], image: Tensor, task: Tensor | None) -> Tensor:
        rows = {name: [i for i, other in enumerate(names) if other == name] for name in names}
        parts = [
            self._run(name, image[chosen], None if task is None else task[chosen], share=len(chosen) / len(names))
            for name, chosen in rows.items()
        ]
        order = torch.tensor([i for chosen in rows.values() for i in chosen], device=image.device)
        return torch.cat(parts)[order.argsort()]

    def _run(self, name: Degradation | None, image: Tensor, task: Tensor | None, share: float = 1.0) -> Tensor:
        """All of `image` with the adapter `name`, or with none."""
        if name is None:
            out = self.base(image, task)
        else:
            out = functional_call(self.base, self.adapters[name](self.weights()), (image, task))
        if not self.base.wants_second_view:
            self._extra.append((share, self.base.extra_losses()))
        return out

    def _run_merged(self, image: Tensor, task: Tensor | None) -> Tensor:
        told = set() if task is None else set(task.tolist())
        others = [i for i in told if TASK_ID.get(self.merged) != i]  # type: ignore[arg-type]
        if others:
            raise ValueError(f"merged with the adapter for {self.merged}, but told the task {others[0]}: unmerge first")
        return self.base(image, task)

    def extra_losses(self, second_view: Tensor | None = None) -> dict[str, Tensor]:
        """Those of the base, of each part of the last batch by its share."""
        total: dict[str, Tensor] = {}
        for share, losses in self._extra:
            for name, value in losses.items():
                total[name] = total[name] + share * value if name in total else share * value
        return total

    def train(self, mode: bool = True) -> Self:
        if mode:
            self.unmerge()
        super().train(mode)
        for module in self.base.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    @torch.no_grad()
    def merge(self, name: Degradation) -> None:
        """Writes the adapter for `name` into the base: nothing is computed twice; eval mode, and for `name` alone.

        Keeps the frozen weights aside, so that `unmerge` gives them back to the bit, as does the state dict.

        Raises:
            InputError: there is no such adapter.
        """
        require_adapter(self, name)
        self.unmerge()
        self.eval()
        frozen = self.weights()
        self._originals = {key: weight.clone() for key, weight in frozen.items()}
        for key, effective in self.adapters[name](frozen).items():
            frozen[key].copy_(effective)
        self.merged = name

    @torch.no_grad()
    def unmerge(self) -> None:
        """Gives the base its own weights back."""
        frozen = self.weights() if self._originals else {}
        for key, original in self._originals.items():
            frozen[key].copy_(original)
        self._originals, self.merged = {}, None

    def save_pretrained(  # type: ignore[override]  # as in every net
        self, save_directory: str | Path, *, config: None = None, model_card_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Raises InputError: such a folder holds a net alone."""
        raise InputError(f"{save_directory}: has no place for adapters: save `base` there, and them by save_adapters")

    def __getstate__(self) -> dict[str, Any]:
        # The losses belong to a graph, which can be neither copied nor pickled.
        return self.__dict__ | {"_extra": []}


def require_adapter(net: RestorationNet, *names: Degradation) -> None:
    """Raises InputError unless `net` has an adapter for one of `names`."""
    there = net.plan if isinstance(net, AdaptedNet) else {}
    if not any(name in there for name in names):
        raise InputError(f"no adapter for {', '.join(names)}: there are adapters for {', '.join(there) or 'nothing'}")


def _leave_out_base(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    originals: dict[str, Tensor] = module._originals  # type: ignore[assignment]
    for key in [key for key in state if key.startswith(f"{prefix}base.")]:
        name, value = key.removeprefix(f"{prefix}base."), state.pop(key)
        state[prefix + name] = originals.get(name, value)
    for key in [key for key in state if key.startswith(f"{prefix}adapters.")]:
        state[key] = state.pop(key)  # after the base


def _put_in_base(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    module.unmerge()  # type: ignore[operator]
    for key in [key for key in state if key.startswith(prefix) and not key.startswith(f"{prefix}adapters.")]:
        state[f"{prefix}base.{key.removeprefix(prefix)}"] = state.pop(key)
