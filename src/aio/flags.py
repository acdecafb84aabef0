"""The field's short flags as one table, and their translation into LightningCLI's dotted options.

Needs no heavy import: `aio fit --help` and a mistyped value answer at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from aio.errors import InputError
from aio.presets import net_preset
from aio.trust import refuse_foreign
from aio.vocabulary import expand

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Flag:
    """A short flag: `key` is the dotted option it stands for, `parse` turns its words into that option's value."""

    name: str
    key: str
    help: str
    parse: Callable[[list[str]], Any]
    words: str = "X"


def _text(words: list[str]) -> str:
    if len(words) != 1:
        raise ValueError(f"expected one value, got {len(words)}")
    return words[0]


def _whole(words: list[str]) -> int:
    return _parsed(int, words, "a whole number")


def _number(words: list[str]) -> float:
    return _parsed(float, words, "a number")


def _parsed(kind: Callable[[str], Number], words: list[str], expected: str) -> Number:
    word = _text(words)
    try:
        return kind(word)
    except ValueError:
        raise ValueError(f"expected {expected}") from None


def _switch(words: list[str]) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    word = _text(words or ["true"]).lower()
    if word not in values:
        raise ValueError("expected true or false")
    return values[word]


def _choice(*choices: str) -> Callable[[list[str]], str]:
    def parse(words: list[str]) -> str:
        word = _text(words)
        if word not in choices:
            raise ValueError(f"choose from {', '.join(choices)}")
        return word

    return parse


def _tasks(words: list[str]) -> list[str]:
    return list(expand(_as_list(words)))


def _as_list(words: list[str]) -> list[str]:
    """`a b`, or `a,b`, or as sweeps and YAML write it `['a', 'b']`."""
    parts = (part.strip(" '\"[]") for word in words for part in word.split(","))
    return [part for part in parts if part]


def _ema_decay_of_switch(words: list[str]) -> float:
    return 0.999 if _switch(words) else 0.0


def _gpus(words: list[str]) -> int | str:
    return "auto" if words == ["auto"] else _parsed(int, words, "a whole number or auto")


_TRAINSETS: Final = ("demo", "synthetic", "paired", "mixed", "pooled")
_SCALES: Final = ("none", "linear", "sqrt")
_LOSSES: Final = ("l1", "l2", "charbonnier", "psnr")
FLAGS: Final = (
    Flag(
        "model",
        "model.net",
        "network: a preset (see `aio models`) or a YAML file",
        lambda w: net_preset(_text(w)),
        "NAME",
    ),
    Flag(
        "de_type",
        "data.de_type",
        "degradations: denoise derain dehaze deblur lol, denoise_25, ...",
        _tasks,
        "T [T ...]",
    ),
    Flag("trainset", "data.trainset", f"what to train on: {', '.join(_TRAINSETS)}", _choice(*_TRAINSETS), "SET"),
    Flag("data_file_dir", "data.data_file_dir", "root of the data tree; without it the demo photographs", _text, "DIR"),
    Flag("epochs", "trainer.max_epochs", "epochs to train", _whole, "N"),
    Flag("batch_size", "data.batch_size", "samples per step and device", _whole, "N"),
    Flag("patch_size", "data.patch_size", "side of the training crops, pixels", _whole, "N"),
    Flag("num_workers", "data.num_workers", "loader processes per device", _whole, "N"),
    Flag("lr", "model.lr", "highest learning rate", _number),
    Flag("warmup_epochs", "model.warmup_epochs", "epochs of linear warm-up", _number),
    Flag("num_gpus", "trainer.devices", "devices to train on, or auto", _gpus, "N"),
    Flag("devices", "trainer.devices", "the same, by Lightning's name", _gpus, "N"),
    Flag("accum_grad", "trainer.accumulate_grad_batches", "batches per optimiser step", _whole, "N"),
    Flag("precision", "trainer.precision", "32-true, bf16-mixed, 16-mixed", _text, "P"),
    Flag("gradient_clip_val", "trainer.gradient_clip_val", "largest gradient norm", _number),
    Flag("effective_batch", "progressive.effective_batch", "samples per step of all devices, by accumulation", _whole),
    Flag("scale_lr", "scale_lr", "scale --lr by that over --base_batch: none, linear, sqrt", _choice(*_SCALES), "RULE"),
    Flag("base_batch", "base_batch", "samples per step for which --lr is meant", _whole),
    Flag("max_skipped", "skip.max_skipped", "so many steps of ten times as many may be not finite", _whole),
    Flag("use_ema", "ema.decay", "average the weights (true) or not (false)", _ema_decay_of_switch, "BOOL"),
    Flag("ema_decay", "ema.decay", "decay of the average", _number),
    Flag("loss_type", "loss.loss_type", f"pixel loss: {', '.join(_LOSSES)}", _choice(*_LOSSES), "LOSS"),
    Flag("perceptual_weight", "loss.perceptual_weight", "weight of the VGG-16 term; 0 needs no VGG", _number),
    Flag("edge_weight", "loss.edge_weight", "weight of the Sobel edge term", _number),
    Flag("frequency_weight", "loss.frequency_weight", "weight of the Fourier term", _number),
    Flag("use_dfrg", "model.net.init_args.use_dfrg", "DFRG in the LoRA-gated Restormer", _switch, "BOOL"),
    Flag(
        "resume_from",
        "resume_from",
        "checkpoint to go on from; last: that of --ckpt_dir; auto: the same, or begin",
        _text,
        "CKPT",
    ),
    Flag("fine_tune_from", "model.fine_tune_from", "checkpoint whose weights to start from", _text, "CKPT"),
    Flag("lora_rank", "adapter.rank", "freeze that network and train adapters of this rank", _whole, "R"),
    Flag("wblogger", "wblogger", "log to Weights & Biases under this project", _text, "PROJECT"),
    Flag("ckpt_dir", "run_dir", "the run's folder: config, checkpoints, metrics, gallery", _text, "DIR"),
)
_BY_NAME: Final = {f"--{flag.name}": flag for flag in FLAGS}
_REFINED: Final = ("--model", "--use_ema")  # by --use_dfrg and --ema_decay, which may stand before them
_REFINING: Final = ("--use_ema", "--ema_decay")  # share an option, and say different things of it
_TRUST: Final = "--trust"
_NO_EMA: Final = "--ema.decay=0.0"  # overrules a decay
_NO_BASE: Final = "--base=null"  # a file's bases are read before it
# Where one net is named after another, the parser would keep the first one's arguments wherever their names agree. The
# base class takes none, so that naming it in between forgets them all.
_FORGET_NET: Final = '--model.net={"class_path": "aio.nets.base.RestorationNet"}'


def translate(argv: Sequence[str]) -> list[str]:
    """`argv` with every short flag as its dotted option, after all `--config` files, so that flags beat files.

    Raises:
        InputError: a value does not fit its flag, or a class is named whose package nobody trusts.
    """
    configs: list[str] = []
    refined: list[str] = []
    options: list[str] = []
    last: list[str] = []
    trusted = trusted_packages(argv)
    groups = [group for group in _groups(argv) if group[0] != _TRUST]
    _refuse_contradictions(groups)
    for name, words, joined in groups:
        if name in ("--config", "-c"):
            if not words:
                raise InputError(f"{name}: expected a YAML file")
            for file in (file for word in words for file in _with_bases(word)):
                refuse_foreign(_content(file), file, trusted)
                configs += [_FORGET_NET] * _names_net(file) + [f"--config={file}"]
                configs += [_NO_BASE] * bool(_content(file).get("base"))
        elif name in _BY_NAME:
            option = _translated(_BY_NAME[name], words)
            options_of_kind = last if option == _NO_EMA else refined if name in _REFINED else options
            options_of_kind += [_FORGET_NET, option] if name == "--model" else [option]
        else:
            refuse_foreign(_plain(name, words), name, trusted)
            options += [_FORGET_NET] * (name == "--model.net")
            options += [f"{name}={words[0]}", *words[1:]] if joined else [name, *words]
    return [*configs, *refined, *options, *last]


def trusted_packages(argv: Sequence[str]) -> list[str]:
    """What `--trust` names on the command line; a file cannot trust itself."""
    packages = [_as_list(words) for name, words, _ in _groups(argv) if name == _TRUST]
    if [] in packages:
        raise InputError(f"{_TRUST}: expected the name of a package")
    return [package for named in packages for package in named]


def _refuse_contradictions(groups: Sequence[tuple[str, list[str], bool]]) -> None:
    """Raises InputError where two names of one option are given two values; the same name again is a correction."""
    said: dict[str, tuple[str, list[str]]] = {}
    for name, words, _ in groups:
        key = _BY_NAME[name].key if name in _BY_NAME else name.removeprefix("--")
        before, others = said.setdefault(key, (name, words))
        if before != name and words != others and name not in _REFINING and before not in _REFINING:
            raise InputError(
                f"{name} {' '.join(words)}: {before} {' '.join(others)} says otherwise of the same option; give one"
            )
        said[key] = (name, words)


def _plain(name: str, words: list[str]) -> Any:
    """The value of an option as the parser will read it."""
    try:
        value = yaml.safe_load(" ".join(words))
    except yaml.YAMLError:
        return None
    return {"class_path": value} if name.endswith(".class_path") else value


def _with_bases(config: str, builds_on: tuple[Path, ...] = ()) -> list[str]:
    """`config` after the files that it names as its `base`, beside itself; these in turn after theirs."""
    path = Path(config)
    if path.resolve() in builds_on:
        raise InputError(f"{config}: builds on itself by base, through {builds_on[-1]}")
    named = _content(config).get("base") or []
    files = [str(path.parent / name) for name in ([named] if isinstance(named, str) else named)]
    if missing := [file for file in files if not Path(file).is_file()]:
        raise InputError(f"{config}: base {missing[0]}: no such file")
    return [*(f for file in files for f in _with_bases(file, (*builds_on, path.resolve()))), config]


def _content(config: str) -> dict[str, Any]:
    """What a configuration file holds; nothing, where the parser will say what is wrong with it."""
    try:
        content = yaml.safe_load(Path(config).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _names_net(config: str) -> bool:
    """Whether a configuration file says which net it is for, and does not merely change some arguments of one."""
    model = _content(config).get("model")
    net = model.get("net") if isinstance(model, dict) else None
    return isinstance(net, str) or (isinstance(net, dict) and "class_path" in net)


def _groups(argv: Sequence[str]) -> list[tuple[str, list[str], bool]]:
    """(option, its words, whether written `option=word`), in order."""
    groups: list[tuple[str, list[str], bool]] = []
    for word in argv:
        if word.startswith("--") or word == "-c":
            name, equals, value = word.partition("=")
            groups.append((name, [value] if equals else [], bool(equals)))
        elif groups:
            groups[-1][1].append(word)
        else:
            raise InputError(f"unexpected {word!r}: options start with --, see `aio fit --help`")
    return groups


def _translated(flag: Flag, words: list[str]) -> str:
    try:
        value = flag.parse(words)
    except ValueError as error:
        given = " ".join(words) or "nothing"
        raise InputError(f"--{flag.name} {given}: {error}") from error
    return f"--{flag.key}={value if isinstance(value, str) else json.dumps(value)}"


def help_text() -> str:
    """What `aio fit --help` prints."""
    width = max(len(f"{flag.name} {flag.words}") for flag in FLAGS)
    lines = [f"  --{f'{flag.name} {flag.words}':<{width}}  {flag.help}" for flag in FLAGS]
    return "\n".join(
        [
            "usage: aio fit [--config FILE ...] [flags] [--any.dotted.option VALUE ...]",
            "",
            "Trains one network on several degradations. A flag beats a file wherever it stands.",
            "",
            *lines,
            "",
            "Files and options may name classes of aio, lightning, torch and torchvision; of others with",
            "--trust PACKAGE [PACKAGE ...], which no file can say.",
            "",
            "Every option with its default:  aio fit --help_all",
            "The configuration as a file:    aio fit [flags] --print_config > my.yaml",
        ]
    )
