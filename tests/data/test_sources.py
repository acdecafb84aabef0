"""Discovery: the trees in which the field ships its data, and what is said of those that are broken."""

import pytest

from aio.data.sources import discover, pair_up
from aio.errors import InputError

PAIRED = ["derain", "dehaze", "deblur", "lowlight"]
SPLITS = [("train", "a"), ("val", "b")]


def pairs_of(root, tasks=PAIRED):
    """{split: {task: [(degraded, clean)]}}, the paths relative to `root`."""
    found = discover(root, tasks)
    return {
        split: {
            task: [tuple(path.relative_to(root).as_posix() for path in pair) for pair in pairs]
            for task, pairs in content.pairs.items()
            if pairs
        }
        for split, content in found.items()
    }


def photos_of(root, tasks=("denoise_25",)):
    """{split: clean photographs}, relative to `root`."""
    return {
        split: [p.relative_to(root).as_posix() for p in content.clean]
        for split, content in discover(root, tasks).items()
    }


def test_tree_of_promptir_and_airnet(plant):
    root = plant(
        {
            "Train/Denoise": "00001.bmp 100007.jpg",
            "Train/Derain/rainy": "rain-1.png rain-10.png",
            "Train/Derain/gt": "norain-1.png norain-10.png",
            "Train/Dehaze/synthetic/part1": "0025_0.8_0.04.jpg 0025_1_0.2.jpg",
            "Train/Dehaze/synthetic/part2": "0031_0.85_0.1.jpg",
            "Train/Dehaze/original": "0025.jpg 0031.png",
            "Train/Deblur/blur": "GOPR0372_07_00-000047.png",
            "Train/Deblur/sharp": "GOPR0372_07_00-000047.png",
            "Train/Enhance/low": "2.png",
            "Train/Enhance/gt": "2.png",
            "test/denoise/bsd68": "101085.png",
            "test/derain/Rain100L/input": "1.png",
            "test/derain/Rain100L/target": "1.png",
            "test/dehaze/input": "0001_0.8_0.2.jpg",
            "test/dehaze/target": "0001.png",
            "test/deblur/gopro/input": "GOPR0384_11_00-000001.png",
            "test/deblur/gopro/target": "GOPR0384_11_00-000001.png",
            "test/enhance/lol/input": "1.png",
            "test/enhance/lol/target": "1.png",
        }
    )
    haze, blur = "Train/Dehaze", "GOPR0372_07_00-000047.png"
    assert pairs_of(root) == {
        "train": {
            "derain": [(f"Train/Derain/rainy/rain-{i}.png", f"Train/Derain/gt/norain-{i}.png") for i in (1, 10)],
            "dehaze": [
                (f"{haze}/synthetic/part1/0025_0.8_0.04.jpg", f"{haze}/original/0025.jpg"),
                (f"{haze}/synthetic/part1/0025_1_0.2.jpg", f"{haze}/original/0025.jpg"),
                (f"{haze}/synthetic/part2/0031_0.85_0.1.jpg", f"{haze}/original/0031.png"),
            ],
            "deblur": [(f"Train/Deblur/blur/{blur}", f"Train/Deblur/sharp/{blur}")],
            "lowlight": [("Train/Enhance/low/2.png", "Train/Enhance/gt/2.png")],
        },
        "val": {
            "derain": [("test/derain/Rain100L/input/1.png", "test/derain/Rain100L/target/1.png")],
            "dehaze": [("test/dehaze/input/0001_0.8_0.2.jpg", "test/dehaze/target/0001.png")],
            "deblur": [tuple(f"test/deblur/gopro/{side}/GOPR0384_11_00-000001.png" for side in ("input", "target"))],
            "lowlight": [("test/enhance/lol/input/1.png", "test/enhance/lol/target/1.png")],
        },
    }
    assert photos_of(root) == {
        "train": ["Train/Denoise/00001.bmp", "Train/Denoise/100007.jpg"],
        "val": ["test/denoise/bsd68/101085.png"],
    }


def test_tree_of_moce_ir(plant):
    parts = {f"dehazing/RESIDE/part{k}": f"{k:04}_0.8_0.1.jpg {k:04}_1_0.2.jpg" for k in range(1, 5)}
    root = plant(
        {
            "denoising/WaterlooED": " ".join(f"{i:05}.bmp" for i in range(30)),
            "denoising/BSD400": "2092.jpg",
            "denoising/cBSD68/original_png": "3096.png",
            "deraining/RainTrainL/rainy": "b.png a.png c.png",
            "deraining/RainTrainL/gt": "x-2.png x-1.png x-3.png",
            "deraining/Rain100L/rainy": "rain-001.png",
            "deraining/Rain100L/gt": "norain-001.png",
            **parts,
            "dehazing/RESIDE/clear": "0001.jpg 0002.jpg 0003.jpg 0004.jpg",
            "dehazing/SOTS/outdoor/hazy": "0001_0.8_0.2.jpg",
            "dehazing/SOTS/outdoor/gt": "0001.png",
            "deblurring/GoPro/crop/train/input_crops": "GOPR0372_07_00-000047-s001.png",
            "deblurring/GoPro/crop/train/target_crops": "GOPR0372_07_00-000047-s001.png",
            "deblurring/GoPro/test/input": "GOPR0384_11_00-000001.png",
            "deblurring/GoPro/test/target": "GOPR0384_11_00-000001.png",
            "llie/LOLv1/Train/input": "2.png",
            "llie/LOLv1/Train/target": "2.png",
            "llie/LOLv1/Test/input": "1.png",
            "llie/LOLv1/Test/target": "1.png",
        }
    )
    crops, rain = "deblurring/GoPro/crop/train", "deraining/RainTrainL"
    assert pairs_of(root) == {
        "train": {
            "derain": [(f"{rain}/rainy/{a}.png", f"{rain}/gt/x-{b}.png") for a, b in ("a1", "b2", "c3")],
            "dehaze": [
                (f"dehazing/RESIDE/part{k}/{k:04}_{air}.jpg", f"dehazing/RESIDE/clear/{k:04}.jpg")
                for k in range(1, 5)
                for air in ("0.8_0.1", "1_0.2")
            ],
            "deblur": [tuple(f"{crops}/{s}_crops/GOPR0372_07_00-000047-s001.png" for s in ("input", "target"))],
            "lowlight": [("llie/LOLv1/Train/input/2.png", "llie/LOLv1/Train/target/2.png")],
        },
        "val": {
            "derain": [("deraining/Rain100L/rainy/rain-001.png", "deraining/Rain100L/gt/norain-001.png")],
            "dehaze": [("dehazing/SOTS/outdoor/hazy/0001_0.8_0.2.jpg", "dehazing/SOTS/outdoor/gt/0001.png")],
            "deblur": [tuple(f"deblurring/GoPro/test/{s}/GOPR0384_11_00-000001.png" for s in ("input", "target"))],
            "lowlight": [("llie/LOLv1/Test/input/1.png", "llie/LOLv1/Test/target/1.png")],
        },
    }
    photos = photos_of(root)
    assert len(photos["train"]) == 31  # all of WaterlooED and BSD400: another folder validates
    assert photos["val"] == ["denoising/cBSD68/original_png/3096.png"]


def test_root_that_is_reside_sots(plant):
    hazy = "0001_0.8_0.2.jpg 0001_0.9_0.12.jpg 0002_1_0.08.jpg"
    root = plant({"outdoor/hazy": hazy, "outdoor/gt": "0001.png 0002.png", "outdoor/depth": "0001.png"}, root="SOTS")
    found = discover(root, PAIRED)
    pairs = found["train"].pairs["dehaze"] + found["val"].pairs["dehaze"]
    assert {(d.name, c.name) for d, c in pairs} == {(name, f"{name[:4]}.png") for name in hazy.split()}
    assert all("gt" in path.parts for content in found.values() for path in content.clean)


@pytest.mark.parametrize(("rainy", "clean"), [("rainy", "gt"), ("rain", "norain"), ("Input", "Target")])
def test_root_that_is_rain100l(plant, rainy, clean):
    norain = " ".join(f"norain-00{i}.png" for i in range(4))  # one without rain
    tree = {rainy: "rain-001.png rain-002.png rain-003.png", clean: norain}
    pairs = pairs_of(plant(tree, root="Rain100L"))
    numbers = {"train": (2, 3), "val": (1,)}
    assert pairs == {
        split: {"derain": [(f"{rainy}/rain-00{i}.png", f"{clean}/norain-00{i}.png") for i in numbers[split]]}
        for split in ("train", "val")
    }


COMPOSITES = ("low_haze", "low_rain", "low_snow", "haze_rain", "haze_snow", "low_haze_rain", "low_haze_snow")


@pytest.mark.parametrize("above", ["", "cdd11/", "CDD-11/CDD-11_"])
def test_tree_of_cdd11(plant, above):
    sides = {"low": "lowlight", "haze": "dehaze", "rain": "derain", "snow": "desnow"} | {n: n for n in COMPOSITES}
    tree = {f"{above}{split}/{side}": "01.png 02.png" for split in ("train", "test") for side in ("clear", *sides)}
    root = plant(tree)
    found = discover(root, sides.values())
    for split, folder in {"train": "train", "val": "test"}.items():
        assert set(found[split].pairs) == set(sides.values())
        for side, task in sides.items():
            home = root / f"{above}{folder}"
            assert found[split].pairs[task] == [(home / side / n, home / "clear" / n) for n in ("01.png", "02.png")]
    assert set(discover(root, ["desnow"])["train"].pairs) == {"desnow"}


def test_root_that_is_gopro(plant):
    scenes = {"train": ("GOPR0372_07_00", "GOPR0374_11_01"), "test": ("GOPR0384_11_00",)}
    sides = ("blur", "blur_gamma", "sharp")
    tree = {f"{split}/{scene}/{side}": "1.png 2.png" for split in scenes for scene in scenes[split] for side in sides}
    root = plant(tree, root="GoPro")
    expected = {
        split: [(f"{split}/{scene}/blur/{i}.png", f"{split}/{scene}/sharp/{i}.png") for scene in found for i in (1, 2)]
        for split, found in scenes.items()
    }
    assert pairs_of(root) == {"train": {"deblur": expected["train"]}, "val": {"deblur": expected["test"]}}
    photos = photos_of(root, ["deblur", "denoise_25"])
    assert photos == {"train": [c for _, c in expected["train"]], "val": [c for _, c in expected["test"]]}


def test_root_that_is_lol(plant):
    tree = {"our485/low": "2.png 5.png", "our485/high": "2.png 5.png", "eval15/low": "1.png", "eval15/high": "1.png"}
    assert pairs_of(plant(tree, root="LOLdataset")) == {
        "train": {"lowlight": [(f"our485/low/{i}.png", f"our485/high/{i}.png") for i in (2, 5)]},
        "val": {"lowlight": [("eval15/low/1.png", "eval15/high/1.png")]},
    }


def test_nameless_set_is_of_the_one_task_asked_for(plant):
    root = plant({"train/input": "a.png", "train/target": "a.png", "val/input": "b.png", "val/target": "b.png"})
    pairs = {split: [tuple(f"{split}/{side}/{name}.png" for side in ("input", "target"))] for split, name in SPLITS}
    assert pairs_of(root, ["derain"]) == {split: {"derain": pairs[split]} for split in pairs}
    assert pairs_of(root, ["deblur", "denoise_15"]) == {split: {"deblur": pairs[split]} for split in pairs}
    with pytest.raises(InputError, match=r"holds no image for derain, dehaze; expected a data tree"):
        discover(root, ["derain", "dehaze"])


def test_folders_say_more_than_the_name_of_their_root(plant):
    tree = {f"train/{task}/{side}": "a.png" for task in PAIRED for side in ("input", "target")}
    root = plant(tree, root="low-level-rain-val")
    assert pairs_of(root) == {
        "train": {task: [(f"train/{task}/input/a.png", f"train/{task}/target/a.png")] for task in PAIRED},
        "val": {},
    }


@pytest.mark.parametrize("root", ["data", "rain-and-more"])
def test_folders_may_be_named_like_degraded_sides(plant, root):
    names = {"rain": "derain", "haze": "dehaze", "blur": "deblur", "low": "lowlight"}
    root = plant({f"train/{name}/{side}": "a.png" for name in names for side in ("input", "target")}, root=root)
    assert pairs_of(root)["train"] == {
        task: [(f"train/{name}/input/a.png", f"train/{name}/target/a.png")] for name, task in names.items()
    }


def test_only_the_tasks_asked_for_are_paired(plant):
    root = plant({"rain/input": "a.png", "rain/target": "a.png", "haze/input": "b.png", "haze/target": "c.png d.png"})
    assert pairs_of(root, ["derain"]) == {"train": {"derain": [("rain/input/a.png", "rain/target/a.png")]}, "val": {}}


@pytest.mark.parametrize("scenes", [1, 2, 20, 21, 45])
def test_held_out_images_share_no_clean_image_with_training(plant, scenes):
    """A set that names no split: one clean image in twenty validates, with all that was made from it."""
    hazy = " ".join(f"{i:04}_{air}_0.1.png" for i in range(scenes) for air in (0.8, 0.9, 1))
    clear = " ".join(f"{i:04}.png" for i in range(scenes))
    found = discover(plant({"hazy": hazy, "clear": clear}, size=(2, 2)), ["dehaze"])
    clean = {split: {c for _, c in content.pairs["dehaze"]} for split, content in found.items()}
    assert clean["train"].isdisjoint(clean["val"])
    assert len(clean["val"]) == (-(-scenes // 20) if scenes > 1 else 0)
    assert sum(len(content.pairs["dehaze"]) for content in found.values()) == 3 * scenes
    assert {split: set(content.clean) for split, content in found.items()} == clean


def test_held_out_photographs(plant):
    photos = photos_of(plant({".": " ".join(f"{i:02}.png" for i in range(41))}, size=(2, 2)))
    assert photos["val"] == ["00.png", "20.png", "40.png"]
    assert photos["train"] == [f"{i:02}.png" for i in range(41) if i % 20]


def test_named_validation_leaves_every_other_folder_to_training(plant):
    tree = {"derain/heavy/input": "a.png b.png", "derain/heavy/target": "a.png b.png", "photos": "p.png q.png"}
    tree |= {"val/derain/input": "c.png", "val/derain/target": "c.png"}
    assert pairs_of(plant(tree)) == {
        "train": {"derain": [(f"derain/heavy/input/{n}.png", f"derain/heavy/target/{n}.png") for n in "ab"]},
        "val": {"derain": [("val/derain/input/c.png", "val/derain/target/c.png")]},
    }


def test_photographs_for_noise_are_preferred_to_other_images(plant):
    root = plant({"train/denoise": "a.png", "train/figures": "f.png", "val/BSD68": "b.png", "val/figures": "g.png"})
    assert photos_of(root) == {"train": ["train/denoise/a.png"], "val": ["val/BSD68/b.png"]}


def test_photographs_beside_a_set_in_the_root(plant):
    root = plant({"input": "a.png b.png", "target": "a.png b.png", "bsd": "1.png 2.png"})
    assert photos_of(root, ["derain", "denoise_25"]) == {"train": ["bsd/2.png"], "val": ["bsd/1.png"]}


def test_clean_sides_serve_where_there_are_no_photographs(plant):
    tree = {f"{split}/derain/{side}": f"{name}.png" for split, name in SPLITS for side in ("input", "target")}
    photos = photos_of(plant(tree), ["derain", "denoise_50"])
    assert photos == {"train": ["train/derain/target/a.png"], "val": ["val/derain/target/b.png"]}


def test_hidden_files_are_passed_over(plant):
    root = plant({"train/derain/input": "a.png ._a.png", "train/derain/target": "a.png"})
    assert len(discover(root, ["derain"])["train"].pairs["derain"]) == 1


# What is broken


def test_missing_root(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder; expected a data tree like\nROOT/\n  train/denoise"):
        discover(tmp_path / "nowhere", ["derain"])


def test_root_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match="holds no image for derain, denoise_25; expected a data tree like") as caught:
        discover(tmp_path, (task for task in ["derain", "denoise_25"]))
    assert str(tmp_path) in str(caught.value)


def test_missing_partners_are_counted_and_the_first_ten_named(plant):
    degraded = " ".join(f"{i:02}.png" for i in range(14))
    root = plant({"train/derain/input": degraded, "train/derain/target": "00.png 01.png"})
    with pytest.raises(InputError) as caught:
        discover(root, ["derain"])
    head, *listed = str(caught.value).splitlines()
    assert head == f"12 degraded images have no partner in {root}/train/derain/target, the first:"
    assert [line.strip() for line in listed] == [f"{root}/train/derain/input/{i:02}.png" for i in range(2, 12)]


def test_missing_folder_of_partners(plant):
    root = plant({"train/derain/input": "a.png", "train/denoise": "p.png"})
    with pytest.raises(InputError, match=r"train/derain/input: expected its clean partners beside it in target or"):
        discover(root, ["derain"])
    assert photos_of(root)["train"] == ["train/denoise/p.png"]


@pytest.mark.parametrize("clean", ["", "a.png"])
def test_empty_folder(plant, clean):
    root = plant({"train/derain/target": clean, "train/denoise": "p.png"})
    (root / "train/derain/input").mkdir(parents=True)
    (root / "train/derain/target").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"train/derain/input: holds no image; expected .* of those in .*target"):
        discover(root, ["derain"])


def test_empty_folder_of_partners(plant):
    root = plant({"input": "a.png b.png"})
    (root / "target").mkdir()
    with pytest.raises(InputError, match=r"2 degraded images have no partner in .*target, the first:\n.*input/a\.png"):
        pair_up([root / "input"], root / "target")


def test_equal_names_in_other_subfolders_are_partners(plant):
    root = plant({"in/part1": "a_1.png", "in/part2": "a_2.png", "out": "a_1.png a_2.png a.png"})
    pairs = pair_up([root / "in/part1", root / "in/part2"], root / "out")
    assert pairs == pair_up([root / "in"], root / "out")
    assert [(degraded.name, clean.name) for degraded, clean in pairs] == [("a_1.png",) * 2, ("a_2.png",) * 2]


def test_sorted_order_pairs_only_folders_of_equal_count_where_no_name_fits(plant):
    root = plant({"in": "a.png b.png", "two": "x.png y.png", "three": "x.png y.png z.png", "half": "a.png y.png"})
    pairs = pair_up([root / "in"], root / "two")
    assert [(degraded.name, clean.name) for degraded, clean in pairs] == [("a.png", "x.png"), ("b.png", "y.png")]
    for other in ("three", "half"):
        with pytest.raises(InputError, match="no partner"):
            pair_up([root / "in"], root / other)
