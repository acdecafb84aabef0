"""`aio export`: graphs for any batch and size that compute what PyTorch does, and cards whose code runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.export import Dim

import aio
from aio.adapters import LoRA, add_adapters
from aio.errors import InputError
from aio.export import main
from aio.exporting.formats import run_onnx, run_program
from aio.exporting.graph import AnySize, capture
from aio.exporting.run import obstacle
from aio.nets.base import RestorationNet, restore_any_size
from aio.nets.deployable import read_header
from aio.weights import deploy
from golden.fill import golden_input
from tiny_nets import TINY, build

RUN = {"onnx": run_onnx, "torch_export": run_program}
SUFFIX = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}


def saved(tmp_path: Path, net: RestorationNet) -> str:
    deploy(net, tmp_path / "net.safetensors", tasks=["derain"], about={"licence": "CC0-1.0"})
    return str(tmp_path / "net.safetensors")


def exported(tmp_path: Path, net: RestorationNet, form: str, *words: str) -> Path:
    path = tmp_path / "out" / f"name{SUFFIX[form]}"
    main([saved(tmp_path, net), "--format", form, "-o", str(path), *words])
    return path


@torch.inference_mode()
def assert_same(net: RestorationNet, path: Path, form: str, task: Tensor | None = None) -> None:
    """At sizes beside those of the export's own check; a band of AdaIR is there from 256 pixels on."""
    run = RUN[form](path.read_bytes())
    for batch, height, width in ((1, 3, 7), (3, 1, 1), (1, 40, 33), (1, 300, 257)):
        image = golden_input((batch, net.in_channels, height, width))
        expected = restore_any_size(net, image, None if task is None else task.expand(batch))
        torch.testing.assert_close(run(image), expected, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """NAFNet by torch.export, for reading only."""
    return exported(tmp_path_factory.mktemp("program"), build("nafnet"), "torch_export", "--licence", "CC-BY-4.0")


def assert_nothing_of_this_machine(path: Path) -> None:
    for trace in (b"site-packages", b"aio/nets/", str(Path.home()).encode()):
        assert trace not in path.read_bytes()


def test_a_program_computes_what_the_net_does(program):
    assert_same(build("nafnet"), program, "torch_export")
    assert_nothing_of_this_machine(program)


def test_an_onnx_model_computes_what_the_net_does(tmp_path, capsys):
    net = build("grla_seed")  # gray, and four times as large
    path = exported(tmp_path, net, "onnx")
    assert_same(net, path, "onnx")
    assert_nothing_of_this_machine(path)
    assert "from PyTorch at most" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", TINY)
def test_every_net_is_exported_or_says_why_not(name, tmp_path, monkeypatch):
    net = build(name)
    if obstacle(net) is not None:
        with pytest.raises(InputError, match="cannot be a graph"):
            exported(tmp_path, net, "onnx")
        return
    traced = capture(net)
    monkeypatch.setattr("aio.exporting.run.capture", lambda net, task: traced)  # once for both
    for form in RUN:
        path = exported(tmp_path, net, form)
        assert_same(net, path, form)
        assert_nothing_of_this_machine(path)


@pytest.mark.slow
def test_a_net_is_told_the_one_degradation_and_an_adapter_is_chosen(tmp_path):
    net = build("lora_restormer_full")
    path = exported(tmp_path, net, "torch_export", "--de_type", "derain")
    assert_same(net, path, "torch_export", torch.tensor([3]))
    with pytest.raises(AssertionError):
        assert_same(net, path, "torch_export")

    adapted = add_adapters(build("nafnet"), {"derain": LoRA(rank=2, alpha=4.0), "dehaze": LoRA(rank=2, alpha=4.0)})
    for parameter in adapted.adapters.parameters():
        parameter.data += 0.1
    with pytest.raises(InputError, match="name the one adapter to export: there are derain, dehaze"):
        exported(tmp_path, adapted, "torch_export")
    path = exported(tmp_path, adapted, "torch_export", "--de_type", "dehaze")
    assert_same(adapted, path, "torch_export", torch.tensor([4]))


@pytest.mark.parametrize("name", ["restormer", "stoformer", "davit_sr", "grla_seed", "restormer_dual_pixel"])
@torch.no_grad()
def test_what_is_traced_pads_as_the_package_does(name):
    net = build(name)
    for height, width in ((1, 1), (2, 9), (31, 17)):
        image = golden_input((2, net.in_channels, height, width))
        assert torch.equal(AnySize(net, None)(image), restore_any_size(net, image))


def test_a_file_with_a_header_opens_as_it_is(tmp_path):
    net = build("grla")
    path = exported(tmp_path, net, "safetensors", "--de_type", "sr_x4", "--licence", "MIT")
    said = read_header(path)
    assert (said["tasks"], said["about"]["licence"]) == (["sr_x4"], "MIT")
    image = golden_input((1, 3, 9, 12))
    with torch.inference_mode():
        assert torch.equal(restore_any_size(aio.load(path), image), restore_any_size(net, image))


def test_what_a_file_says_of_itself_goes_on(tmp_path):
    path = exported(tmp_path, build("nafnet"), "safetensors")
    assert read_header(path) == read_header(tmp_path / "net.safetensors")


@pytest.mark.parametrize("form", ["safetensors", "torch_export"])
def test_the_card_says_what_it_is_and_its_code_runs(form, program, tmp_path, monkeypatch):
    net = build("nafnet")
    path = program if form == "torch_export" else exported(tmp_path, net, form, "--licence", "CC-BY-4.0")
    card = path.with_name(f"{path.name}.md").read_text()
    parameters = sum(p.numel() for p in net.parameters())
    for said in ("NAFNet", "CC-BY-4.0", "derain", f"{parameters:,}", "MACs", "multiples of 4"):
        assert said in card
    pixels = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    Path(path.name).symlink_to(path)
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], {})
    with torch.inference_mode():
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        expected = (restore_any_size(net, image).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy()
    restored = np.asarray(Image.open("restored.png"), np.float32)
    assert np.abs(restored - expected).max() <= 1  # a half may round either way


def test_what_no_graph_holds_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("aio.exporting.card.count_macs", lambda net: 0)  # takes seconds
    net = build("coarse_to_fine")
    blur = net.experts[3]
    with torch.no_grad():
        net.choice.logits.bias[3] = 100.0
        for weights in (blur.output.weight, blur.output.bias, blur.share):
            weights.zero_()
    path = exported(tmp_path, net, "torch_export")
    assert_same(net, path, "torch_export")
    assert "fft" not in str(torch.export.load(path).graph)
    for said in (path.with_name(f"{path.name}.md").read_text(), capsys.readouterr().out):
        assert "not in the graph: the search for the kernel of a blur" in said


def test_what_differs_is_not_kept(tmp_path, monkeypatch):
    class Wrong(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image + 2e-4

    shapes = {"image": {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}}
    program = torch.export.export(Wrong(), (torch.zeros(2, 3, 9, 8),), dynamic_shapes=shapes)
    monkeypatch.setattr("aio.exporting.run.capture", lambda net, task: program)
    net = build("nafnet")
    net.ending.weight.data.zero_()
    net.ending.bias.data.zero_()  # it gives its input back
    with pytest.raises(
        InputError, match=r"name\.pt2: not kept, at 1 x 3 x 261 x 275 it differs from PyTorch by 2\.0e-04"
    ):
        exported(tmp_path, net, "torch_export")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_opset_without_an_operator_of_the_net_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"onnxruntime cannot run this model; try another --opset .*DeformConv"):
        exported(tmp_path, build("airnet"), "onnx", "--opset", "18")
    assert not (tmp_path / "out").exists()


def test_half_the_bytes_open_in_float32(tmp_path):
    net = build("nafnet")
    path = exported(tmp_path, net, "safetensors", "--half")
    assert path.stat().st_size < 0.6 * (tmp_path / "net.safetensors").stat().st_size
    for key, value in aio.load(path).state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, net.state_dict()[key].half().float())
    next(net.parameters()).data.fill_(1e5)
    with pytest.raises(InputError, match="beyond the range of float16"):
        exported(tmp_path, net, "safetensors", "--half")


@pytest.mark.slow
def test_a_card_names_what_brings_the_operators(tmp_path):
    path = exported(tmp_path, build("airnet"), "torch_export")
    assert "import numpy as np, torch, torchvision\n" in path.with_name("name.pt2.md").read_text()
    assert_nothing_of_this_machine(path)


def test_a_net_that_cannot_be_a_graph_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match=r"the mean over several window offsets.*--format safetensors"):
        exported(tmp_path, build("stoformer", eval_windows="all"), "onnx")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "onnx", "-o", "{}/a.pt2"], r"expected a file NAME\.onnx"),
        (["--format", "torch_export", "-o", "{}"], r"expected a file NAME\.pt2"),
        (["--format", "torch_export", "-o", "{}/a.pt2", "--opset", "20"], "only --format onnx has one"),
        (["--format", "safetensors", "-o", "{}/net.safetensors"], "would replace the checkpoint"),
        (["--format", "safetensors", "-o", "{}/net.safetensors/a.safetensors"], "no folder that can be written to"),
        (["--format", "onnx", "-o", "{}/a.onnx", "--half"], "--half: only --format safetensors keeps float16"),
        (["--format", "onnx", "-o", "{}/a.onnx", "--de_type", "fog"], "unknown degradation 'fog'"),
    ],
)
def test_bad_words_are_refused_before_anything_is_read(words, said, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=said):
        main([str(tmp_path / "net.safetensors"), *(word.format(tmp_path) for word in words)])


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("aio.export.find_spec", lambda name: None if name == "onnxruntime" else sys)
    with pytest.raises(InputError, match=r"needs onnxruntime: pip install 'aio\[export\]'"):
        main([str(tmp_path / "net.ckpt"), "--format", "onnx", "-o", str(tmp_path / "a.onnx")])
