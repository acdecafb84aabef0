"""Discovery: the trees in which the field ships its data, and what is said of those that are broken."""

import os

import pytest

from aio.data.discovery import discover, pair_up, walk
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


def test_test_sets_serve_their_own_task_where_there_are_any(plant):
    root = plant({"train/DIV2K": "a.png", "test/Kodak24": "k.png", "test/Set5_HRx4mod": "s.png", "test/BSD68": "b.png"})
    assert photos_of(root, ["denoise_25"])["val"] == ["test/BSD68/b.png", "test/Kodak24/k.png"]
    assert photos_of(root, ["sr_x4"])["val"] == ["test/Set5_HRx4mod/s.png"]
    assert len(photos_of(root, ["derain"])["val"]) == 3
    root = plant({"train/DIV2K": "a.png", "test/Kodak24": "k.png"}, root="other")
    assert photos_of(root, ["sr_x4"]) == {"train": ["train/DIV2K/a.png"], "val": ["test/Kodak24/k.png"]}


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


def test_tree_of_qurec(plant):
    root = plant(
        {
            "Train/Denoise/WaterlooED": "00001.bmp",
            "Train/Denoise/BSD400": "2092.jpg",
            "Train/Derain/rainy": "rain-001.png",
            "Train/Derain/gt": "norain-001.png",
            "Train/Dehaze/RESIDE/part1": "0025_0.8_0.04.jpg",
            "Train/Dehaze/RESIDE/clear": "0025.jpg",
            "Train/Deblur/blur": "1.png",
            "Train/Deblur/sharp": "1.png",
            "Train/Enhance/low": "2.png",
            "Train/Enhance/gt": "2.png",
            "test/denoise/cBSD68": "3096.jpg",
        }
    )
    assert {task: len(pairs) for task, pairs in pairs_of(root)["train"].items()} == dict.fromkeys(PAIRED, 1)
    assert photos_of(root) == {
        "train": ["Train/Denoise/BSD400/2092.jpg", "Train/Denoise/WaterlooED/00001.bmp"],
        "val": ["test/denoise/cBSD68/3096.jpg"],
    }


def test_tree_of_r2r(plant):
    sides = {"Lowlight": ("low", "high"), "Deblur": ("blur", "sharp")}
    tree = {f"{split}/{task}/{s}": "1.png" for split in ("Train", "Test") for task, two in sides.items() for s in two}
    tree |= {f"{split}/CDD11/cdd11/{s}": "01.png" for split in ("Train", "Test") for s in ("clear", "low", "haze_rain")}
    root = plant(tree)
    pairs = pairs_of(root, ["deblur", "lowlight", "haze_rain"])
    for split, folder in {"train": "Train", "val": "Test"}.items():
        composite = f"{folder}/CDD11/cdd11"
        assert pairs[split] == {
            "deblur": [(f"{folder}/Deblur/blur/1.png", f"{folder}/Deblur/sharp/1.png")],
            "lowlight": [
                (f"{composite}/low/01.png", f"{composite}/clear/01.png"),
                (f"{folder}/Lowlight/low/1.png", f"{folder}/Lowlight/high/1.png"),
            ],
            "haze_rain": [(f"{composite}/haze_rain/01.png", f"{composite}/clear/01.png")],
        }


RESTORMER = {
    "derain": {
        "train": ["train/Rain13K"],
        "val": [f"test/{n}" for n in ("Rain100H", "Rain100L", "Test100", "Test1200")],
    },
    "deblur": {"train": ["train/GoPro"], "val": [f"test/{n}" for n in ("GoPro", "HIDE", "RealBlur_J", "RealBlur_R")]},
    "denoise_real": {"train": ["train/SIDD"], "val": ["val/SIDD"]},
}


@pytest.mark.parametrize("above", ["", "Deblurring/Datasets/"])
def test_tree_of_restormer(plant, above):
    """Also all in one tree, whose own names say another task."""
    tree = {}
    for splits in RESTORMER.values():
        for folder in (*splits["train"], *splits["val"]):
            crops = "_crops" if "SIDD" in folder or folder == "train/GoPro" else ""
            tree |= {f"{above}{folder}/{side}{crops}": "1.png 2.png" for side in ("input", "target")}
    found = discover(plant(tree), list(RESTORMER))
    for task, splits in RESTORMER.items():
        for split, folders in splits.items():
            pairs = found[split].pairs[task]
            assert [str(d.parent.parent).rpartition("data/")[2] for d, _ in pairs[::2]] == [above + f for f in folders]
            assert all(d.name == c.name and "target" in c.parent.name for d, c in pairs)


@pytest.mark.parametrize("above", ["DPDD", "Defocus_Deblurring/Datasets/{split}/DPDD", "deblur/{split}/DPDD"])
def test_dual_pixels(plant, above):
    views = ("inputL", "inputR", "inputC", "target")
    tree = {}
    for split in ("train", "test"):
        crops = "_crops" if split == "train" else ""
        home = above.format(split=split) if "{split}" in above else f"{above}/{split}"
        tree |= {f"{home}/{view}{crops}": "1P0A1.png 1P0A2.png" for view in views}
    root = plant(tree)
    found = discover(root, ["deblur", "defocus"])
    for split, crops in {"train": "_crops", "val": ""}.items():
        assert found[split].pairs.get("deblur", []) == []
        pairs, seen = found[split].pairs["defocus"], found[split].views["defocus"]
        assert [(d.parent.name, c.parent.name, d.name) for d, c in pairs] == [
            (f"inputC{crops}", f"target{crops}", f"1P0A{i}.png") for i in (1, 2)
        ]
        assert [(a.parent.name, b.parent.name) for a, b, _ in seen] == [(f"inputL{crops}", f"inputR{crops}")] * 2
        assert [(a.name, b.name, c) for a, b, c in seen] == [(c.name, c.name, c) for _, c in pairs]


def test_dual_pixels_as_their_authors_pack_them(plant):
    """The sharp image was shot after the blurred one, and has another number."""
    tree = {f"{part}_{view}/source": f"{n}.png" for part, n in SPLITS for view in "lrc"}
    root = plant(tree | {f"{part}_c/target": f"{n}1.png" for part, n in SPLITS}, root="dd_dp_dataset_canon")
    found = discover(root, ["defocus"])
    for part, n in SPLITS:
        target = root / f"{part}_c/target/{n}1.png"
        assert found[part].pairs == {"defocus": [(root / f"{part}_c/source/{n}.png", target)]}
        assert found[part].views == {"defocus": [(*(root / f"{part}_{v}/source/{n}.png" for v in "lr"), target)]}


def test_single_image_defocus_without_views(plant):
    root = plant({f"test/DPDD/{side}": "a.png" for side in ("inputC", "target")})
    found = discover(root, ["defocus"])["val"]
    assert (len(found.pairs["defocus"]), found.views) == (1, {})


def test_tree_of_sidd_medium(plant):
    scenes = ("0001_001_S6_00100_00060_3200_L", "0002_001_S6_00100_00020_3200_N")
    files = {s: [f"{s[:4]}_{side}_SRGB_01{i}.PNG" for side in ("GT", "NOISY") for i in (0, 1)] for s in scenes}
    root = plant({f"SIDD_Medium_Srgb/Data/{s}": " ".join(names) for s, names in files.items()})
    found = discover(root, ["denoise_real", "denoise_25"])
    pairs = found["train"].pairs["denoise_real"] + found["val"].pairs["denoise_real"]
    expected = [(f"{s[:4]}_NOISY_SRGB_01{i}.PNG", f"{s[:4]}_GT_SRGB_01{i}.PNG") for s in scenes for i in (0, 1)]
    assert sorted((d.name, c.name) for d, c in pairs) == sorted(expected)
    assert all("_GT_" in photo.name for content in found.values() for photo in content.clean)
    (root / f"SIDD_Medium_Srgb/Data/{scenes[1]}/0002_GT_SRGB_011.PNG").unlink()
    with pytest.raises(
        InputError, match=r"1 images lack their partner `\*_gt_srgb_\*`, the first:\n  0002_NOISY_SRGB_011"
    ):
        discover(root, ["denoise_real"])


DIV2K = {
    f"DIV2K_{part}_{side}": names
    for part, n in (("train", "0001"), ("valid", "0801"))
    for side, names in (("HR", f"{n}.png"), *((f"LR_bicubic/X{s}", f"{n}x{s}.png") for s in (2, 3, 4)))
}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tree_of_div2k(plant, scale):
    root = plant(DIV2K | {"Flickr2K_HR": "000001.png", f"Flickr2K_LR_bicubic/X{scale}": f"000001x{scale}.png"})
    lr = f"LR_bicubic/X{scale}"
    assert pairs_of(root, [f"sr_x{scale}"]) == {
        "train": {
            f"sr_x{scale}": [
                (f"DIV2K_train_{lr}/0001x{scale}.png", "DIV2K_train_HR/0001.png"),
                (f"Flickr2K_{lr}/000001x{scale}.png", "Flickr2K_HR/000001.png"),
            ]
        },
        "val": {f"sr_x{scale}": [(f"DIV2K_valid_{lr}/0801x{scale}.png", "DIV2K_valid_HR/0801.png")]},
    }
    assert photos_of(root) == {
        "train": ["DIV2K_train_HR/0001.png", "Flickr2K_HR/000001.png"],
        "val": ["DIV2K_valid_HR/0801.png"],
    }


@pytest.mark.parametrize(
    ("large", "small"),
    [
        ("Set5/HR/baby.png", "Set5/LR_bicubic/X4/babyx4.png"),
        ("benchmark/Set14/GTmod12/baboon.png", "benchmark/Set14/LRbicx4/baboon.png"),
        ("Urban100/image_SRF_4/img_001_SRF_4_HR.png", "Urban100/image_SRF_4/img_001_SRF_4_LR.png"),
    ],
)
def test_benchmarks_of_super_resolution(plant, large, small):
    plant({"DIV2K_train_HR": "0001.png"})
    for path in (large, small):
        folder, _, name = path.rpartition("/")
        root = plant({folder: name})
    content = discover(root, ["sr_x4"])["val"]
    assert content.pairs["sr_x4"] == [(root / small, root / large)]
    assert content.clean == [root / large]
    assert discover(root, ["sr_x3"])["val"].pairs == {}


def test_small_images_of_another_scale_are_no_photographs(plant):
    found = discover(plant(DIV2K), ["sr_x2"])
    assert all("LR" not in str(photo.parent) for content in found.values() for photo in content.clean)
    root = plant({"train/lq": "a.png", "train/gt": "a.png"}, root="own")  # of the one task asked for
    assert len(discover(root, ["sr_x4"])["train"].pairs["sr_x4"]) == 1


def test_links_are_followed_but_not_round_and_round(plant, tmp_path):
    plant({"rainy": "rain-1.png", "gt": "norain-1.png"}, root="elsewhere")
    root = plant({"train/denoise": "p.png"})
    (root / "train/derain").symlink_to(tmp_path / "elsewhere")
    (root / "train/round").symlink_to(root)
    (tmp_path / "elsewhere/back").symlink_to(root)
    (root / "train/broken.png").symlink_to(root / "nowhere.png")
    link = root / "train/derain"
    assert discover(root, ["derain"])["train"].pairs["derain"] == [
        (link / "rainy/rain-1.png", link / "gt/norain-1.png")
    ]
    assert walk(root) == [root / "train/denoise/p.png", link / "gt/norain-1.png", link / "rainy/rain-1.png"]


def test_walk_sorts_files_as_paths_and_leaves_out_the_hidden(plant):
    root = plant({"a": "2.png 10.png", "a/b": "1.png", "a.d": "x.png", ".git": "y.png", "c": ".z.png"})
    (root / "notes.txt").write_text("")
    expected = [path for path in root.rglob("*") if path.is_file() and "/." not in path.as_posix()]
    assert walk(root) == sorted(expected)


@pytest.mark.parametrize("folders", [10, 100])
def test_the_disk_is_read_once(plant, monkeypatch, folders):
    root = plant({f"GoPro/train/GOPR{i:04}/{side}": "1.png" for i in range(folders // 2) for side in ("blur", "sharp")})
    asked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: asked.append(path) or scandir(path))
    found = discover(root, ["deblur", "denoise_25"])
    assert sum(len(content.pairs["deblur"]) for content in found.values()) == folders // 2
    assert len(asked) == len(set(asked)) == folders + folders // 2 + 3


# The official lists


@pytest.fixture
def listed(plant):
    """PromptIR's tree with one file more of each kind than is on its lists, which lie beside the images."""
    root = plant(
        {
            "data/Train/Denoise": "00001.bmp 2092.jpg more.png",
            "data/Train/Derain/rainy": "rain-001.png rain-002.png rain-003.png",
            "data/Train/Derain/gt": "norain-001.png norain-002.png norain-003.png",
            "data/Train/Dehaze/synthetic/part1": "0025_0.8_0.04.jpg 0025_1_0.2.jpg",
            "data/Train/Dehaze/original": "0025.jpg",
            "data/Train/Deblur/blur": "1.png 2.png",
            "data/Train/Deblur/sharp": "1.png 2.png",
            "data/test/derain/Rain100L/rainy": "rain-001.png",
            "data/test/derain/Rain100L/gt": "norain-001.png",
            "data/test/denoise/bsd68": "3096.png",
        }
    )
    lists = {
        "noisy/denoise.txt": "00001.bmp\n2092.jpg\n",
        "rainy/rainTrain.txt": "rainy/rain-001.png\nrainy/rain-003.png",
        "hazy/hazy_outside.txt": "synthetic/part1/0025_1_0.2.jpg\n\n",
        "gopro/train_gopro.txt": "2.png\n",
    }
    for name, text in lists.items():
        (root / "data_dir" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "data_dir" / name).write_text(text)
    return root


def test_only_what_is_listed_trains(listed):
    found = discover(listed, ["denoise_15", "denoise_50", "derain", "dehaze", "deblur"])
    train = found["train"]
    assert [photo.name for photo in train.clean] == ["00001.bmp", "2092.jpg"]
    assert {task: [d.name for d, _ in pairs] for task, pairs in train.pairs.items()} == {
        "derain": ["rain-001.png", "rain-003.png"],
        "dehaze": ["0025_1_0.2.jpg"],
        "deblur": ["2.png"],
    }
    assert [d.parent.parent.name for d, _ in found["val"].pairs["derain"]] == ["Rain100L"]  # of equal names
    assert [photo.name for photo in found["val"].clean] == ["3096.png"]


def test_listed_files_that_are_absent_are_counted_and_the_first_ten_named(listed):
    path = listed / "data_dir/rainy/rainTrain.txt"
    path.write_text("".join(f"rainy/rain-{i:03}.png\n" for i in range(1, 18)))
    with pytest.raises(InputError) as caught:
        discover(listed, ["derain"])
    head, *names = str(caught.value).splitlines()
    assert head == f"{path} lists 17 files of Rain100L train, of which 14 are absent, the first:"
    assert [name.strip() for name in names] == [f"rainy/rain-{i:03}.png" for i in range(4, 14)]
    discover(listed, ["dehaze", "denoise_25"])  # the list of a task that is not asked for


def test_lists_without_images_of_their_task_ask_for_nothing(listed):
    (listed / "data_dir/lol").mkdir()
    (listed / "data_dir/lol/train_lol.txt").write_text("low/1.png")
    assert "lowlight" not in discover(listed, ["lowlight"])["train"].pairs


def test_realblur_is_divided_by_its_lists(plant):
    home = "RealBlur-{}_ECC_IMCORR_centroid_itensity_ref/scene00{}"
    sides = {"blur": "blur_1.png blur_10.png blur_2.png", "gt": "gt_1.png gt_10.png gt_2.png"}
    tree = {f"{home.format(c, i)}/{side}": names for c in "JR" for i in (1, 2) for side, names in sides.items()}
    root = plant(tree | {"GoPro/test/GOPR0001/blur": "1.png", "GoPro/test/GOPR0001/sharp": "1.png"})
    for split, i in (("train", 1), ("test", 2)):
        scene = home.format("J", i)
        lines = [f"{scene}/gt/gt_{n}.png {scene}/blur/blur_{n}.png " for n in (1, 2, 10)]
        (root / f"RealBlur_J_{split}_list.txt").write_text("\n".join(lines))
    pairs = pairs_of(root, ["deblur"])
    own = {
        (split, c, i): [
            (f"{home.format(c, i)}/blur/blur_{n}.png", f"{home.format(c, i)}/gt/gt_{n}.png") for n in (1, 10, 2)
        ]
        for split, c, i in (("train", "J", 1), ("val", "J", 2), ("train", "R", 1), ("train", "R", 2))
    }
    assert sorted(pairs["train"]["deblur"]) == sorted(
        own["train", "J", 1] + own["train", "R", 1] + own["train", "R", 2]
    )
    assert pairs["val"]["deblur"][1:] == own["val", "J", 2]
    assert len(pairs["val"]["deblur"]) == 4


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


def test_folder_without_permission(plant, monkeypatch):
    root = plant({"train/denoise": "p.png", "lost+found": "q.png"})
    scandir = os.scandir

    def guarded(path):
        if path.name in ("denoise", "lost+found"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match=r"train/denoise: no permission to read this folder"):
        discover(root, ["denoise_25"])
