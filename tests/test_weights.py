"""Checkpoints in: ours, the field's wrappings, and what must be refused with a message that names file and key."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import aio
from aio.errors import InputError
from aio.weights import build_net, check_weights, load_weights, open_net, place, read_checkpoint
from training import TINY, tiny


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


WRAPPINGS = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema_first": lambda state: {"params": prefixed("", tiny(5).state_dict()), "params_ema": state},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "net_of_lightning": lambda state: {"state_dict": prefixed("net.", state)},
    "module_of_ddp": lambda state: {"state_dict": prefixed("module.", state)},
    "module_and_net": lambda state: {"state_dict": prefixed("module.net.", state)},
    "net": lambda state: {"net": state, "optimizer": {"lr": 1.0}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_wrappings_of_the_field(tmp_path, wrapping):
    wanted = tiny(1).state_dict()
    torch.save(WRAPPINGS[wrapping](wanted), tmp_path / "weights.pth")
    net = tiny()
    check_weights(net, tmp_path / "weights.pth")
    assert not torch.equal(net.output.weight, wanted["output.weight"])  # a check changes nothing
    load_weights(net, tmp_path / "weights.pth")
    assert all(torch.equal(value, wanted[key]) for key, value in net.state_dict().items())


def test_safetensors(tmp_path):
    wanted = tiny(1).state_dict()
    save_file(wanted, tmp_path / "weights.safetensors")
    net = tiny()
    load_weights(net, tmp_path / "weights.safetensors")
    assert torch.equal(net.output.weight, wanted["output.weight"])
    whole = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half\.safetensors: not a whole checkpoint"):
        load_weights(net, tmp_path / "half.safetensors")


def test_best_checkpoint_loads_as_the_averaged_net(finished_run):
    """Without being told which net it is; `state_dict` is the average and not the raw weights."""
    stored = torch.load(finished_run / "best.ckpt", weights_only=True)
    net = aio.load(finished_run / "best.ckpt")
    by_hand = tiny()
    by_hand.load_state_dict({k.removeprefix("net."): v for k, v in stored["state_dict"].items()})
    image = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        padded = torch.nn.functional.pad(image, (0, 0, 0, 4), mode="reflect")
        assert torch.equal(net(padded), by_hand(padded))
    assert not net.training
    assert not torch.equal(net.output.weight, stored["current_model_state"]["net.output.weight"])
    assert net.config["init_args"]["dim"] == TINY["dim"]


def test_a_preset_is_loaded_by_name_and_an_unnamed_checkpoint_is_recognised(tmp_path):
    net = aio.load("restormer_tiny")
    assert not net.training
    torch.save({"params": net.state_dict()}, tmp_path / "weights.pth")
    for model in ("restormer_tiny", None):
        again = open_net(tmp_path / "weights.pth", model)
        assert torch.equal(again.output.weight, net.output.weight)
    torch.save({"params": {"a": torch.zeros(1)}}, tmp_path / "strange.pth")
    with pytest.raises(InputError, match=r"strange\.pth: no network here"):
        open_net(tmp_path / "strange.pth")


class Bomb:
    """Its pickle writes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.write_text, (self.marker, "executed"))


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, save):
    marker = tmp_path / "marker"
    save({"state_dict": tiny().state_dict(), "epoch": Bomb(marker)}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"evil\.ckpt: refused") as raised:
        aio.load(tmp_path / "evil.ckpt")
    assert not marker.exists()
    assert "\n" not in str(raised.value)
    assert "weights_only=False" not in str(raised.value)


@pytest.mark.parametrize("class_path", ["subprocess.Popen", "aio.nets.base.Any", "aio.nets.nope.Net", "aio.task.X", ""])
def test_only_our_nets_are_built(tmp_path, class_path):
    content = {"state_dict": {}, "hyper_parameters": {"net": {"class_path": class_path, "init_args": {"args": "true"}}}}
    torch.save(content, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"evil\.ckpt: "):
        open_net(tmp_path / "evil.ckpt")


def test_arguments_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"here: cannot build Restormer: .*'depth'"):
        build_net({"class_path": "aio.nets.restormer.Restormer", "init_args": {"depth": 3}}, "here")


def test_a_file_cut_off_anywhere_is_named(tmp_path):
    torch.save(tiny().state_dict(), tmp_path / "whole.ckpt")
    whole = (tmp_path / "whole.ckpt").read_bytes()
    for length in [0, 1, 3, 100, 1000, len(whole) // 2, len(whole) - 1000, len(whole) - 1]:
        (tmp_path / "cut.ckpt").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.ckpt: "):
            read_checkpoint(tmp_path / "cut.ckpt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # of a flipped number
def test_flipped_bytes_never_escape_as_another_error(tmp_path):
    """Of the pickle within the file, where a fault is read as instructions."""
    torch.save({"params": {"a": torch.zeros(2)}, "epoch": 3}, tmp_path / "whole.ckpt")
    whole = (tmp_path / "whole.ckpt").read_bytes()
    start = whole.index(b"data.pkl") + len("data.pkl")
    for position in range(start, start + 300):
        broken = bytearray(whole)
        broken[position] ^= 0x55
        (tmp_path / "broken.ckpt").write_bytes(broken)
        try:
            read_checkpoint(tmp_path / "broken.ckpt")
        except InputError as error:
            assert "broken.ckpt" in str(error)  # noqa: PT017 some flips leave a file that can be read


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (torch.zeros(3), "expected a dictionary of weights, but it holds a Tensor"),
        ({}, "holds no weights"),
        ({"params": {}}, "holds no weights"),
        ({"epoch": 3}, "holds no weights"),
        ({"hyper_parameters": [1], "params": {}}, "holds no weights"),
    ],
    ids=["tensor", "empty", "empty_params", "no_tensor", "list_of_parameters"],
)
def test_a_file_without_weights_is_named(tmp_path, content, says):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=rf"odd\.pth: {says}"):
        load_weights(tiny(), tmp_path / "odd.pth")
    with pytest.raises(InputError, match=r"odd\.pth: "):
        open_net(tmp_path / "odd.pth")


def faulty(fault: str) -> dict[str, torch.Tensor]:
    state = tiny(1).state_dict()
    if fault == "nan":
        state["refinement.0.norm1.body.bias"][3] = float("nan")
    elif fault == "infinity":
        state["refinement.0.norm1.body.bias"][3] = float("inf")
    elif fault == "missing":
        del state["refinement.0.norm1.body.bias"]
    elif fault == "surplus":
        state["refinement.0.norm1.body.scale"] = torch.ones(1)
    elif fault == "shape":
        state["refinement.0.norm1.body.bias"] = torch.ones(3)
    return state


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("nan", r"refinement\.0\.norm1\.body\.bias holds NaN or infinity"),
        ("infinity", r"refinement\.0\.norm1\.body\.bias holds NaN or infinity"),
        ("missing", r"this Restormer: refinement\.0\.norm1\.body\.bias is missing"),
        ("surplus", r"this Restormer: refinement\.0\.norm1\.body\.scale has no place in it"),
        ("shape", r"this Restormer: refinement\.0\.norm1\.body\.bias has shape \(3,\), expected \(16,\)"),
    ],
)
def test_a_fault_names_file_and_key_and_leaves_the_net_alone(tmp_path, fault, says):
    torch.save({"params": faulty(fault)}, tmp_path / "wrong.pth")
    net = tiny()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for attempt in (load_weights, check_weights):
        with pytest.raises(InputError, match=rf"wrong\.pth: .*{says}"):
            attempt(net, tmp_path / "wrong.pth")
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_device_that_is_not_there_is_named():
    for device in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match=f"--device {device}: cannot be used here"):
            place(tiny(), device)
    assert next(place(tiny(), "auto").parameters()).device.type in ("cpu", "cuda")


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "none.ckpt", tmp_path):
        with pytest.raises(InputError, match="no such file"):
            open_net(path)
