"""One net into one file, checked, and its card beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from torch import Tensor

from aio.adapters import AdaptedNet, require_adapter
from aio.errors import InputError
from aio.exporting.agreement import Agreement, compare
from aio.exporting.card import Exported, model_card
from aio.exporting.formats import check_size, write_onnx, write_program
from aio.exporting.graph import capture, operators_of
from aio.files import write_text
from aio.nets.base import RestorationNet
from aio.nets.stoformer import StochasticBlock
from aio.vocabulary import TASK_ID, Degradation
from aio.weights import deploy, describe_net, open_net


@dataclass(frozen=True)
class Wish:
    """What is to be written.

    Attributes:
        path: the file; the card is its neighbour, with .md added to its name.
        format: `onnx`, `torch_export` or `safetensors`.
        tasks: degradations that the net is for, as far as they are known.
        told: the one which a graph tells the net with every image; None leaves it blind.
        about: what is known besides: licence, how the net was trained.
        opset: of ONNX; None for torch's choice.
        half: keeps float16 of the weights, in a file of weights.
    """

    path: Path
    format: str
    tasks: Sequence[str]
    told: Degradation | None
    about: Mapping[str, str]
    opset: int | None
    half: bool = False

    @property
    def card(self) -> Path:
        return self.path.with_name(f"{self.path.name}.md")


def check_graph(net: RestorationNet, wish: Wish) -> None:
    """Looks, before long work, for what speaks against a graph of `net`.

    Raises:
        InputError: the net cannot be a graph, or has adapters of which none is chosen.
    """
    if reason := obstacle(net):
        raise InputError(f"--format {wish.format}: {reason}; --format safetensors takes any network")
    if isinstance(net, AdaptedNet):
        if wish.told is None:
            raise InputError(f"--de_type: name the one adapter to export: there are {', '.join(net.plan)}")
        require_adapter(net, wish.told)
    if wish.format == "onnx":
        check_size(net, wish.path)


def obstacle(net: RestorationNet) -> str | None:
    """Why `net` cannot be a graph; None where it can."""
    if any(isinstance(module, StochasticBlock) and len(module.eval_offsets) > 1 for module in net.modules()):
        return "the mean over several window offsets goes by strips, as many as an image has, and cannot be a graph"
    return None


def export(net: RestorationNet, wish: Wish) -> Exported:
    """Writes `net`, in eval mode and on the CPU, as `wish` says.

    Raises:
        InputError: it cannot be written so, or the file does not compute what PyTorch does; none is left then.
    """
    if wish.format != "safetensors":
        check_graph(net, wish)
    about = describe_net(net) | dict(wish.about)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, transient=True) as bar:
        line = bar.add_task("", total=None)

        def say(words: str) -> None:
            bar.update(line, description=words)

        if wish.format == "safetensors":
            exported = _weights(net, wish, about, say)
        else:
            net = _merged(net, wish.told)
            exported = _graph(net, wish, about, say)
        say("counting")
        write_text(wish.card, model_card(net, exported))
    return exported


def _merged(net: RestorationNet, told: Degradation | None) -> RestorationNet:
    """`net` itself, or the base of an adapted one with the adapter for `told` in its weights."""
    if not isinstance(net, AdaptedNet) or told is None:
        return net
    net.merge(told)
    return net.base


def _graph(net: RestorationNet, wish: Wish, about: dict[str, str], say: Callable[[str], None]) -> Exported:
    task = None if wish.told is None else TASK_ID[wish.told]
    say("tracing")
    program = capture(net, task)
    agreements: list[Agreement] = []

    def check(exported: Callable[[Tensor], Tensor]) -> None:
        for agreement in compare(net, task, exported, str(wish.path)):
            agreements.append(agreement)
            say(f"comparing with PyTorch, {len(agreements)} sizes done")

    opset = None
    say("translating")
    if wish.format == "onnx":
        texts = about | {"net": json.dumps(net.config), "tasks": json.dumps(list(wish.tasks))}
        opset = write_onnx(program, wish.path, opset=wish.opset, about=texts, check=check)
    else:
        write_program(program, wish.path, check=check)
    return Exported(wish.path, wish.format, about, wish.tasks, wish.told, opset, operators_of(program), agreements)


def _weights(net: RestorationNet, wish: Wish, about: dict[str, str], say: Callable[[str], None]) -> Exported:
    say("writing")
    deploy(net, wish.path, tasks=wish.tasks, about=wish.about, half=wish.half)
    say("reading it again")
    ours, theirs = net.state_dict(), open_net(wish.path).state_dict()
    if any(not torch.equal(_kept(value, wish.half), theirs[key]) for key, value in ours.items()):
        wish.path.unlink()
        raise InputError(f"{wish.path}: not kept, it does not hold the weights that were written")
    return Exported(wish.path, wish.format, about, wish.tasks, None, None, [], [])


def _kept(value: Tensor, half: bool) -> Tensor:
    """What is left of `value` in the file."""
    return value.half().to(value.dtype) if half and value.is_floating_point() else value
