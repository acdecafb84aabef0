"""Measures besides PSNR and SSIM: what they compute, and what is said where their weights are not at hand."""

from urllib.error import URLError

import pytest
import torch
import torchvision

from aio.errors import InputError
from aio.metrics.measures import open_measures


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty folder for weights, and nobody to fetch them from."""

    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setattr("torchmetrics.functional.image.arniqa.download_url_to_file", refuse, raising=False)
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    return tmp_path / "checkpoints"


def test_mean_absolute_error_is_over_clipped_images():
    (mae,) = open_measures(["mae"]).values()
    clean = torch.tensor([[[0.0, 1.0], [0.5, 0.25]]])
    assert mae(torch.tensor([[[-1.0, 3.0], [0.25, 0.75]]]), clean) == pytest.approx((0.25 + 0.5) / 4)


@pytest.mark.parametrize(
    ("name", "net", "file"),
    [("lpips", "alexnet", "alexnet-owt-7be5be79.pth"), ("dists", "vgg16", "vgg16-397923af.pth")],
)
def test_weights_at_hand_are_used_without_a_network(no_network, name, net, file):
    torch.manual_seed(0)
    no_network.mkdir()
    torch.save(getattr(torchvision.models, net)().state_dict(), no_network / file)
    (distance,) = open_measures([name]).values()
    clean = torch.rand(3, 64, 64)
    near, far = (clean + s * torch.randn_like(clean) for s in (0.02, 0.2))
    assert distance(clean, clean) == pytest.approx(0, abs=1e-5)
    assert 0 < distance(near, clean) < distance(far, clean)
    gray = clean[:1]
    assert distance(gray, gray) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", ["lpips", "lpips_vgg", "dists", "arniqa"])
def test_missing_weights_are_said(no_network, name):
    with pytest.raises(
        InputError, match=rf"--measures {name}: its weights are not in .*checkpoints and cannot be fetched"
    ):
        open_measures([name])


def test_an_unknown_measure_names_those_there_are():
    with pytest.raises(InputError, match="--measures niqe: choose from mae, lpips, lpips_vgg, dists, arniqa"):
        open_measures(["niqe"])
