"""One file with a net's weights and a header that names it: what is written comes back, what is hostile is refused."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import aio
from aio.adapters import LoRA, add_adapters
from aio.errors import InputError
from aio.nets.deployable import read_header, write_deployable
from aio.weights import deploy, open_net
from golden.fill import golden_input
from tiny_nets import build

ABOUT = {"licence": "CC0-1.0"}


def header(path, **changes):
    """`path` with another header of ours round the same weights."""
    with safe_open(path, "pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no dictionary
        said = json.loads(file.metadata()["aio_net"])
    save_file(state, path, {"aio_net": json.dumps(said | changes)})
    return path


@pytest.fixture
def file(tmp_path):
    # Heads and windows leave no trace in the weights: without the header they could not be told.
    net = build("dctlsa", num_heads=4)
    deploy(net, tmp_path / "net.safetensors", tasks=["sr_x3"], about=ABOUT)
    return tmp_path / "net.safetensors"


def test_it_opens_as_it_is_with_what_no_shape_tells(file):
    net, image = build("dctlsa", num_heads=4), golden_input((1, 3, 16, 16))
    opened = aio.load(file)
    assert opened.config == net.config
    with torch.inference_mode():
        assert torch.equal(opened(image), net(image))


def test_the_header_says_what_a_reader_wants_to_know(tmp_path):
    write_deployable(build("airnet"), tmp_path / "a.safetensors", tasks=["derain"], about=ABOUT)
    said = read_header(tmp_path / "a.safetensors")
    assert said["tasks"] == ["derain"]
    assert said["about"] == ABOUT
    preset = aio.load("restormer_tiny")
    deploy(preset, tmp_path / "b.safetensors", tasks=[], about=ABOUT)
    about = read_header(tmp_path / "b.safetensors")["about"]
    assert about["preset"] == "restormer_tiny"
    assert "CVPR 2022" in about["paper"]
    assert about["licence"] == "CC0-1.0"


def test_adapters_come_back(tmp_path):
    net = add_adapters(build("restormer"), {"derain": LoRA(rank=2, alpha=4.0)})
    for parameter in net.adapters.parameters():
        parameter.data += 0.1
    deploy(net, tmp_path / "net.safetensors", tasks=["derain"], about=ABOUT)
    opened, image, task = aio.load(tmp_path / "net.safetensors"), golden_input((1, 3, 16, 16)), torch.tensor([3])
    assert opened.plan == net.plan
    with torch.inference_mode():
        assert torch.equal(opened(image, task), net(image, task))


def test_a_file_of_others_has_no_header(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", {"aio": "x"})
    assert read_header(tmp_path / "other.safetensors") == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"net": {"class_path": "os.system", "init_args": {}}}, "refused to build 'os.system'"),
        ({"net": {"class_path": "aio.weights.open_net", "init_args": {}}}, "refused to build"),
        ({"net": {"class_path": "aio.nets.dctlsa.DCTLSA", "init_args": {"dim": 1 << 40}}}, "cannot build DCTLSA"),
        ({"net": {"class_path": "aio.nets.dctlsa.DCTLSA", "init_args": [1]}}, "names no class_path and init_args"),
        ({"net": {}}, "names no class_path"),
        ({"net": "DCTLSA"}, "another form"),
        ({"tasks": {"derain": 1}}, "another form"),
        ({"tasks": [1]}, "no text"),
        ({"about": {"licence": None}}, "no text"),
        ({"adapters": {"nonesuch": {}}}, "an adapter for 'nonesuch'"),
        ({"about": {"licence": "x" * (1 << 21)}}, "another form"),
    ],
)
def test_a_hostile_header_is_refused(file, changes, said):
    with pytest.raises(InputError, match=said):
        open_net(header(file, **changes))


@pytest.mark.parametrize("entry", ["", "[", "null", "[" * 100_000, '{"net": NaN}', "\ud800"[:0] + "nonsense"])
def test_a_header_that_is_no_json_is_refused(tmp_path, entry):
    save_file({"a": torch.zeros(1)}, tmp_path / "net.safetensors", {"aio_net": entry})
    with pytest.raises(InputError, match=r"net\.safetensors"):
        read_header(tmp_path / "net.safetensors")


def test_a_lying_length_is_refused_without_its_memory(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    with pytest.raises(InputError, match="not a whole checkpoint"):
        open_net(path)


def test_nothing_is_written_of_broken_weights(tmp_path):
    net = build("nafnet")
    next(net.parameters()).data[0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinity"):
        deploy(net, tmp_path / "net.safetensors", tasks=[], about=ABOUT)
    assert list(tmp_path.iterdir()) == []
