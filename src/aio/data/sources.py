"""The data sets of the field as a table: what each is for, how its folders are called, and how many images it has.

Counts are of degraded images where the set holds pairs, of photographs where it holds clean images alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from aio.vocabulary import ALIASES, Degradation

Split = Literal["train", "val"]
Kind = Literal["pairs", "clean", "shared clean", "dual-pixel", "mat-file"]


@dataclass(frozen=True)
class DataSet:
    """One part of a data set, as papers train or test on it.

    Attributes:
        name: official, with the part.
        split: the part is for training or for validation.
        tasks: the degradations that it serves.
        kind: `pairs`; `clean` images, to be degraded on the way; `shared clean`: several degraded folders beside one
            of clean images; `dual-pixel`: three degraded views of each clean image; `mat-file`: blocks in MATLAB files.
        where: a regular expression that the path of its folders meets, below the root, lower case, joined by slashes.
        count: of its images, None where it depends on how crops were cut.
        pairing: the rule of names; empty where there are no pairs.
        paper: author, venue and year.
        scenes: clean images, where several degraded ones share one.
        lists: path ends, lower case, of the files that officially say which images it has.
    """

    name: str
    split: Split
    tasks: tuple[Degradation, ...]
    kind: Kind
    where: str
    count: int | None
    pairing: str
    paper: str
    scenes: int | None = None
    lists: tuple[str, ...] = ()


_NOISE: Final[tuple[Degradation, ...]] = ("denoise_15", "denoise_25", "denoise_50", "denoise_blind")
_SR: Final[tuple[Degradation, ...]] = ("sr_x2", "sr_x3", "sr_x4")
_COMPOSITES: Final = r"(^|/)(train|test)/(low_(haze|rain|snow)|haze_(rain|snow)|low_haze_(rain|snow))$"
_SAME: Final = "same name"
_LARGE: Final = "0001x2 <-> 0001, or the same name"


def _clean(
    name: str, split: Split, where: str, count: int | None, paper: str, tasks: tuple[Degradation, ...] = _NOISE
) -> DataSet:
    return DataSet(name, split, tasks, "clean", where, count, _LARGE if set(tasks) & set(_SR) else "", paper)


def _pairs(
    name: str, split: Split, task: Degradation, where: str, count: int | None, paper: str, pairing: str = _SAME
) -> DataSet:
    return DataSet(name, split, (task,), "pairs", where, count, pairing, paper)


_MARTIN: Final = "Martin et al., ICCV 2001"
_YANG: Final = "Yang et al., CVPR 2017"
_LI: Final = "Li et al., TIP 2019"
_NAH: Final = "Nah et al., CVPR 2017"
_WEI: Final = "Wei et al., BMVC 2018"
_GUO: Final = "Guo et al., ECCV 2024"
_ZAMIR: Final = "Zamir et al., CVPR 2022"
_ABUOLAIM: Final = "Abuolaim and Brown, ECCV 2020"
_RIM: Final = "Rim et al., ECCV 2020"
_SIDD: Final = "Abdelhamed et al., CVPR 2018"
_AGUSTSSON: Final = "Agustsson and Timofte, CVPRW 2017"

_REALBLUR: Final[tuple[tuple[str, Split, int], ...]] = (
    ("train", "train", 3758),
    ("test", "val", 980),
)  # 3,758 from memory
_CDD11: Final[tuple[tuple[str, Split, int], ...]] = (("train", "train", 1183), ("test", "val", 200))
_RAIN_L: Final = r"rain100l|raintrainl|rain_data_(train|test)_light"
_GOPRO: Final = r"(gopro|gopr\d{4}|(^|/)deblur/(blur|sharp)$)"
_LOL: Final = r"(^|/)(lol([-_]?v1)?(dataset)?(/|$)|our485|eval15|enhance/(low|gt)$|lowlight/(low|high)$)"
_CANON: Final = r"(dpdd|dd_dp_dataset)"
_DPDD: Final[tuple[tuple[str, Split, str, int | None], ...]] = (
    ("train", "train", rf"^(?!.*crop).*{_CANON}", 350),
    ("crops", "train", rf"^(?=.*crop).*{_CANON}", None),
    ("validation", "val", rf"^(?=.*(^|/)val).*{_CANON}", 74),
    ("test", "val", rf"^(?=.*(^|/)test).*{_CANON}", 76),
)

DATA_SETS: Final[tuple[DataSet, ...]] = (
    # Gaussian noise: clean photographs. PromptIR keeps BSD400 and WED in one folder.
    DataSet(
        "BSD400 + WED",
        "train",
        _NOISE,
        "clean",
        r"(^|/)train/denoise$",
        5144,
        "",
        f"{_MARTIN}; Ma et al., TIP 2017",
        lists=("noisy/denoise.txt", "noisy/denoise_airnet.txt"),
    ),
    _clean("BSD400", "train", r"bsd_?400", 400, _MARTIN),
    _clean("WED", "train", r"waterloo|(^|/)wed(/|$)", 4744, "Ma et al., TIP 2017"),
    _clean("DFWB crops", "train", r"(^|/)dfwb(_crops)?$", None, _ZAMIR),  # 512 pixels, overlapping by 96
    _clean("CBSD68", "val", r"cbsd68|denoise/bsd68", 68, _MARTIN),
    _clean("BSD68", "val", r"(?<!c)(?<!denoise/)bsd68", 68, _MARTIN),
    _clean("Set12", "val", r"(^|/)set12(/|_|$)", 12, "Zhang et al., TIP 2017"),
    _clean("Kodak24", "val", r"kodak", 24, "Franzen, 1999"),
    _clean("McMaster", "val", r"mcmaster", 18, "Zhang et al., JEI 2011"),
    _clean("Urban100", "val", r"urban100", 100, "Huang et al., CVPR 2015", (*_NOISE, *_SR)),
    # Super-resolution; its training images serve Gaussian noise too
    _clean("DIV2K train", "train", r"div2k", 800, _AGUSTSSON, (*_NOISE, *_SR)),
    _clean("DIV2K validation", "val", r"div2k", 100, _AGUSTSSON, _SR),
    _clean("Flickr2K", "train", r"flickr2k", 2650, "Lim et al., CVPRW 2017", (*_NOISE, *_SR)),
    _clean("DF2K", "train", r"df2k", 3450, "Lim et al., CVPRW 2017", (*_NOISE, *_SR)),
    _clean("Set5", "val", r"(^|/)set5(/|_|$)", 5, "Bevilacqua et al., BMVC 2012", _SR),
    _clean("Set14", "val", r"(^|/)set14(/|_|$)", 14, "Zeyde et al., Curves and Surfaces 2010", _SR),
    _clean("B100", "val", r"(^|/)(b|bsds?)100(/|_|$)", 100, _MARTIN, _SR),
    _clean("Manga109", "val", r"manga109", 109, "Matsui et al., MTAP 2017", _SR),
    # Rain
    DataSet(
        "Rain100L train",
        "train",
        ("derain",),
        "pairs",
        rf"{_RAIN_L}|(^|/)derain/(rainy|gt)$",
        200,
        "rain-001 <-> norain-001, or sorted order",
        _YANG,
        lists=("rainy/raintrain.txt",),
    ),
    _pairs("Rain100L test", "val", "derain", _RAIN_L, 100, _YANG, "same name, or rain-001 <-> norain-001"),
    _pairs("Rain13K", "train", "derain", r"rain13k", 13712, "Jiang et al., CVPR 2020"),
    _pairs("Rain100H test", "val", "derain", r"rain100h", 100, _YANG),
    _pairs("Test100", "val", "derain", r"(^|/)test100(/|$)", 100, "Zhang et al., TCSVT 2019"),
    _pairs("Test1200", "val", "derain", r"(^|/)test1200(/|$)", 1200, "Zhang and Patel, CVPR 2018"),
    _pairs("Test2800", "val", "derain", r"(^|/)test2800(/|$)", 2800, "Fu et al., CVPR 2017"),
    # Haze
    DataSet(
        "RESIDE OTS",
        "train",
        ("dehaze",),
        "pairs",
        r"(^|/)ots(/|_|$)|(^|/)reside(/(part\d+|clear))?$|(^|/)dehaze/(synthetic(/part\d+)?|original)$",
        72135,
        "0025_0.8_0.04 <-> 0025",
        _LI,
        scenes=2061,
        lists=("hazy/hazy_outside.txt",),
    ),
    _pairs(
        "SOTS outdoor",
        "val",
        "dehaze",
        r"sots(?!.*indoor)|(^|/)dehaze/(input|target)$",
        500,
        _LI,
        "0001_0.8_0.2 <-> 0001",
    ),
    # Motion blur
    DataSet(
        "GoPro train",
        "train",
        ("deblur",),
        "pairs",
        rf"^(?!.*crop).*{_GOPRO}",
        2103,
        _SAME,
        _NAH,
        lists=("gopro/train_gopro.txt",),
    ),
    _pairs("GoPro crops", "train", "deblur", rf"^(?=.*crop).*{_GOPRO}", 16824, _NAH),  # 512 pixels, eight of a frame
    _pairs("GoPro test", "val", "deblur", _GOPRO, 1111, _NAH),
    _pairs("HIDE test", "val", "deblur", r"(^|/)hide(/|_|$)", 2025, "Shen et al., ICCV 2019"),
    *(
        DataSet(
            f"RealBlur-{c} {part}",
            split,
            ("deblur",),
            "pairs",
            rf"real_?blur[-_]?{c.lower()}(?![a-z])",
            count,
            "same name, or blur_1 <-> gt_1",
            _RIM,
            lists=(f"realblur_{c.lower()}_{part}_list.txt",),
        )
        for c in ("J", "R")
        for part, split, count in _REALBLUR
    ),
    # Defocus: counts from memory
    *(
        DataSet(
            f"DPDD {part}",
            split,
            ("defocus",),
            "dual-pixel",
            where,
            count,
            "same name in inputL, inputR, inputC and target, or sorted order",
            _ABUOLAIM,
        )
        for part, split, where, count in _DPDD
    ),
    # Low light
    DataSet("LOL-v1 train", "train", ("lowlight",), "pairs", _LOL, 485, _SAME, _WEI, lists=("lol/train_lol.txt",)),
    _pairs("LOL-v1 test", "val", "lowlight", _LOL, 15, _WEI),
    # Real camera noise
    _pairs(
        "SIDD medium", "train", "denoise_real", r"^(?!.*crop).*sidd", 320, _SIDD, "NOISY_SRGB <-> GT_SRGB"
    ),  # memory
    _pairs("SIDD crops", "train", "denoise_real", r"sidd.*crop", 30608, _SIDD),  # 512 pixels; the count from memory
    _pairs("SIDD validation crops", "val", "denoise_real", r"sidd.*crop", 1280, _SIDD),
    DataSet(
        "SIDD validation",
        "val",
        ("denoise_real",),
        "mat-file",
        r"^(?!.*crop).*sidd",
        1280,
        "ValidationNoisyBlocksSrgb.mat <-> ValidationGtBlocksSrgb.mat, 40 x 32 blocks of 256 x 256",
        _SIDD,
    ),
    DataSet(
        "DND",
        "val",
        ("denoise_real",),
        "mat-file",
        r"(^|/)dnd(/|_|\d|$)",
        50,
        "50 files of 20 boxes; the clean ones are not public",
        "Plotz and Roth, CVPR 2017",
    ),
    # Single and composite degradations of the same scenes
    *(
        DataSet(
            f"CDD-11 {part}",
            split,
            ALIASES["cdd11"],
            "shared clean",
            rf"cdd[-_]?11|{_COMPOSITES}",
            11 * scenes,
            _SAME,
            _GUO,
            scenes=scenes,
        )
        for part, split, scenes in _CDD11
    ),
)
