"""The command that trains agents: what it leaves, that it goes on where it was, and its policies in other commands."""

import csv
import sys

import pytest
from PIL import Image

from aio.commands import run
from aio.errors import InputError
from aio.evaluate import main as evaluate
from aio.nets.deployable import write_deployable
from aio.restore import main as restore
from aio.rl.fit import main
from rl.test_actions import tiny

WORDS = [
    *("--de_type", "lowlight", "denoise_25", "--patch_size", "128", "--patches", "16", "--val_images", "1"),
    *("--passes", "2", "--prices", "0.2", "2", "--seeds", "2", "--actions", "400"),
    *("--num_workers", "0", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run, with the checkpoint beside it; the photographs are the demo's."""
    folder = tmp_path_factory.mktemp("agents")
    write_deployable(tiny(eval_windows="fast"), folder / "net.safetensors", tasks=[], about={})
    main(["--checkpoint", str(folder / "net.safetensors"), *WORDS, "-o", str(folder / "out")])
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_leaves_policies_tables_and_pictures(trained):
    out = trained / "out"
    assert len(list(out.glob("policy-*.safetensors"))) == 4
    names = [row["name"] for row in rows(out / "curve.csv")]
    assert names[:2] == ["stop", "1 offset"]
    assert names.count("oracle") == 2
    assert names.count("shuffled") == 4
    assert {row["price"] for row in rows(out / "learning.csv")} <= {"0.2", "2.0"}
    assert "above the frontier" in (out / "curve.md").read_text()
    assert len(list(out.glob("spending-*.png"))) == 2
    for picture in ("curve.png", *(path.name for path in out.glob("spending-*.png"))):
        with Image.open(out / picture) as image:
            assert min(image.size) > 100


def test_it_goes_on_where_it_was(trained, capsys):
    out = trained / "out"
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.npz")}
    before |= {path.name: path.stat().st_mtime_ns for path in out.glob("policy-2-*.safetensors")}
    table = (out / "curve.md").read_text()
    for lost in out.glob("policy-0.2-*.safetensors"):
        lost.unlink()
    main(["--checkpoint", str(trained / "net.safetensors"), *WORDS, "-o", str(out)])
    assert (out / "curve.md").read_text() == table
    assert table in capsys.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before


def test_photographs_are_restored_under_a_policy(trained, plant):
    policy = trained / "out" / "policy-2-seed0.safetensors"
    root = plant({"photos": "a.png"})
    words = ["--checkpoint", str(trained / "net.safetensors"), "--policy", str(policy), "--device", "cpu"]
    assert restore([str(root / "photos"), "-o", str(root / "out"), *words]) == 0
    assert (root / "out" / "a.png").exists()


def test_a_policy_is_measured_beside_its_checkpoint(trained, tmp_path, capsys):
    policy = trained / "out" / "policy-2-seed0.safetensors"
    words = ["--checkpoint", str(trained / "net.safetensors"), "--policy", str(policy), "--device", "cpu"]
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.effect_noise((64, 48), 60).convert("RGB").save(photos / "noise.png")
    evaluate([*words, "--clean_dir", str(photos), "--de_type", "denoise_25", "--save_dir", str(tmp_path / "s")])
    assert [row["method"] for row in rows(tmp_path / "s" / "images.csv")] == ["net", "net+policy-2-seed0"]
    assert "net+policy-2-seed0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patch_size", "40"], "--patch_size 40: expected a multiple of 32"),
        (["--passes", "0"], "--passes 0: expected a number of at least 1"),
        (["--de_type", "fog"], "fog"),
    ],
)
def test_bad_words_are_refused_before_work(trained, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        main(["--checkpoint", str(trained / "net.safetensors"), "-o", str(tmp_path / "out"), *words])
    assert not (tmp_path / "out").exists()


def test_another_checkpoint_than_the_policys_is_refused(trained, tmp_path, plant, capsys):
    write_deployable(tiny(dim=16), tmp_path / "other.safetensors", tasks=[], about={})
    root = plant({"photos": "a.png"})
    words = ["--checkpoint", str(tmp_path / "other.safetensors"), "-o", str(root / "out")]
    policy = str(trained / "out" / "policy-2-seed0.safetensors")
    with pytest.raises(SystemExit) as ended:
        run(restore, [str(root / "photos"), *words, "--policy", policy])
    assert ended.value.code == 2
    assert "was trained for the net" in capsys.readouterr().err


def test_other_photographs_to_be_measured_on_are_not_those_that_are_kept(trained):
    out = trained / "out"
    before = (out / "held_out.npz").stat().st_mtime_ns
    words = [*WORDS, "--val_images", "2"]
    main(["--checkpoint", str(trained / "net.safetensors"), *words, "-o", str(out)])
    assert (out / "held_out.npz").stat().st_mtime_ns > before


def test_a_policy_is_measured_on_one_copy():
    words = ["--checkpoint", "default", "--policy", "p", "--clean_dir", ".", "--de_type", "derain", "--replicas", "2"]
    with pytest.raises(InputError, match="--replicas 2: expected 1 with --policy"):
        evaluate(words)


def test_without_the_library_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.setattr("aio.rl.fit.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'aio\[rl\]'"):
        main(["--checkpoint", "net.safetensors", "-o", str(tmp_path)])
