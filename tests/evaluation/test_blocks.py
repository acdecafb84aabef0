"""SIDD's blocks are measured, and what SIDD's and DND's servers take is written, from small files of their form."""

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from aio.errors import InputError
from aio.evaluate import main as evaluate
from aio.evaluation import submission
from aio.evaluation.blocks import dnd_boxes, dnd_image
from aio.submit import main as submit


@pytest.fixture
def sidd(tmp_path):
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (2, 3, 24, 24, 3), dtype=np.uint8)
    noisy = (clean + rng.normal(0, 9, clean.shape)).clip(0, 255).astype(np.uint8)
    folder = tmp_path / "SIDD"
    folder.mkdir()
    for name, blocks in {"ValidationNoisy": noisy, "ValidationGt": clean, "BenchmarkNoisy": noisy}.items():
        savemat(folder / f"{name}BlocksSrgb.mat", {f"{name}BlocksSrgb": blocks})
    return folder, noisy, clean


@pytest.fixture
def dnd(tmp_path, monkeypatch):
    """Two images of 40 x 30 with two boxes each, stored as MATLAB 7.3 does: the axes reversed."""
    monkeypatch.setattr(submission, "DND_IMAGES", 2)
    monkeypatch.setattr(submission, "DND_BOXES", 2)
    folder = tmp_path / "DND" / "images_srgb"
    folder.mkdir(parents=True)
    images = np.random.default_rng(1).random((2, 40, 30, 3))
    for number, image in enumerate(images, start=1):
        with h5py.File(folder / f"{number:04d}.mat", "w") as file:
            file["InoisySRGB"] = image.transpose(2, 1, 0)
    with h5py.File(folder.parent / "info.mat", "w") as file:
        boxes = file.create_dataset("info/boundingboxes", (1, 2), dtype=h5py.ref_dtype)
        for number in range(2):
            each = file.create_dataset(f"refs/{number}", data=np.array([[1, 1, 16, 20], [21, 5, 40, 30]], float).T)
            boxes[0, number] = each.ref
    return folder.parent, images


def test_sidd_is_measured_block_by_block(sidd, finished_run, tmp_path, capsys):
    folder, noisy, clean = sidd
    words = ["--benchmark", "sidd", "--data_file_dir", str(folder.parent), "--baseline", "identity"]
    evaluate([*words, "--save_dir", str(tmp_path / "out")])
    error = ((noisy / 255.0 - clean / 255.0) ** 2).mean(axis=(2, 3, 4))
    expected = (10 * np.log10(1 / error)).mean()
    text = (tmp_path / "out" / "scores.md").read_text()
    assert f"| identity | {expected:.2f} / " in text
    assert "SIDD: 6 of 1280 images" in capsys.readouterr().out
    assert (tmp_path / "out" / "identity" / "SIDD" / "02-03.png").exists()


def test_sidd_without_its_files_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected ValidationNoisyBlocksSrgb.mat in it or below it"):
        evaluate(["--benchmark", "sidd", "--data_file_dir", str(tmp_path), "--baseline", "identity"])
    (tmp_path / "ValidationNoisyBlocksSrgb.mat").write_bytes(b"no matlab file")
    (tmp_path / "ValidationGtBlocksSrgb.mat").write_bytes(b"no matlab file")
    with pytest.raises(InputError, match=r"ValidationNoisyBlocksSrgb.mat: expected"):
        evaluate(["--benchmark", "sidd", "--data_file_dir", str(tmp_path), "--baseline", "identity"])


def test_the_submission_to_sidd_holds_every_block(sidd, finished_run, tmp_path, monkeypatch):
    folder, noisy, _ = sidd
    out = tmp_path / "out"
    words = ["sidd", str(folder), "-o", str(out), "--checkpoint", str(finished_run / "best.ckpt")]
    submit(words)
    cells = loadmat(out / "SubmitSrgb.mat")["DenoisedBlocksSrgb"]
    assert cells.shape == (2, 3)
    assert cells[1, 2].shape == (24, 24, 3)
    assert cells[1, 2].dtype == np.uint8
    assert np.abs(cells[1, 2].astype(int) - noisy[1, 2]).mean() < 60  # the image of its own block
    (out / "parts" / "02.npy").unlink()  # what a kill had left
    restored = []
    whole = submission.restore_image
    monkeypatch.setattr(
        submission, "restore_image", lambda net, image, **how: restored.append(1) or whole(net, image, **how)
    )
    submit(words)
    assert len(restored) == 3
    assert np.array_equal(loadmat(out / "SubmitSrgb.mat")["DenoisedBlocksSrgb"][1, 2], cells[1, 2])
    with pytest.raises(InputError, match="holds what another checkpoint or setting restored"):
        submit([*words, "--tile", "96"])


def test_boxes_of_dnd_are_cut_where_they_are(dnd):
    folder, images = dnd
    assert np.allclose(dnd_image(folder, 1).permute(1, 2, 0).numpy(), images[1], atol=1e-6)
    assert dnd_boxes(folder, 0) == [(slice(0, 16), slice(0, 20)), (slice(20, 40), slice(4, 30))]


def test_the_submission_to_dnd_has_a_file_per_image(dnd, finished_run, tmp_path):
    folder, _ = dnd
    out = tmp_path / "out"
    submit(["dnd", str(folder), "-o", str(out), "--checkpoint", str(finished_run / "best.ckpt")])
    content = loadmat(out / "0002.mat")
    cells = content["Idenoised"].ravel()
    assert [cell.shape for cell in cells] == [(16, 20, 3), (20, 26, 3)]
    assert (content["israw"].item(), content["eval_version"].item()) == (0, "1.0")
    assert not (out / "0003.mat").exists()


def test_a_missing_file_of_dnd_is_named_before_the_work(dnd, finished_run, tmp_path):
    folder, _ = dnd
    (folder / "images_srgb" / "0002.mat").unlink()
    with pytest.raises(InputError, match=r"expected 0002\.mat in it or below it"):
        submit(["dnd", str(folder), "-o", str(tmp_path / "out"), "--checkpoint", str(finished_run / "best.ckpt")])
    assert not (tmp_path / "out").exists()
