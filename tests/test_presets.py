"""Every preset builds, and its header tells the truth."""

import pytest
import torch

from aio.errors import InputError
from aio.nets.base import RestorationNet, count_parameters
from aio.presets import conf_dir, describe, list_presets, net_preset
from aio.weights import build_net

PRESETS = pytest.mark.parametrize("name", list_presets())


def test_presets_are_the_files_of_conf_net():
    assert {"restormer", "promptir", "lora_restormer"} <= set(list_presets())
    assert list_presets() == sorted(path.stem for path in (conf_dir() / "net").iterdir())


@PRESETS
def test_header_counts_the_parameters_of_the_net(name):
    with torch.device("meta"):  # shapes without memory
        net = build_net(net_preset(name), name)
    assert isinstance(net, RestorationNet)
    assert describe(name).parameters == count_parameters(net)


@PRESETS
def test_header_names_paper_cost_and_source(name):
    preset = describe(name)
    assert preset.paper
    assert preset.source
    assert preset.gmacs > 0


@PRESETS
def test_preset_has_nothing_but_class_and_arguments(name):
    preset = net_preset(name)
    assert list(preset) == ["class_path", "init_args"]
    assert net_preset(str(conf_dir() / "net" / f"{name}.yaml")) == preset


def test_file_without_arguments(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("class_path: aio.nets.restormer.Restormer\n")
    assert net_preset(str(path)) == {"class_path": "aio.nets.restormer.Restormer", "init_args": {}}


def test_unknown_name_lists_the_presets():
    with pytest.raises(InputError, match=r"unknown network 'restormr': choose from .*promptir.*restormer.*YAML file"):
        net_preset("restormr")
    with pytest.raises(InputError, match=r"unknown network 'nowhere/mine\.yaml'"):
        net_preset("nowhere/mine.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "not YAML"), ("- 1", "expected class_path and init_args"), ("dim: 48", "expected class_path")],
)
def test_files_of_another_form_are_named(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"mine\.yaml: {said}"):
        net_preset(str(path))
