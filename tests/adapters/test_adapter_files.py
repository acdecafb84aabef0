"""Adapters as files: kilobytes that come back to the bit, on their own base alone, and never as code."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from adapting import copied, ids, image_for, same, taught, taught_tiny
from aio.adapters import fingerprint, load_adapters, save_adapters
from aio.errors import InputError
from tiny_nets import build


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Adapters of rank 2 for rain and haze on the tiny Restormer."""
    path = tmp_path_factory.mktemp("adapters") / "adapter.safetensors"
    save_adapters(taught_tiny("derain", "dehaze"), path)
    return path


def metadata(path):
    with safe_open(path, "pt") as opened:
        return json.loads(opened.metadata()["aio_adapters"])


def rewritten(file, path, tensors=None, **changes):
    """A copy whose tensors or words are others."""
    said = metadata(file) | changes
    save_file(load_file(file) if tensors is None else tensors, path, metadata={"aio_adapters": json.dumps(said)})
    return path


@given(rank=st.integers(1, 12), alpha=st.floats(0.1, 100))
@settings(max_examples=10)
def test_a_round_trip_is_exact(tmp_path_factory, rank, alpha):
    path = tmp_path_factory.mktemp("round") / "adapter.safetensors"
    net = taught(build("nafnet"), "derain", "lowlight", rank=rank, alpha=alpha)
    image, tasks = image_for(net, batch=3), ids("derain", "dehaze", "lowlight")
    save_adapters(net, path)
    again = load_adapters(build("nafnet"), path)
    assert again.plan == net.plan
    assert not again.training
    assert torch.equal(again(image, tasks), net(image, tasks))


def test_the_file_holds_the_adapters_alone(file):
    net = taught_tiny("derain", "dehaze")
    held = sum(p.numel() * 4 for p in net.adapters.parameters())
    assert held < file.stat().st_size < held + 30_000
    assert "derain.decoder_level1.0.attn.qkv.A" in load_file(file)
    said = metadata(file)
    assert said["adapters"]["dehaze"] == {"rank": 2, "alpha": 2.0}
    assert said["net"]["class_path"] == "aio.nets.restormer.Restormer"


def test_a_merged_net_saves_what_it_would_unmerged(file, tmp_path):
    net = taught_tiny("derain", "dehaze")
    net.merge("derain")
    save_adapters(net, tmp_path / "merged.safetensors")
    assert (tmp_path / "merged.safetensors").read_bytes() == file.read_bytes()
    assert net.merged == "derain"


def test_files_stand_beside_one_another(file, tmp_path):
    save_adapters(taught_tiny("lowlight"), tmp_path / "other.safetensors")
    net = load_adapters(load_adapters(build("restormer"), file), tmp_path / "other.safetensors")
    assert list(net.plan) == ["derain", "dehaze", "lowlight"]
    assert same(net.state_dict(), taught_tiny("derain", "dehaze").state_dict())
    with pytest.raises(InputError, match=r"adapter\.safetensors: the network has an adapter for derain already"):
        load_adapters(net, file)


def test_the_fingerprint_is_of_names_and_values_and_of_the_base_alone():
    base = build("restormer")
    ours = fingerprint(base)
    assert ours == fingerprint(build("restormer")) == fingerprint(base.to(memory_format=torch.channels_last))
    assert ours == fingerprint(taught_tiny("derain"))
    base.output.weight.data[0, 0, 0, 0] += 1e-3
    assert fingerprint(base) != ours


def test_another_base_is_refused_by_name(file):
    with pytest.raises(InputError, match=r"adapter\.safetensors: holds adapters of a Restormer, but .* is a NAFNet"):
        load_adapters(build("nafnet"), file)
    other = build("restormer")
    other.output.weight.data += 1e-3
    state, trains = copied(other.state_dict()), [p.requires_grad for p in other.parameters()]
    with pytest.raises(InputError, match=r"adapter\.safetensors: holds adapters of other weights of Restormer"):
        load_adapters(other, file)
    assert same(other.state_dict(), state)
    assert [p.requires_grad for p in other.parameters()] == trains


@pytest.mark.parametrize("fault", ["rank", "missing", "surplus", "nan", "task", "plan"])
def test_a_file_that_is_not_what_it_says_is_named(file, tmp_path, fault):
    key, tensors, changes = "derain.output.A", load_file(file), {}
    if fault == "rank":
        changes = {"adapters": {name: {"rank": 3, "alpha": 2.0} for name in ("derain", "dehaze")}}
    elif fault == "missing":
        del tensors[key]
    elif fault == "surplus":
        tensors["derain.output.C"] = torch.zeros(1)
    elif fault == "nan":
        tensors[key][0] = float("nan")
    elif fault == "task":
        changes = {"adapters": {"fog": {"rank": 2, "alpha": 2.0}}}
    else:
        changes = {"adapters": None}
    says = {
        "rank": r"derain\.\S+ has shape \(2, .*\), expected \(3, .*\) for rank 3",
        "missing": rf"{key} is missing",
        "surplus": r"derain\.output\.C belongs to no adapter",
        "nan": rf"{key} holds NaN",
        "task": "an adapter for 'fog'",
        "plan": "expected rank and alpha",
    }[fault]
    path = rewritten(file, tmp_path / "odd.safetensors", tensors, **changes)
    net = build("restormer")
    with pytest.raises(InputError, match=rf"odd\.safetensors: {says}"):
        load_adapters(net, path)
    assert all(p.requires_grad for p in net.parameters())


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_code_weights_and_ruins_are_refused(file, tmp_path, capsys):
    torch.save({"derain": Malicious()}, tmp_path / "code.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-10])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for name, says in {
        "code": "not a whole file of adapters",
        "cut": "not a whole file of adapters",
        "empty": "not a whole file of adapters",
        "weights": "holds no adapters",
        "none": "no such file",
    }.items():
        with pytest.raises(InputError, match=rf"{name}\.safetensors: {says}"):
            load_adapters(build("restormer"), tmp_path / f"{name}.safetensors")
    assert "executed" not in capsys.readouterr().out


def test_turned_bytes_never_end_otherwise(file, tmp_path):
    whole, net = file.read_bytes(), build("restormer")
    for position in range(0, 600, 7):
        broken = bytearray(whole)
        broken[position] ^= 0x55
        (tmp_path / "broken.safetensors").write_bytes(broken)
        try:
            load_adapters(net, tmp_path / "broken.safetensors")
        except InputError as error:
            assert "broken.safetensors" in str(error)  # noqa: PT017 some turns leave a file that can be read
