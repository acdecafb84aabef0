"""Nets as folders: what is written is opened again by any base class, and every fault in a folder is named."""

from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path

import huggingface_hub.hub_mixin
import pytest
import torch
from huggingface_hub import PyTorchModelHubMixin
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import aio
from aio.errors import InputError
from aio.models import main as models
from aio.nets import pretrained
from aio.nets.base import RestorationNet, restore_any_size
from aio.nets.nafnet import NAFNet
from aio.nets.promptir import PromptIR
from aio.nets.restormer import Restormer
from aio.restore import main as restore
from aio.weights import load_weights
from tiny_nets import TINY, build

FILES = {"README.md", "config.json", "model.safetensors"}


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The folder of a tiny NAFNet, for reading only."""
    folder = tmp_path_factory.mktemp("saved")
    build("nafnet").save_pretrained(folder)
    return folder


@pytest.fixture
def broken(saved, tmp_path) -> Path:
    """A copy of it to break."""
    for name, content in in_folder(saved).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("name", TINY)
def test_a_net_comes_back_as_it_was(tmp_path, name):
    net = build(name)
    net.train().save_pretrained(tmp_path)
    assert net.training
    again = RestorationNet.from_pretrained(tmp_path)
    assert type(again) is type(net)
    assert not again.training
    assert again.config == net.config
    state = net.state_dict()
    assert again.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    image = torch.rand(1, net.in_channels, 20, 17, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(restore_any_size(again, image), restore_any_size(net.eval(), image))


def test_the_files_are_those_of_the_hub(saved):
    assert isinstance(build("nafnet"), PyTorchModelHubMixin)
    assert {path.name for path in saved.iterdir()} == FILES
    config = json.loads((saved / "config.json").read_text())
    assert config == {"class_path": "aio.nets.nafnet.NAFNet", "init_args": TINY["nafnet"][1]}
    assert load_file(saved / "model.safetensors").keys() == build("nafnet").state_dict().keys()
    assert "# NAFNet" in (saved / "README.md").read_text()


def test_the_rest_of_the_package_opens_the_folder(saved, tmp_path, plant, capsys):
    expected = build("nafnet").state_dict()
    opened, filled = aio.load(saved), NAFNet(**TINY["nafnet"][1])
    load_weights(filled, saved)
    for net in (opened, filled, aio.load(str(saved))):
        assert all(torch.equal(value, expected[key]) for key, value in net.state_dict().items())
    models([str(saved)])
    assert "NAFNet" in capsys.readouterr().out
    photo = plant({"photos": "one.png"}) / "photos" / "one.png"
    assert restore([str(photo), "-o", str(tmp_path / "out"), "--checkpoint", str(saved), "--device", "cpu"]) == 0
    assert (tmp_path / "out" / "one.png").is_file()


def test_a_class_opens_its_own_nets_and_those_derived_from_it(saved, tmp_path):
    assert isinstance(NAFNet.from_pretrained(saved), NAFNet)
    with pytest.raises(InputError, match=r"config\.json: names a NAFNet, expected a Restormer"):
        Restormer.from_pretrained(saved)
    build("promptir").save_pretrained(tmp_path)
    assert isinstance(Restormer.from_pretrained(str(tmp_path)), PromptIR)
    with pytest.raises(InputError, match=r"names a PromptIR, expected a NAFNet"):
        NAFNet.from_pretrained(tmp_path)


def test_tuples_come_back_as_lists_and_half_weights_as_whole(tmp_path):
    net = NAFNet(dim=4, middle_blk_num=1, enc_blk_nums=(1,), dec_blk_nums=(1,))
    net.half().to(memory_format=torch.channels_last).save_pretrained(tmp_path)
    again = NAFNet.from_pretrained(tmp_path)
    assert again.config["init_args"]["enc_blk_nums"] == [1]
    assert again.intro.weight.dtype == torch.float32
    assert torch.equal(again.intro.weight.half(), net.intro.weight)


def test_what_the_mixin_adds_disturbs_no_copy(saved):
    net = NAFNet.from_pretrained(saved)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.config == net.config
        assert vars(twin).keys() == vars(net).keys() == vars(NAFNet(**TINY["nafnet"][1])).keys()
        assert twin._hub_mixin_config is None
    with torch.device("meta"):
        assert NAFNet(**net.config["init_args"]).intro.weight.is_meta


def test_another_net_takes_the_place_and_the_model_card_stays(broken):
    (broken / "README.md").write_text("mine")
    build("davit_sr").save_pretrained(broken)
    assert {path.name for path in broken.iterdir()} == FILES
    assert RestorationNet.from_pretrained(broken).config == build("davit_sr").config
    assert (broken / "README.md").read_text() == "mine"


@pytest.mark.parametrize("write", range(3))
def test_a_full_disk_leaves_all_as_it_was(broken, tmp_path, monkeypatch, write):
    before, synced = in_folder(broken), []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) > write:
            raise OSError(28, "No space left on device")

    (broken / "README.md").unlink()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        build("davit_sr").save_pretrained(broken)
    assert in_folder(broken) | {"README.md": before["README.md"]} == before
    synced.clear()
    with pytest.raises(OSError, match="No space left"):
        build("davit_sr").save_pretrained(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


class Homemade(RestorationNet):
    """Of no module that a folder may name."""


def test_what_could_not_be_opened_again_is_not_written(tmp_path):
    infinite = build("nafnet")
    with torch.no_grad():
        infinite.intro.bias[0] = float("inf")
    with pytest.raises(InputError, match=r"intro\.bias holds NaN or infinity"):
        infinite.save_pretrained(tmp_path / "net")
    with pytest.raises(InputError, match=r"refused to build '.*Homemade': expected a net of aio\.nets"):
        Homemade().save_pretrained(tmp_path / "net")
    wrapped = Homemade()
    wrapped.config = build("nafnet").config
    with pytest.raises(InputError, match="expected a NAFNet, not a Homemade round one"):
        wrapped.save_pretrained(tmp_path / "net")
    odd = build("nafnet")
    odd.config = {**odd.config, "init_args": {"dim": torch.tensor(8)}}
    with pytest.raises(InputError, match=r"config\.json: an argument of this net is of no plain type"):
        odd.save_pretrained(tmp_path / "net")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: expected a folder"):
        build("nafnet").save_pretrained(tmp_path / "file")
    with pytest.raises(InputError, match="no config beside"):
        build("nafnet").save_pretrained(tmp_path / "net", config={"dim": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


NAFNET = {"class_path": "aio.nets.nafnet.NAFNet"}
CONFIGS = {
    b"{": "not JSON",
    b"\xff": "not JSON",
    b"[" * 100_000: "not JSON",
    b"[]": "expected class_path and init_args",
    b"{}": "expected class_path and init_args",
    b'{"class_path": 3}': "expected class_path and init_args",
    json.dumps({**NAFNET, "init_args": [8]}).encode(): "expected class_path and init_args",
    b'{"class_path": "subprocess.Popen"}': r"refused to build 'subprocess\.Popen'",
    b'{"class_path": "aio.nets.base.torch"}': "is not a restoration net",
    b'{"class_path": "aio.nets.base.nn.Module"}': "there is no net",
    b'{"class_path": "aio.nets.pretrained.Pretrained"}': "is not a restoration net",
    b'{"class_path": "aio.nets.nope.Net"}': "there is no net",
    b'{"class_path": "aio.nets.\\u0000.Net"}': "there is no net",
    b'{"class_path": "aio.nets..Net"}': "there is no net",
    json.dumps({"class_path": f"aio.nets.{'a' * 5000}.Net"}).encode(): "there is no net",
    json.dumps({**NAFNET, "init_args": {"depth": 3}}).encode(): "cannot build NAFNet: .*'depth'",
    json.dumps({**NAFNET, "init_args": {"dim": -8}}).encode(): "cannot build NAFNet",
    json.dumps({**NAFNET, "init_args": {"dim": None}}).encode(): "cannot build NAFNet",
    json.dumps({"class_path": "aio.nets.restormer.Restormer", "init_args": {"heads": [1]}}).encode(): "cannot build",
    json.dumps({"class_path": "aio.nets.davit_sr.DaViTSR", "init_args": {"scale": 10**9}}).encode(): "cannot build",
}


@pytest.mark.parametrize("content", CONFIGS, ids=range(len(CONFIGS)))
def test_a_faulty_config_is_named(broken, content):
    (broken / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"(?s)config\.json: .*{CONFIGS[content]}"):
        RestorationNet.from_pretrained(broken)
    with pytest.raises(InputError, match=rf"(?s){broken}.*{CONFIGS[content]}"):
        aio.load(broken)


def faulty(fault: str, folder: Path) -> None:
    path = folder / "model.safetensors"
    state, whole = load_file(path), path.read_bytes()
    if fault == "nan":
        save_file(state | {"intro.bias": torch.full((8,), float("nan"))}, path)
    elif fault == "shape":
        save_file(state | {"intro.bias": torch.zeros(9)}, path)
    elif fault == "missing":
        save_file({key: value for key, value in state.items() if key != "intro.bias"}, path)
    elif fault == "surplus":
        save_file(state | {"outro.bias": torch.zeros(1)}, path)
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "cut off":
        path.write_bytes(whole[: len(whole) // 2])
    elif fault == "long header":
        path.write_bytes((2**40).to_bytes(8, "little") + whole[8:])
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("nan", r"intro\.bias holds NaN or infinity"),
        ("shape", r"this NAFNet: intro\.bias has shape \(9,\), expected \(8,\)"),
        ("missing", r"this NAFNet: intro\.bias is missing"),
        ("surplus", r"this NAFNet: outro\.bias has no place in it"),
        ("empty", "not a whole checkpoint"),
        ("cut off", "not a whole checkpoint"),
        ("long header", "not a whole checkpoint"),
        ("gone", "no such file"),
    ],
)
def test_faulty_weights_are_named(broken, fault, says):
    faulty(fault, broken)
    with pytest.raises(InputError, match=rf"model\.safetensors: .*{says}"):
        NAFNet.from_pretrained(broken)
    with pytest.raises(InputError, match=rf"{broken}.*{says}"):
        aio.load(broken)


@settings(max_examples=40)
@given(position=st.integers(0, 3000), flip=st.integers(1, 255))
def test_no_flipped_byte_escapes_as_another_error(saved, tmp_path_factory, position, flip):
    folder = tmp_path_factory.getbasetemp() / "flipped"
    folder.mkdir(exist_ok=True)
    for name, content in in_folder(saved).items():
        changed = bytearray(content)
        changed[position % len(changed)] ^= flip
        (folder / name).write_bytes(changed)
        try:
            RestorationNet.from_pretrained(folder)
        except InputError as error:
            assert "flipped" in str(error)  # noqa: PT017 some flips leave a folder that can be opened
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("missing", ["nope", "some/folder", "no/such/folder", "../nope", Path("some/folder")])
def test_a_missing_folder_is_named(missing):
    with pytest.raises(InputError, match=f"{missing}.*no such f"):
        RestorationNet.from_pretrained(missing)


def test_a_repository_is_opened_from_its_copy(saved, monkeypatch):
    asked = {}

    def download(name: str, **choices: object) -> str:
        asked.update(choices, name=name)
        return str(saved)

    monkeypatch.setattr(pretrained, "snapshot_download", download)
    assert isinstance(RestorationNet.from_pretrained("somebody/net", revision="v1"), NAFNet)
    assert (asked["name"], asked["revision"]) == ("somebody/net", "v1")
    assert set(asked["allow_patterns"]) == FILES - {"README.md"}


def test_push_to_hub_uploads_the_folder(monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, token: str | None = None) -> None: ...

        def create_repo(self, repo_id: str, **_: object) -> huggingface_hub.RepoUrl:
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, folder_path: Path, **_: object) -> str:
            uploaded.update(in_folder(Path(folder_path)))
            return "done"

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    net = build("nafnet")
    assert net.push_to_hub("somebody/net") == "done"
    assert uploaded.keys() == FILES
    assert json.loads(uploaded["config.json"]) == net.config
