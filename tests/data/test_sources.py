"""The table of data sets: one row for each folder of the field's trees, and no second one."""

import re
from pathlib import Path

import pytest

from aio.data.discovery import identify
from aio.data.sources import DATA_SETS
from aio.data.splits import split_of
from aio.vocabulary import DEGRADATIONS

# Folders as the field names them -> the row
FOLDERS = {
    # PromptIR, AirNet, AdaIR
    "Train/Denoise": "BSD400 + WED",
    "data/Train/Denoise": "BSD400 + WED",
    "Train/Derain/rainy": "Rain100L train",
    "Train/Derain/gt": "Rain100L train",
    "Train/Dehaze/synthetic": "RESIDE OTS",
    "Train/Dehaze/synthetic/part3": "RESIDE OTS",
    "Train/Dehaze/original": "RESIDE OTS",
    "Train/Deblur/blur": "GoPro train",
    "Train/Deblur/sharp": "GoPro train",
    "Train/Enhance/low": "LOL-v1 train",
    "Train/Enhance/gt": "LOL-v1 train",
    "test/denoise/bsd68": "CBSD68",
    "test/denoise/urban100": "Urban100",
    "test/denoise/kodak24": "Kodak24",
    "test/derain/Rain100L/input": "Rain100L test",
    "test/dehaze/input": "SOTS outdoor",
    "test/dehaze/target": "SOTS outdoor",
    "test/deblur/gopro/input": "GoPro test",
    "test/enhance/lol/target": "LOL-v1 test",
    # MoCE-IR
    "denoising/WaterlooED": "WED",
    "denoising/BSD400": "BSD400",
    "denoising/cBSD68/original_png": "CBSD68",
    "deraining/RainTrainL/rainy": "Rain100L train",
    "deraining/Rain100L/gt": "Rain100L test",
    "dehazing/RESIDE/part1": "RESIDE OTS",
    "dehazing/RESIDE/clear": "RESIDE OTS",
    "dehazing/SOTS/outdoor/hazy": "SOTS outdoor",
    "deblurring/GoPro/crop/train/input_crops": "GoPro crops",
    "deblurring/GoPro/test/input": "GoPro test",
    "llie/LOLv1/Train/input": "LOL-v1 train",
    "llie/LOLv1/Test/target": "LOL-v1 test",
    "cdd11/train/clear": "CDD-11 train",
    "cdd11/test/low_haze_rain": "CDD-11 test",
    # QuReC, R2R
    "Train/Dehaze/RESIDE/part2": "RESIDE OTS",
    "test/denoise/cBSD68": "CBSD68",
    "Train/Lowlight/low": "LOL-v1 train",
    "Test/Lowlight/high": "LOL-v1 test",
    "Train/CDD11/cdd11/haze": "CDD-11 train",
    # Restormer
    "Deraining/Datasets/train/Rain13K/input": "Rain13K",
    "Datasets/test/Rain100L/input": "Rain100L test",
    "Datasets/test/Rain100H/target": "Rain100H test",
    "test/Test100/input": "Test100",
    "test/Test1200/input": "Test1200",
    "test/Test2800/target": "Test2800",
    "Datasets/train/GoPro/input_crops": "GoPro crops",
    "Datasets/test/GoPro/input": "GoPro test",
    "Datasets/test/HIDE/input": "HIDE test",
    "Datasets/test/RealBlur_J/input": "RealBlur-J test",
    "Datasets/test/RealBlur_R/target": "RealBlur-R test",
    "Defocus_Deblurring/Datasets/train/DPDD/inputL_crops": "DPDD crops",
    "Datasets/test/DPDD/inputC": "DPDD test",
    "Datasets/val/DPDD/target": "DPDD validation",
    "Datasets/train/SIDD/input_crops": "SIDD crops",
    "Datasets/val/SIDD/input_crops": "SIDD validation crops",
    "Datasets/test/SIDD": "SIDD validation",
    "Datasets/test/DND": "DND",
    "Datasets/train/DFWB": "DFWB crops",
    "Datasets/Downloads/DIV2K/DIV2K_train_HR": "DIV2K train",
    "Datasets/Downloads/Flickr2K": "Flickr2K",
    "Datasets/Downloads/WaterlooED": "WED",
    "Datasets/Downloads/BSD400": "BSD400",
    "Datasets/test/CBSD68": "CBSD68",
    "Datasets/test/BSD68": "BSD68",
    "Datasets/test/Set12": "Set12",
    "Datasets/test/Kodak": "Kodak24",
    "Datasets/test/McMaster": "McMaster",
    "Datasets/test/Urban100": "Urban100",
    # as their authors pack them
    "GOPRO_Large/train/GOPR0372_07_00/blur": "GoPro train",
    "GOPRO_Large/test/GOPR0384_11_00/sharp": "GoPro test",
    "train/GOPR0372_07_00/blur": "GoPro train",
    "LOLdataset/our485/low": "LOL-v1 train",
    "eval15/high": "LOL-v1 test",
    "rain_data_train_Light/rain": "Rain100L train",
    "rain_data_test_Light/norain": "Rain100L test",
    "OTS_BETA/haze": "RESIDE OTS",
    "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/blur": "RealBlur-J train",
    "dd_dp_dataset_canon/train_c/source": "DPDD train",
    "dd_dp_dataset_canon/val_l/source": "DPDD validation",
    "dd_dp_dataset_canon/test_c/target": "DPDD test",
    "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L": "SIDD medium",
    "DIV2K_valid_HR": "DIV2K validation",
    "DIV2K_train_LR_bicubic/X2": "DIV2K train",
    "Flickr2K/Flickr2K_HR": "Flickr2K",
    "DF2K_HR": "DF2K",
    "benchmark/Set5/HR": "Set5",
    "Set14/LR_bicubic/X4": "Set14",
    "benchmark/B100/HR": "B100",
    "Manga109/HR": "Manga109",
    "CDD-11/CDD-11_train/low": "CDD-11 train",
}
OTHERS = ("train/derain/input", "photos", "SOTS/indoor/hazy", "llie/LOLv2/Train/input", "RESIDE/ITS/hazy", "setting5")


def rows_of(path):
    words = tuple(path.lower().split("/"))
    split = split_of(words) or "train"
    return [row.name for row in DATA_SETS if row.split == split and re.search(row.where, "/".join(words))]


@pytest.mark.parametrize(("folder", "name"), FOLDERS.items())
def test_each_folder_is_of_one_row(folder, name):
    assert rows_of(folder) == [name]


@pytest.mark.parametrize("folder", OTHERS)
def test_other_folders_are_of_none(folder):
    assert rows_of(folder) == []


def test_each_row_has_a_folder():
    assert {row.name for row in DATA_SETS} - set(FOLDERS.values()) == {"RealBlur-R train"}


def test_the_name_of_the_root_counts_last():
    root = Path("/somewhere/Rain100L")
    assert identify(root, root / "test/input").name == "Rain100L test"
    assert identify(root, root / "HIDE/input").name == "HIDE test"
    assert identify(root, root).name == "Rain100L test"
    assert identify(Path("/somewhere"), Path("/somewhere/mine")) is None


def test_names_are_unique():
    names = [row.name for row in DATA_SETS]
    assert len(set(names)) == len(names)
    ends = [end for row in DATA_SETS for end in row.lists]
    assert len(set(ends)) == len(ends)
    assert all(end == end.lower() for end in ends)


@pytest.mark.parametrize("row", DATA_SETS, ids=lambda row: row.name)
def test_a_row_says_all_that_is_known(row):
    assert set(row.tasks) <= set(DEGRADATIONS)
    assert row.tasks
    assert row.count is None or row.count > 0
    assert re.search(r"(19|20)\d\d$", row.paper.rstrip(")"))
    assert (row.kind == "clean") or row.pairing
    assert row.scenes is None or row.count % row.scenes == 0 or row.name == "RESIDE OTS"
    assert row.where.lower().replace(r"\d", "") == row.where.replace(r"\d", "")


@pytest.mark.parametrize(
    ("names", "total"),
    [
        (("BSD400", "WED"), 5144),
        (("DIV2K train", "Flickr2K"), 3450),
        (("Rain100L test", "Rain100H test", "Test100", "Test1200", "Test2800"), 4300),
        (("DPDD train", "DPDD validation", "DPDD test"), 500),
        (("GoPro train", "GoPro test"), 3214),
        (("LOL-v1 train", "LOL-v1 test"), 500),
        (("CDD-11 train",), 13013),
    ],
)
def test_counts_add_up_as_papers_say(names, total):
    counts = {row.name: row.count for row in DATA_SETS}
    assert sum(counts[name] for name in names) == total
