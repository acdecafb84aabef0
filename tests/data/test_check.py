"""The check of a data tree: every fault is a finding by name, and none hides another."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aio.data.__main__ import main
from aio.data.check import check
from aio.errors import InputError

CLEAN = "train/derain/target/1.png"
RAINY = "train/derain/input/1.png"
TESTED = "val/derain/target/7.png"


def photo(seed, size=(144, 160)):
    """An image that is like no other: smooth patches of random colour."""
    patches = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size[::-1], Image.Resampling.BICUBIC)


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def tree(tmp_path):
    """Three pairs of rain to train on and one to test on, and three photographs: nothing to complain of."""
    for split, seeds in (("train", (1, 2, 3)), ("val", (7,))):
        for seed in seeds:
            clean = photo(seed)
            save(clean, tmp_path / f"{split}/derain/target/{seed}.png")
            save(clean.point(lambda value: value // 2 + 60), tmp_path / f"{split}/derain/input/{seed}.png")
    for seed in (4, 5, 6):
        save(photo(seed), tmp_path / f"train/denoise/{seed}.png")
    return tmp_path


def faults(tree, *args, **options):
    """{kind: its findings} of all that is to be mended."""
    return by_kind(check(tree, *args, **options).faults)


def by_kind(findings):
    return {kind: [f for f in findings if f.kind == kind] for kind in {f.kind for f in findings}}


def notes(tree, *args):
    return [finding for finding in check(tree, *args).findings if finding.level == "note"]


def test_nothing_to_complain_of(tree):
    report = check(tree)
    assert report.faults == []
    assert [(part.folder, part.split, part.found) for part in report.parts] == [
        ("train/derain", "train", 3),
        ("val/derain", "val", 1),
        ("train/denoise", "train", 3),
    ]


def test_unreadable(tree):
    path = tree / CLEAN
    path.write_bytes(path.read_bytes()[:-40])
    (tree / "train/denoise/4.png").write_text("no image")
    (finding,) = faults(tree)["unreadable"]
    assert [line.split(":")[0] for line in finding.files] == ["train/denoise/4.png", CLEAN]
    assert finding.text == "2 of 11 images cannot be read"


def test_a_cut_off_bitmap_needs_a_full_decode(tree):
    (tree / "train/denoise/4.png").unlink()
    path = tree / "train/denoise/4.bmp"
    photo(4).save(path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "unreadable" in faults(tree)
    assert "unreadable" not in faults(tree, quick=True)


def test_no_partner(tree):
    (tree / CLEAN).unlink()
    found = faults(tree)
    (finding,) = found["no partner"]
    assert finding.files == (RAINY,)
    assert finding.text == "1 of 3 degraded images have no partner in target"
    assert "1 degraded images have no partner" in found["stops training"][0].text


def test_no_clean_side_at_all(tree):
    shutil.rmtree(tree / "val/derain/target")
    (finding,) = faults(tree)["no partners"]
    assert finding.files == ("val/derain/input",)


def test_a_list_that_names_absent_files(tree):
    (tree / "noisy").mkdir()
    (tree / "noisy/denoise.txt").write_text("4.png\nnonesuch.bmp\n")
    (finding,) = faults(tree)["stops training"]
    assert "lists 2 files of BSD400 + WED, of which 1 are absent" in finding.text
    assert not [note for note in notes(tree) if "noisy/denoise.txt" in note.files]


def test_one_fault_hides_no_other(tree):
    (tree / CLEAN).unlink()
    (tree / "train/denoise/4.png").write_text("no image")
    save(photo(7), tree / "train/derain/target/2.png")
    save(photo(9, (150, 160)), tree / "train/derain/target/3.png")
    assert {"no partner", "stops training", "unreadable", "size", "leak"} <= faults(tree).keys()


@pytest.mark.parametrize("quick", [False, True])
def test_unequal_pair(tree, quick):
    save(photo(1, (144, 176)), tree / RAINY)
    (finding,) = faults(tree, quick=quick)["size"]
    assert finding.text == "train/derain: 1 pairs of unequal size, expected equal"
    assert finding.files == (f"{RAINY} 144 x 176 = {CLEAN} 144 x 160",)


def test_sizes_in_super_resolution(tmp_path):
    for name, size in (("a", (144, 146)), ("b", (144, 160))):
        save(photo(name == "a", size), tmp_path / f"My_HR/{name}.png")
        save(photo(name == "a", (72, 73)), tmp_path / f"My_LR_bicubic/X2/{name}x2.png")
    (finding,) = faults(tmp_path)["size"]
    assert finding.text.endswith("1 pairs of unequal size, expected one 2 times the other")
    assert finding.files == ("My_LR_bicubic/X2/bx2.png 72 x 73 = My_HR/b.png 144 x 160",)


def test_pair_without_degradation(tree):
    shutil.copy(tree / CLEAN, tree / RAINY)
    (finding,) = faults(tree)["no degradation"]
    assert finding.files == (f"{RAINY} = {CLEAN}",)


def test_small_images_stop_training_and_are_noted_in_tests(tree):
    save(photo(4, (127, 160)), tree / "train/denoise/4.png")
    save(photo(8, (100, 100)), tree / "val/derain/target/8.png")
    save(photo(9, (100, 100)), tree / "val/derain/input/8.png")
    (finding,) = faults(tree)["small"]
    assert finding.files == ("train/denoise/4.png 127 x 160",)
    (noted,) = by_kind(notes(tree))["small"]
    assert noted.files == ("val/derain/target/8.png 100 x 100",)


def test_twice_in_one_set(tree):
    shutil.copy(tree / "train/denoise/4.png", tree / "train/denoise/9.png")
    (finding,) = faults(tree)["twice"]
    assert finding.files == ("train/denoise/4.png = train/denoise/9.png",)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_shared_by_two_sets_is_a_note(tree, suffix):
    save(photo(1), tree / f"train/denoise/9.{suffix}")
    (noted,) = by_kind(notes(tree))["shared"]
    assert {file.split(" (")[0] for file in noted.files} in (
        {f"train/denoise/9.{suffix} = {CLEAN}"},
        {f"{CLEAN} = train/denoise/9.{suffix}"},
    )
    assert "twice" not in faults(tree)


def test_leak_from_test_into_training(tree):
    turned = photo(7).transpose(Image.Transpose.ROTATE_90).point(lambda value: value * 3 // 4)
    turned.save(tree / "train/denoise/9.jpg", quality=75)
    (finding,) = faults(tree)["leak"]
    assert finding.text.startswith("1 images of val/derain stand in ")
    assert finding.files[0].startswith(f"{TESTED} = train/denoise/9.jpg (")
    assert "leak" not in faults(tree, quick=True)


def test_counts_of_known_sets(tree):
    for n in range(3):
        save(photo(20 + n), tree / f"val/Kodak24/{n}.png")
    assert "Kodak24: 3 in val/Kodak24, expected 24 (Franzen, 1999)" in [f.text for f in faults(tree)["count"]]


def test_a_count_is_a_note_where_the_place_alone_names_the_set(tree):
    """PromptIR keeps BSD400 and WED in train/denoise, others what they like."""
    (noted,) = [note for note in notes(tree) if note.kind == "count"]
    assert noted.text.startswith("BSD400 + WED: 3 in train/denoise, expected 5,144 (")


def test_scenes_of_one_set_are_one_part(tmp_path):
    for scene in ("GOPR0372_07_00", "GOPR0374_11_01"):
        for side, seed in (("blur", 1), ("sharp", 2)):
            save(photo(len(scene) + seed), tmp_path / f"GOPRO_Large/train/{scene}/{side}/0001.png")
    (part,) = check(tmp_path, ["deblur"], quick=True).parts
    assert (part.name, part.folder, part.found, part.expected) == ("GoPro train", "GOPRO_Large/train", 2, 2103)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("train/derain/depth/1.png", "beside a paired set, in neither of its sides"),
        ("train/derain/target/9.png", "without a partner, or left out by an official list"),
        ("train/haze/input/9.png", "of pairs for dehaze, which was not asked for"),
        ("elsewhere/9.png", "not named as a set of photographs, as others are; or left out by an official list"),
        ("readme.txt", "no image by its suffix '.txt'"),
        ("DIV2K.zip", "packed: unpack it"),
    ],
)
def test_unused_files_and_why(tree, file, reason):
    save(photo(9), tree / "train/haze/target/9.png")
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(10).save(path, "PNG")
    (noted,) = [note for note in notes(tree, ["derain"]) if note.kind == "unused" and file in note.files]
    assert noted.text.endswith(f": {reason}")


@pytest.mark.parametrize(
    ("mode", "oddity"), [("L", "gray"), ("P", "palette"), ("RGBA", "alpha"), ("I;16", "16 bits"), ("1", "1 bit")]
)
def test_oddities(tree, mode, oddity):
    image = Image.fromarray(np.asarray(photo(4).convert("L")).astype(np.uint16) * 257) if mode == "I;16" else photo(4)
    save(image if mode == "I;16" else image.convert(mode), tree / "train/denoise/4.png")
    noted = [note.text for note in notes(tree) if note.kind == "odd"]
    assert f"1 of 3 images in train/denoise: {oddity}" in noted


def test_gray_saved_as_colour_is_seen(tree):
    save(photo(4).convert("L").convert("RGB"), tree / "train/denoise/4.png")
    assert "1 of 3 images in train/denoise: gray" in [note.text for note in notes(tree)]


def test_what_the_tasks_asked_for_lack(tree):
    report = check(tree, ["derain", "dehaze"])
    assert {"Rain13K", "RESIDE OTS"} <= set(report.absent)
    assert "GoPro train" not in report.absent
    assert [note.text for note in report.findings if note.kind == "no pairs"] == [
        "dehaze: none are here; training can only synthesise it"
    ]
    assert check(tree).absent == []


def test_json_and_markdown_name_every_file(tree, tmp_path_factory):
    for n in range(12):
        shutil.copy(tree / CLEAN, tree / f"train/derain/input/lone{n:02}.png")
    out = tmp_path_factory.mktemp("out")
    code = main(["check", str(tree), "--json", str(out / "a.json"), "--report", str(out / "b.md")])
    assert code == 1
    told = json.loads((out / "a.json").read_text())
    (finding,) = [f for f in told["findings"] if f["kind"] == "no partner"]
    assert finding["files"] == [f"train/derain/input/lone{n:02}.png" for n in range(12)]
    assert told["clean"] is False
    assert told["images"] == 23
    markdown = (out / "b.md").read_text()
    assert all(f"- `{file}`" in markdown for file in finding["files"])
    assert markdown.startswith(f"# {tree}: 23 images (all decoded), ")


def test_the_terminal_shows_ten_files_of_a_fault(tree, capsys):
    for n in range(12):
        shutil.copy(tree / CLEAN, tree / f"train/derain/input/lone{n:02}.png")
    main(["check", str(tree)])
    shown = capsys.readouterr().out
    assert "lone09.png" in shown
    assert "lone10.png" not in shown
    assert "... and 2 more (--report or --json lists all)" in shown


@pytest.mark.parametrize(
    ("folder", "options", "message"),
    [
        ("nonesuch", {}, "nonesuch: expected a folder with a data tree, but there is none"),
        ("empty", {}, "empty: holds no image file"),
        (".", {"de_type": ["rainy"]}, "--de_type rainy: unknown degradation 'rainy'"),
    ],
)
def test_bad_input(tree, folder, options, message):
    (tree / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        check(tree / folder, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(("words", "code"), [(["derain"], 0), (["derain", "--quick"], 0), (["nonesuch"], 2)])
def test_the_command(tree, words, code):
    shutil.rmtree(tree / "train/denoise")
    command = [sys.executable, "-m", "aio.data", "check", str(tree), "--de_type", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert ("0 finding(s)" in done.stdout) == (code == 0)
    assert "Traceback" not in done.stderr
    assert Path(tree / CLEAN).exists()
