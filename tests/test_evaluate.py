"""`aio evaluate`: benchmarks and folders, the tables it leaves, what it refuses."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from aio.errors import InputError
from aio.evaluate import main
from aio.nets.grla_seed import GRLASeed
from aio.nets.restormer import Restormer


@pytest.fixture
def folders(tmp_path):
    """Five pairs of odd sizes, the degraded side darker by a fifth."""
    rng = np.random.default_rng(0)
    for i in range(5):
        clean = rng.integers(0, 256, (33 + i, 41, 3), dtype=np.uint8)
        for name, image in {"low": clean * 0.8, "high": clean}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_folders_give_a_table_and_the_restored_images(folders, finished_run, capsys):
    out = folders / "out"
    checkpoint = str(finished_run / "best.ckpt")
    words = ["--checkpoint", checkpoint, "--degraded_dir", str(folders / "low"), "--clean_dir", str(folders / "high")]
    main([*words, "--save_dir", str(out), "--de_type", "lol"])
    with (out / "scores.csv").open() as file:
        rows = {(row["method"], row["column"]): row for row in csv.DictReader(file)}
    pairs = [
        [np.asarray(Image.open(folder / f"{i}.png")) for folder in (folders / "high", folders / "low")]
        for i in range(5)
    ]
    expected = math.fsum(peak_signal_noise_ratio(clean, low) for clean, low in pairs) / 5
    assert float(rows["input", "lowlight"]["psnr"]) == pytest.approx(expected, abs=1e-4)
    restored = [np.asarray(Image.open(out / "best" / "lowlight" / f"{i}.png")) for i in range(5)]
    after = math.fsum(peak_signal_noise_ratio(clean, r) for (clean, _), r in zip(pairs, restored, strict=True)) / 5
    assert float(rows["best", "lowlight"]["psnr"]) == pytest.approx(after, abs=0.05)  # the files are rounded to 8 bit
    assert (out / "scores.md").read_text().startswith("own images (protocol aio; images: lowlight 5): PSNR / SSIM")
    assert r"\toprule" in (out / "scores.tex").read_text()
    assert len((out / "images.csv").read_text().splitlines()) == 1 + 5
    with Image.open(out / "best.png") as sheet:
        assert sheet.height > 3 * 33  # the worst, the median and the best
    printed = capsys.readouterr().out
    assert "lowlight" in printed
    assert "5 pairs, by the same name: 0.png <-> 0.png" in printed


def test_the_demo_benchmark_runs_blind_or_told(finished_run, capsys):
    for told in ([], ["--tell_task"]):
        main(["--checkpoint", str(finished_run / "best.ckpt"), "--benchmark", "demo", "--de_type", "dehaze", *told])
        assert "dehaze" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say what to measure on"),
        (
            ["--benchmark", "aio7"],
            r"unknown benchmark 'aio7': choose from\n  demo: (.|\n)*in a tree like\nROOT/",
        ),
        (["--benchmark", "aio5"], "give their root by --data_file_dir"),
        (["--benchmark", "demo", "--protocol", "mine"], "unknown protocol 'mine': choose from aio"),
        (["--degraded_dir", "x"], "say what to measure on"),
        (["--clean_dir", "x"], "goes with --degraded_dir D, or with --de_type T"),
        (["--clean_dir", "x", "y", "--degraded_dir", "z"], "goes with one --clean_dir"),
        (["--degraded_dir", "/none", "--clean_dir", "/none"], "/none: no such folder"),
        (["--clean_dir", "/none", "--de_type", "derain"], "/none: no such folder"),
        (["--clean_dir", ".", "--de_type", "denoise"], "means denoise_15, denoise_25, denoise_50: name one"),
        (["--benchmark", "demo", "--de_type", "fog"], "unknown degradation 'fog'"),
    ],
)
def test_bad_input_is_named(finished_run, words, says):
    with pytest.raises(InputError, match=says):
        main(["--checkpoint", str(finished_run / "best.ckpt"), *words])


def test_a_net_for_other_images_is_refused(tmp_path):
    torch.save({"params": GRLASeed(scale=2, dim=10, num_blocks=1).state_dict()}, tmp_path / "sr.pth")
    with pytest.raises(InputError, match=r"GRLASeed enlarges 2 times \(--de_type sr_x2\), but the clean images are 1"):
        main(["--checkpoint", str(tmp_path / "sr.pth"), "--benchmark", "demo"])
    dual = Restormer(
        dim=8, num_blocks=[1] * 4, heads=[1] * 4, num_refinement_blocks=1, dual_pixel_task=True, inp_channels=6
    )
    torch.save({"params": dual.state_dict()}, tmp_path / "dual.pth")
    with pytest.raises(InputError, match="Restormer takes 6 channels and gives 3: expected gray or colour images"):
        main(["--checkpoint", str(tmp_path / "dual.pth"), "--benchmark", "demo"])


def test_a_benchmark_measures_on_its_own_sets(plant, finished_run, tmp_path, capsys):
    root = plant({"test/denoise/bsd68": "a.png b.png", "test/denoise/kodak24": "c.png"})
    words = ["--checkpoint", str(finished_run / "best.ckpt"), "--data_file_dir", str(root), "--de_type", "denoise_25"]
    for benchmark, images in {"aio3": {"a.png", "b.png"}, "own": {"a.png", "b.png", "c.png"}}.items():
        main([*words, "--benchmark", benchmark, "--save_dir", str(tmp_path / benchmark)])
        (column,) = (path for path in (tmp_path / benchmark / "best").iterdir() if path.is_dir())
        assert {path.name for path in column.iterdir()} == images


def test_unequal_pairs_are_named_before_the_run(folders, finished_run):
    Image.new("RGB", (9, 9)).save(folders / "high" / "3.png")
    words = ["--degraded_dir", str(folders / "low"), "--clean_dir", str(folders / "high")]
    with pytest.raises(InputError, match=r"3\.png is 36 x 41 and .*3\.png is 9 x 9: expected a pair of equal size"):
        main(["--checkpoint", str(finished_run / "best.ckpt"), *words])


def words_of(finished_run, folders, *more):
    pairs = ["--degraded_dir", str(folders / "low"), "--clean_dir", str(folders / "high")]
    return ["--checkpoint", str(finished_run / "best.ckpt"), *pairs, *more]


def images_csv(folder):
    """What was scored; what it took is left out."""
    with (folder / "images.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in ("seconds", "peak_bytes")} for row in csv.DictReader(file)]


def test_several_methods_stand_in_one_table_and_are_compared(folders, finished_run, capsys):
    out = folders / "out"
    main(
        words_of(finished_run, folders, "--baseline", "identity", "gamma", "--measures", "mae", "--save_dir", str(out))
    )
    text = (out / "scores.md").read_text()
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")][2:6] == [
        "| input",
        "| best",
        "| identity",
        "| gamma",
    ]
    assert "| identity | gamma | 5 |" in text
    scored = images_csv(out)
    assert [row["method"] for row in scored] == ["best"] * 5 + ["identity"] * 5 + ["gamma"] * 5
    for row in scored[5:10]:
        assert (row["psnr"], row["ssim"], row["mae"]) == (row["input_psnr"], row["input_ssim"], row["input_mae"])
    assert {path.name for path in out.glob("*.png")} == {"best.png", "identity.png", "gamma.png"}


def test_any_number_of_processes_gives_the_same(folders, finished_run):
    for processes in ("1", "2", "3"):
        main(words_of(finished_run, folders, "--processes", processes, "--save_dir", str(folders / processes)))
    expected = images_csv(folders / "1")
    assert len(expected) == 5
    assert images_csv(folders / "2") == images_csv(folders / "3") == expected
    for path in (folders / "1" / "best").rglob("*.png"):
        assert path.read_bytes() == (folders / "2" / path.relative_to(folders / "1")).read_bytes()


def test_a_killed_evaluation_goes_on_where_it_was(folders, finished_run, monkeypatch):
    from aio.evaluation import run

    out = folders / "out"
    words = words_of(finished_run, folders, "--save_dir", str(out))
    whole = run._measured
    done = []

    def counted(net, measures, item, *rest):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(item.name)
        return whole(net, measures, item, *rest)

    monkeypatch.setattr(run, "_measured", counted)
    with pytest.raises(KeyboardInterrupt):
        main(words)
    journal = out / "best" / "measured-0.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"key": "half a li')  # a kill in mid-line
    done.clear()
    main(words)
    assert done == ["3", "4"]
    monkeypatch.undo()
    main(words_of(finished_run, folders, "--save_dir", str(folders / "undisturbed")))
    assert images_csv(out) == images_csv(folders / "undisturbed")


def test_what_was_measured_is_measured_anew_when_it_changes(folders, finished_run, monkeypatch):
    from aio.evaluation import run

    words = words_of(finished_run, folders, "--save_dir", str(folders / "out"))
    main(words)
    whole, done = run._measured, []
    monkeypatch.setattr(
        run, "_measured", lambda net, m, item, *rest: done.append(item.name) or whole(net, m, item, *rest)
    )
    main(words)
    assert done == []
    Image.fromarray(np.full((35, 41, 3), 9, np.uint8)).save(folders / "low" / "2.png")
    main(words)
    assert done == ["2"]
    (folders / "out" / "best" / "low" / "4.png").unlink()
    main(words)
    assert done == ["2", "4"]
    main([*words, "--protocol", "moce_ir"])
    assert done[2:] == ["0", "1", "2", "3", "4"]


def test_one_clean_image_may_have_many_degraded(plant, finished_run, capsys):
    root = plant({"hazy": "7_1.png 7_2.png 8_1.png", "gt": "7.png 8.png"})
    words = ["--degraded_dir", str(root / "hazy"), "--clean_dir", str(root / "gt")]
    main(["--checkpoint", str(finished_run / "best.ckpt"), *words])
    said = capsys.readouterr().out
    assert "3 degraded images of 2 clean ones, by the text before the first underscore: 7_1.png <-> 7.png" in said


def test_an_incomplete_set_is_said(plant, finished_run, capsys):
    root = plant({"test/Rain100L/input": "rain-1.png rain-2.png", "test/Rain100L/target": "norain-1.png norain-2.png"})
    words = ["--benchmark", "derain", "--data_file_dir", str(root)]
    main(["--checkpoint", str(finished_run / "best.ckpt"), *words])
    printed = capsys.readouterr().out
    assert "Rain100L: 2 of 100 images; do not compare with published rows" in printed
    assert "Test1200: 0 of 1200 images" in printed
    assert "Restormer" in printed
    assert "38.99" in printed
    assert "33.19" not in printed  # the columns that were not measured are left out


def test_checkpoints_of_one_name_are_told_apart(folders, finished_run, tmp_path):
    import shutil

    (tmp_path / "other").mkdir()
    shutil.copy(finished_run / "best.ckpt", tmp_path / "other" / "best.ckpt")
    out = folders / "out"
    words = words_of(finished_run, folders, "--save_dir", str(out))
    words.insert(2, str(tmp_path / "other" / "best.ckpt"))
    main(words)
    rows = images_csv(out)
    assert {row["method"] for row in rows} == {"finished-best", "other-best"}
    assert rows[0]["psnr"] == rows[5]["psnr"]
