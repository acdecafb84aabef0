"""Metrics against scikit-image and official evaluation codes, the table against hand-made means and two processes."""

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

from aio.errors import InputError
from aio.metrics import PROTOCOLS, Protocol, Score, ScoreTable, find_protocol, psnr, sr_y, ssim
from aio.metrics.protocols import luma
from golden.fill import golden_input

PAIRS = json.loads((Path(__file__).parent / "golden" / "metrics.json").read_text())["pairs"]
OFFICIAL_NAMES = {
    "promptir": "promptir",
    "moce_ir": "moce_ir",
    "basicsr_y": "restormer_y_uint8",
    "gopro": "basicsr_rgb_uint8",
    "sr_y": "sr_y_border4_uint8",
}
WINDOWS = ("uniform", "gaussian", "gaussian_padded", "gaussian_3d")
SKIMAGE = {
    "uniform": ({"window": "uniform"}, {}),
    "gaussian": ({"window": "gaussian"}, {"gaussian_weights": True}),
    "matlab": (
        {"window": "gaussian", "sample_covariance": False},
        {"gaussian_weights": True, "use_sample_covariance": False},
    ),
}


def noisy_pair(shape=(2, 3, 23, 31), sigma=25, seed=20, dtype=torch.float32):
    clean = golden_input(shape, seed)
    noise = np.random.Generator(np.random.PCG64(seed + 1000)).standard_normal(shape, dtype=np.float32)
    restored = np.clip(clean.numpy() + np.float32(sigma / 255) * noise, 0, 1)
    return torch.from_numpy(restored).to(dtype), clean.to(dtype)


def skimage_ssim(restored, clean, **options):
    images = (image.numpy().transpose(1, 2, 0) for image in (restored, clean))
    return structural_similarity(*images, data_range=1.0, channel_axis=-1, **options)


@pytest.mark.parametrize("name", OFFICIAL_NAMES)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"sigma{pair['sigma']}")
def test_protocols_equal_the_official_evaluation_codes(pair, name):
    restored, clean = noisy_pair(tuple(pair["shape"]), pair["sigma"], pair["seed"])
    (score,) = find_protocol(name, scale=4 if name == "sr_y" else 1).scores(restored, clean)
    expected = pair[OFFICIAL_NAMES[name]]
    assert score.psnr == pytest.approx(expected["psnr"], abs=1e-4)
    assert score.ssim == pytest.approx(expected["ssim"], abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", SKIMAGE)
@pytest.mark.parametrize("shape", [(2, 3, 23, 31), (1, 1, 11, 40)])
def test_ssim_equals_scikit_image(shape, kind, dtype):
    ours, theirs = SKIMAGE[kind]
    restored, clean = noisy_pair(shape, dtype=dtype)
    expected = [skimage_ssim(r.double(), c.double(), **theirs) for r, c in zip(restored, clean, strict=True)]
    result = ssim(restored, clean, **ours)
    assert result.dtype == dtype
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6 if dtype == torch.float32 else 1e-12)


def test_psnr_equals_scikit_image():
    restored, clean = noisy_pair()
    expected = [
        peak_signal_noise_ratio(c.numpy(), r.numpy(), data_range=1) for r, c in zip(restored, clean, strict=True)
    ]
    np.testing.assert_allclose(psnr(restored, clean).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(psnr(restored * 255, clean * 255, data_range=255).numpy(), expected, atol=1e-4)
    assert psnr(restored[0], clean[0]).shape == (1,)


def test_ssim_keeps_its_digits_on_smooth_bright_images():
    clean = torch.linspace(0.8, 0.99, 128).expand(3, 128, 128)
    restored = clean + 0.01 * torch.randn(3, 128, 128, generator=torch.Generator().manual_seed(0))
    for window in WINDOWS:
        exact = ssim(restored.double(), clean.double(), window)
        assert abs(ssim(restored, clean, window).double() - exact) < 2e-6


@pytest.mark.parametrize("window", WINDOWS)
def test_type_layout_and_autocast_do_not_change_scores(window):
    restored, clean = noisy_pair()
    expected = ssim(restored, clean, window)
    channels_last = restored.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ssim(channels_last, clean, window), expected)
        assert torch.equal(psnr(channels_last, clean), psnr(restored, clean))
    low = restored.bfloat16()
    assert torch.equal(ssim(low, clean, window), ssim(low.float(), clean, window))
    assert psnr(low, low + 0.1).dtype == torch.float32


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("sample_covariance", [True, False])
def test_identical_images_are_perfect(window, sample_covariance):
    image = golden_input((2, 3, 37, 41))
    assert ssim(image, image.clone(), window, sample_covariance=sample_covariance).tolist() == [1.0, 1.0]
    assert psnr(image, image.clone()).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize(("window", "size"), [("uniform", 7), ("gaussian", 11)])
def test_a_window_must_fit(window, size):
    image = golden_input((1, 3, size, size))
    ssim(image, image, window)
    with pytest.raises(InputError, match=f"at least {size} x {size}, got {size} x {size - 1}"):
        ssim(image[..., 1:], image[..., 1:], window)


def test_a_padded_window_fits_one_pixel():
    image = golden_input((1, 3, 1, 1))
    assert ssim(image, image, "gaussian_padded").item() == ssim(image, image, "gaussian_3d").item() == 1


def test_misuse_is_refused():
    image = golden_input((1, 3, 32, 48))
    with pytest.raises(ValueError, match=r"one shape, got \(1, 3, 32, 47\) and \(1, 3, 32, 48\)"):
        # Both would crop to 32 x 32: the shapes must agree before.
        PROTOCOLS["promptir"].scores(image[..., 1:], image)
    with pytest.raises(ValueError, match="one shape"):
        psnr(image[0, 0], image[0, 0])
    with pytest.raises(TypeError, match=r"floating images in \[0, 1\], got torch.uint8"):
        psnr(image.byte(), image)
    with pytest.raises(
        InputError, match="choose from aio, basicsr_y, gopro, moce_ir, promptir, realblur, restormer, sidd, sr_y"
    ):
        find_protocol("ssim")
    with pytest.raises(InputError, match="promptir is for images that keep their size: with 2 times the size use sr_y"):
        find_protocol("promptir", scale=2)
    with pytest.raises(InputError, match="promptir crops to a multiple of 16, but an image is 15 x 48"):
        PROTOCOLS["promptir"].scores(image[..., :15, :], image[..., :15, :])
    with pytest.raises(InputError, match="sr_y cuts a border of 4, but an image is 8 x 48"):
        PROTOCOLS["sr_y"].scores(image[..., :8, :], image[..., :8, :])
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        luma(image[:, :2])


def test_every_protocol_knows_its_name_and_clips():
    restored, clean = noisy_pair((1, 3, 32, 32))
    clean = clean.clone()
    clean[..., :8] = 1
    restored[..., :8] = 1
    beyond = restored.clone()
    beyond[..., :8] = 1.5
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.scores(beyond, clean) == protocol.scores(restored, clean)


def test_scores_do_not_depend_on_the_batch():
    restored, clean = noisy_pair((3, 3, 40, 56))
    for protocol in PROTOCOLS.values():
        alone = [protocol.scores(r, c)[0] for r, c in zip(restored, clean, strict=True)]
        assert protocol.scores(restored, clean) == alone


def test_low_precision_is_promoted_before_all_else():
    restored, clean = (image.bfloat16() for image in noisy_pair((1, 3, 32, 40)))
    for protocol in PROTOCOLS.values():
        assert protocol.scores(restored, clean) == protocol.scores(restored.float(), clean.float())


@pytest.mark.parametrize(("size", "start"), [(32, 0), (33, 0), (34, 1), (47, 7)])
def test_crop_is_centred(size, start):
    image = torch.arange(size).expand(1, 1, 40, size).float()
    cropped = PROTOCOLS["promptir"].crop(image)
    assert cropped.shape == (1, 1, 32, 32)
    assert cropped[0, 0, 0].tolist() == list(range(start, start + 32))


def test_border_follows_the_scale():
    restored, clean = noisy_pair((1, 3, 32, 32))
    spoilt = restored.clone()
    spoilt[..., :2, :] = spoilt[..., :, -2:] = 0
    assert sr_y(2).scores(spoilt, clean) == sr_y(2).scores(restored, clean)
    assert sr_y(1).scores(spoilt, clean) != sr_y(1).scores(restored, clean)
    assert sr_y(4) == PROTOCOLS["sr_y"]


def test_luma_has_studio_range():
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).view(5, 3, 1, 1)
    expected = torch.tensor([235, 16, 81.481, 144.553, 40.966])
    torch.testing.assert_close(luma(colours).flatten() * 255, expected)
    gray = golden_input((1, 1, 4, 4))
    assert luma(gray) is gray


def test_matlab_rounds_the_luma_and_the_image():
    restored, clean = noisy_pair((1, 3, 32, 40))
    y = [luma((image[0] * 255).round() / 255).mul(255).round().numpy()[0] for image in (restored, clean)]
    (score,) = PROTOCOLS["restormer"].scores(restored, clean)
    assert score.psnr == pytest.approx(peak_signal_noise_ratio(y[1], y[0], data_range=255), abs=1e-4)
    options = SKIMAGE["matlab"][1] | {"data_range": 255}
    assert score.ssim == pytest.approx(structural_similarity(*y, **options), abs=1e-6)


def test_quantise_rounds_to_the_nearest_of_256_values():
    protocol = replace(PROTOCOLS["aio"], quantise=True)
    image = torch.tensor([0.0, 0.49 / 255, 0.51 / 255, 0.2, 1.0]).bfloat16().view(1, 1, 5)
    assert (protocol.measured(image) * 255).flatten().tolist() == [0, 0, 1, 51, 255]


def test_a_protocol_is_frozen():
    with pytest.raises(AttributeError):
        Protocol(name="mine", source="").border = 1


IMAGES = [("derain", "b"), ("derain", "a"), ("dehaze", "a"), ("dehaze", "c"), ("dehaze", "b")]


def filled_table(images=IMAGES):
    table = ScoreTable("aio")
    for task, name in images:
        restored, clean = noisy_pair((1, 3, 16, 16), seed=IMAGES.index((task, name)))
        (before,), (after,) = (PROTOCOLS["aio"].scores(image, clean) for image in (restored, restored.lerp(clean, 0.5)))
        table.add(task, name, before, after)
    return table


def small_table():
    table = ScoreTable("aio")
    table.add("derain", "x", Score(20.0, 0.5), Score(30.0, 0.75))
    table.add("dehaze", "x", Score(10.0, 0.25), Score(20.0, 0.5))
    table.add("dehaze", "y", Score(20.0, 0.75), Score(40.0, 1.0))
    return table


def test_means_are_over_images_then_over_tasks():
    table = small_table()
    means = table.means()
    assert list(means) == ["dehaze", "derain"]
    assert means["dehaze"] == (2, 15.0, 0.5, 30.0, 0.75)
    assert table.mean() == (3, 17.5, 0.5, 30.0, 0.75)
    assert [(row.task, row.name) for row in table.rows] == [("dehaze", "x"), ("dehaze", "y"), ("derain", "x")]


def test_means_do_not_depend_on_the_order():
    scores = [10.0**-k for k in range(20)]
    orders = (sorted(scores), sorted(scores, reverse=True), random.Random(0).sample(scores, 20))
    means = set()
    for order in orders:
        table = ScoreTable("aio")
        for score in order:
            table.add("derain", str(score), Score(score, score), Score(score, score))
        means.add(table.mean())
    assert len(means) == 1


def test_means_are_exact():
    table = ScoreTable("aio")
    for k in range(10):
        table.add("derain", str(k), Score(0.1, 0.1), Score(0.1, 0.1))
    assert table.mean() == (10, 0.1, 0.1, 0.1, 0.1)


def test_tables_in_markdown_and_csv():
    assert small_table().to_markdown() == (
        "| aio | images | input PSNR / SSIM | restored PSNR / SSIM | gain |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| dehaze | 2 | 15.00 / 0.5000 | 30.00 / 0.7500 | +15.00 / +0.2500 |\n"
        "| derain | 1 | 20.00 / 0.5000 | 30.00 / 0.7500 | +10.00 / +0.2500 |\n"
        "| mean | 3 | 17.50 / 0.5000 | 30.00 / 0.7500 | +12.50 / +0.2500 |\n"
    )
    assert small_table().to_csv() == (
        "protocol,degradation,images,input_psnr,input_ssim,psnr,ssim,psnr_gain,ssim_gain\n"
        "aio,dehaze,2,15.0,0.5,30.0,0.75,15.0,0.25\n"
        "aio,derain,1,20.0,0.5,30.0,0.75,10.0,0.25\n"
        "aio,mean,3,17.5,0.5,30.0,0.75,12.5,0.25\n"
    )


def test_infinite_scores_are_printed():
    table = ScoreTable("aio")
    table.add("derain", "x", Score(20.0, 0.5), Score(math.inf, 1.0))
    table.add("dehaze", "x", Score(math.inf, 1.0), Score(math.inf, 1.0))
    assert "| dehaze | 1 | inf / 1.0000 | inf / 1.0000 | +0.00 / +0.0000 |" in table.to_markdown()
    assert "| derain | 1 | 20.00 / 0.5000 | inf / 1.0000 | +inf / +0.5000 |" in table.to_markdown()
    assert "derain,1,20.0,0.5,inf,1.0,inf,0.5" in table.to_csv()


def test_a_name_stands_for_one_image():
    table = small_table()
    with pytest.raises(InputError, match="two images of derain are named 'x'"):
        table.add("derain", "x", Score(20.0, 0.5), Score(30.0, 0.75))


def test_an_empty_table_has_no_mean():
    assert len(ScoreTable("aio").gather()) == 0
    with pytest.raises(InputError, match="no image was measured"):
        ScoreTable("aio").to_markdown()


def test_gather_without_processes_changes_nothing():
    table = filled_table()
    assert table.gather().rows == table.rows


WORKER = """
import json, sys
import torch.distributed as dist
from aio.errors import InputError
from aio.metrics import Score, ScoreTable
from test_metrics import IMAGES, filled_table

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
share = [[0, 2, 4], [1, 3, 0]][rank]  # as DistributedSampler deals five images: the first one comes twice
table = filled_table([IMAGES[i] for i in share]).gather()
clash = ScoreTable("aio")
clash.add("derain", "x", Score(20.0 + rank, 0.5), Score(30.0, 0.75))
try:
    clash.gather()
    refused = ""
except InputError as error:
    refused = str(error)
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump({"rows": table.rows, "mean": table.mean(), "csv": table.to_csv(), "refused": refused}, file)
dist.destroy_process_group()
"""


@pytest.mark.timeout(120)
def test_two_processes_give_the_table_of_one(tmp_path):
    path = [str(Path(__file__).parent), *filter(None, sys.path)]
    code = f"import sys; sys.path[:0] = {path!r}\n{WORKER}"
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(rank)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        errors = [worker.communicate(timeout=100)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0, 0], errors
    alone = filled_table()
    for rank in range(2):
        together = json.loads((tmp_path / f"{rank}.json").read_text())
        assert [tuple(row) for row in together["rows"]] == alone.rows
        assert tuple(together["mean"]) == alone.mean()
        assert together["csv"] == alone.to_csv()
        assert "two images of derain are named 'x'" in together["refused"]


@pytest.mark.parametrize("sigma", [5, 25])
def test_psnr_equals_torchmetrics(sigma):
    clean = golden_input((2, 3, 21, 34), 3)
    noisy = (clean + sigma / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    expected = [torchmetrics_psnr(n, c, data_range=1.0) for n, c in zip(noisy, clean, strict=True)]
    assert psnr(noisy, clean).tolist() == pytest.approx([e.item() for e in expected], abs=1e-4)


def test_the_input_of_super_resolution_is_scored_enlarged():
    """Set against PyTorch's antialiased bicubic, which is the same away from the edges that the protocol cuts."""
    clean = F.avg_pool2d(torch.rand(1, 3, 70, 70, generator=torch.Generator().manual_seed(0)), 7, 1)
    small = F.avg_pool2d(clean, 4)
    enlarged = F.interpolate(small, scale_factor=4, mode="bicubic", antialias=True)
    protocol = replace(sr_y(4), border=12)
    ((ours,), (theirs,)) = protocol.input_scores(small, clean), protocol.scores(enlarged, clean)
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert protocol.input_scores(clean, clean) == protocol.scores(clean, clean)
