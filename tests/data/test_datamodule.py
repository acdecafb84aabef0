"""RestorationData: what a batch holds, that nothing but (seed, epoch, index) decides it, and what is refused."""

import math
import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from aio.data.datamodule import RestorationData
from aio.data.degradations import Synthesis
from aio.data.depth import DepthPairs
from aio.data.mixture import Mixture
from aio.data.pairs import FolderPairs, SynthesisedPairs, to_tensor
from aio.data.samples import TrainingSet, WholeImages
from aio.data.seeding import seeded
from aio.errors import InputError
from aio.images import read_rgb
from aio.vocabulary import TASK_ID

ALL = ["denoise", "derain", "dehaze", "deblur", "lowlight", "denoise_blind"]
TREE = {
    "train/denoise": "p.png q.png r.png",
    "train/derain/rainy": "rain-1.png rain-2.png",
    "train/derain/gt": "norain-1.png norain-2.png",
    "val/denoise": "v.png w.png",
    "val/derain/input": "x.png y.png z.png",
    "val/derain/target": "x.png y.png z.png",
}


@pytest.fixture
def data(plant):
    """`data(option=...)` reads a small tree: photographs, and pairs with rain."""
    root = plant(TREE)

    def build(**options):
        small = {"batch_size": 4, "patch_size": 16, "samples_per_epoch": 8, "num_workers": 0}
        return RestorationData(**{"data_file_dir": str(root), **small, **options})

    return build


def batches_of(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert batch["name"] == other["name"]
        for key in ("degraded", "clean", "task"):
            assert torch.equal(batch[key], other[key])


def test_training_batch(data):
    batches = batches_of(data(de_type=ALL, samples_per_epoch=18).train_dataloader())
    assert len(batches) == 4  # the last, incomplete one is left out
    for batch in batches:
        assert list(batch) == ["degraded", "clean", "task", "name", "bad"]
        for image in (batch["degraded"], batch["clean"]):
            assert image.shape == (4, 3, 16, 16)
            assert image.dtype == torch.float32
            assert image.min() >= 0
            assert image.max() <= 1
        assert batch["task"].dtype == torch.int64
        assert set(batch["task"].tolist()) <= set(TASK_ID.values())
        assert len(batch["name"]) == 4
        assert all(isinstance(name, str) for name in batch["name"])
        assert batch["bad"] == [""] * 4
        assert not torch.equal(batch["degraded"], batch["clean"])


def test_validation_goes_through_whole_images_task_by_task(data):
    batches = list(data(de_type=["derain", "denoise"]).val_dataloader())
    tasks = [batch["task"].item() for batch in batches]
    assert tasks == [TASK_ID["derain"]] * 3 + [t for s in (15, 25, 50) for t in [TASK_ID[f"denoise_{s}"]] * 2]
    assert [batch["name"] for batch in batches] == [["x"], ["y"], ["z"], *[["v"], ["w"]] * 3]
    assert all(batch["degraded"].shape == batch["clean"].shape == (1, 3, 24, 32) for batch in batches)


def test_validation_pairs_are_the_pixels_of_their_files(data):
    module = data(de_type=["derain"])
    for batch, paths in zip(module.val_dataloader(), module.sources("val")[0].files(), strict=True):
        for side, path in zip(("degraded", "clean"), paths, strict=True):
            assert torch.equal(batch[side][0], to_tensor(read_rgb(path)))


# Python 3.12 warns of a fork beside threads, which torch's loader does
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_same_bytes_with_any_number_of_workers(data):
    loaders = [data(de_type=ALL, num_workers=workers).train_dataloader() for workers in (0, 1, 2)]
    for epoch in (0, 3):
        expected, *others = (batches_of(loader, epoch) for loader in loaders)
        for batches in others:  # workers outlive an epoch and still learn of the next
            assert_same(batches, expected)
    expected, other = (list(data(de_type=ALL, num_workers=workers).val_dataloader()) for workers in (0, 2))
    assert_same(other, expected)


def test_same_bytes_in_any_order_of_access(data):
    keys = [0, 5, 7, 8 * 4 + 2, 8 * 4 + 3]
    first, second = (data(de_type=ALL).train_dataloader().dataset for _ in range(2))
    forward = [first[key] for key in keys]
    backward = [second[key] for key in reversed(keys)]
    for one, other in zip(forward, reversed(backward), strict=True):
        assert (one["task"], one["name"]) == (other["task"], other["name"])
        assert torch.equal(one["degraded"], other["degraded"])
        assert torch.equal(one["clean"], other["clean"])


def test_epochs_and_seeds_differ(data):
    loader = data(de_type=["denoise"]).train_dataloader()
    clean = [batches_of(loader, epoch)[0]["clean"] for epoch in range(3)]
    clean.append(batches_of(data(de_type=["denoise"], seed=1).train_dataloader())[0]["clean"])
    assert len({image.sum().item() for image in clean}) == 4
    assert torch.equal(clean[0], batches_of(loader, 0)[0]["clean"])


def test_crop_and_noise_depend_on_seed_epoch_and_index(plant):
    root = plant({"train": "a.png", "val": "b.png"})  # one image, so that all else decides

    def sample(seed, epoch, index):
        module = RestorationData(de_type=["denoise_15"], data_file_dir=str(root), patch_size=8, seed=seed)
        dataset = TrainingSet(module.sources("train"), Mixture(sizes=[1], weights=[1], length=5, seed=0), 8, seed)
        return dataset[epoch * 5 + index]

    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1)]
    samples = [sample(*key) for key in keys]
    for side in ("degraded", "clean"):
        assert len({one[side].numpy().tobytes() for one in samples}) == len(keys)
        assert all(torch.equal(sample(*key)[side], one[side]) for key, one in zip(keys, samples, strict=True))


def test_validation_noise_depends_on_seed_and_name_alone(data, plant):
    before = {b["name"][0]: b["degraded"] for b in data(de_type=["denoise_25"]).val_dataloader()}
    assert not torch.equal(before["v"] - before["w"], torch.zeros_like(before["v"]))
    plant({"val/denoise": "a.png"})  # comes first now
    module = data(de_type=["lowlight", "denoise_25"])
    after = {b["name"][0]: b["degraded"] for b in module.val_dataloader() if b["task"] == TASK_ID["denoise_25"]}
    assert list(after) == ["a", "v", "w"]
    assert all(torch.equal(before[name], after[name]) for name in before)
    other = {b["name"][0]: b["degraded"] for b in data(de_type=["denoise_25"], seed=1).val_dataloader()}
    assert not torch.equal(other["v"], before["v"])


def test_two_images_of_equal_pixels_get_different_noise(data, plant):
    root = plant(TREE)
    (root / "val/denoise/w.png").write_bytes((root / "val/denoise/v.png").read_bytes())
    one, two = WholeImages(RestorationData(de_type=["denoise_50"], data_file_dir=str(root)).sources("val"), seed=0)
    assert torch.equal(one["clean"], two["clean"])
    assert not torch.equal(one["degraded"], two["degraded"])


def tasks_of_epoch(module):
    return torch.cat([batch["task"] for batch in batches_of(module.train_dataloader())]).tolist()


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        (None, {"denoise_15": 3, "denoise_25": 3, "denoise_50": 3, "derain": 3}),
        ({"denoise": 3, "derain": 1}, {"denoise_15": 3, "denoise_25": 3, "denoise_50": 3, "derain": 3}),
        ({"denoise": 1}, {"denoise_15": 2, "denoise_25": 2, "denoise_50": 2, "derain": 6}),
        ({"deraining": 3}, {"denoise_15": 2, "denoise_25": 2, "denoise_50": 2, "derain": 6}),
        ({"denoise_25": 0, "derain": 2}, {"denoise_15": 3, "denoise_50": 3, "derain": 6}),
    ],
)
def test_weights_of_names_and_aliases(data, weights, counts):
    tasks = tasks_of_epoch(data(de_type=["denoise", "derain"], weights=weights, samples_per_epoch=12))
    assert {name: tasks.count(TASK_ID[name]) for name in counts} == counts
    assert len(tasks) == sum(counts.values())


def test_images_smaller_than_the_patch_are_padded_where_that_is_allowed(data):
    module = data(de_type=["derain", "denoise_25"], patch_size=40, pad_small=True)
    for batch in batches_of(module.train_dataloader()):
        assert batch["clean"].shape == batch["degraded"].shape == (4, 3, 40, 40)
        rows = (batch["clean"][:, 0] * 255).round()
        assert rows.amax(dim=(1, 2)).tolist() == [23] * 4  # the last of the file's rows
        assert rows.amin(dim=(1, 2)).tolist() == [0] * 4
    with pytest.raises(InputError, match="expected at least 40 on each side"):
        data(de_type=["derain"], patch_size=40).setup()


@pytest.mark.parametrize("quantise", [True, False])
@pytest.mark.parametrize("task", ["denoise_15", "denoise_50", "denoise_blind"])
def test_noise_is_of_the_protocol_that_was_chosen(data, task, quantise):
    """In validation as in training: clipped, in whole levels; or neither."""
    module = data(de_type=[task], synthesis=Synthesis(quantise=quantise, sigma_range=(30, 30)))
    for loader in (module.train_dataloader(), module.val_dataloader()):
        noisy = next(iter(loader))["degraded"] * 255
        assert (noisy.min() >= 0) == quantise
        assert ((noisy - noisy.round()).abs().max() < 1e-3) == quantise


def test_a_gray_net_gets_the_noise_that_is_said(data):
    """The luma of independent noise in three channels would have two thirds of its sigma."""
    module = data(de_type=["denoise_25"], synthesis=Synthesis(quantise=False), samples_per_epoch=40, patch_size=24)
    module.gray = True
    batches = [module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader()]
    noise = torch.cat([batch["degraded"] - batch["clean"] for batch in batches]) * 255
    assert noise.shape == (40, 1, 24, 24)
    assert noise.std().item() == pytest.approx(25, rel=0.02)


def test_counts_are_the_epoch(data):
    module = data(de_type=["denoise", "derain"], samples_per_epoch=None, counts={"denoise": 6, "derain": 2})
    assert sorted(tasks_of_epoch(module)) == sorted([TASK_ID[task] for task in module.tasks] * 2)


def test_shares_by_the_size_of_the_data(data):
    """Three photographs for the noise, two pairs with rain."""
    quotas = {
        T: data(de_type=["denoise_25", "derain"], samples_per_epoch=10, temperature=T)
        .train_dataloader()
        .dataset.mixture.quotas.tolist()
        for T in (1, math.inf)
    }
    assert quotas == {1: [6, 4], math.inf: [5, 5]}


def test_pooled_sources_share_a_count_exactly(data):
    counts = {"derain": 3, "dehaze": 4, "denoise_25": 1}
    module = data(de_type=list(counts), trainset="pooled", samples_per_epoch=None, counts=counts)
    assert module.train_dataloader().dataset.mixture.quotas.tolist() == [2, 1, 4, 1]


def test_a_degradation_has_crops_of_its_own_size(data):
    module = data(de_type=["denoise_25", "derain"], samples_per_epoch=42, patch_sizes={"derain": 24})
    batches = batches_of(module.train_dataloader())
    assert len(batches) == module.batches_per_epoch() == 10  # 21 of each: one of each fills no batch
    for batch in batches:
        (side,) = {TASK_ID["denoise_25"]: {16}, TASK_ID["derain"]: {24}}[batch["task"][0].item()]
        assert batch["clean"].shape == batch["degraded"].shape == (4, 3, side, side)
        assert len(set(batch["task"].tolist())) == 1
    assert len({batch["clean"].shape for batch in batches}) == 2
    with pytest.raises(InputError, match="expected at least 25 on each side"):
        data(de_type=["denoise_25", "derain"], patch_sizes={"derain": 25}).setup()


def test_names_of_the_field(data):
    assert data(de_type=["lol", "denoise", "denoise_25"]).tasks == [
        "lowlight",
        "denoise_15",
        "denoise_25",
        "denoise_50",
    ]


@pytest.mark.parametrize("level", [0.0, 40.0])
def test_sigma_range_reaches_the_blind_noise(data, level):
    module = data(de_type=["denoise_blind"], synthesis=Synthesis(sigma_range=(level, level)))
    noise = torch.cat([(b["degraded"] - b["clean"]).flatten() for b in module.val_dataloader()]) * 255
    assert noise.std().item() == pytest.approx(level, rel=0.5)  # clipped: the images are dark
    assert (noise == 0).all() == (level == 0)


def test_fewer_and_smaller_validation_images(data):
    batches = list(data(de_type=["derain", "denoise_15"], val_images=2, val_size=10).val_dataloader())
    assert [batch["name"][0] for batch in batches] == ["x", "y", "v", "w"]
    for batch in batches:
        assert batch["degraded"].shape == batch["clean"].shape == (1, 3, 10, 10)
        rows, columns = (batch["clean"][0, channel] * 255 for channel in (0, 1))
        assert (rows[0, 0].round(), columns[0, 0].round()) == (7, 11)  # the centre of 24 x 32
    for size, shape in {28: (24, 28), 40: (24, 32)}.items():
        (first, *_) = data(de_type=["derain"], val_size=size).val_dataloader()
        assert first["clean"].shape[2:] == shape


@pytest.mark.parametrize(
    ("trainset", "kinds"),
    [
        ("mixed", [FolderPairs, SynthesisedPairs, SynthesisedPairs]),
        (None, [FolderPairs, SynthesisedPairs, SynthesisedPairs]),
        ("synthetic", [SynthesisedPairs, SynthesisedPairs, SynthesisedPairs]),
    ],
)
def test_where_samples_come_from(data, trainset, kinds):
    module = data(de_type=["derain", "dehaze", "denoise_25"], trainset=trainset)
    assert [type(source) for source in module.sources("train")] == kinds


def test_pooled_halves_pairs_and_synthesised_samples(data):
    module = data(de_type=["derain", "denoise_25"], trainset="pooled", samples_per_epoch=16, weights={"derain": 3})
    assert [type(source) for source in module.sources("train")] == [FolderPairs, SynthesisedPairs, SynthesisedPairs]
    assert [type(source) for source in module.sources("val")] == [FolderPairs, SynthesisedPairs]
    assert module.train_dataloader().dataset.mixture.quotas.tolist() == [6, 6, 4]


def test_pooled_lays_haze_over_the_depth_of_its_pairs(tmp_path):
    for scene in (1, 2):
        for side, mode, value in (("clear", "RGB", (200,) * 3), ("hazy", "RGB", (220,) * 3), ("depth", "L", 100)):
            path = tmp_path / f"train/dehaze/{side}/{scene}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (24, 24), value).save(path)
    (tmp_path / "train/denoise").mkdir()
    Image.new("RGB", (24, 24), (9, 9, 9)).save(tmp_path / "train/denoise/1.png")
    module = RestorationData(
        data_file_dir=str(tmp_path), de_type=["dehaze"], trainset="pooled", samples_per_epoch=12, patch_size=16
    )
    sources = module.sources("train")
    assert [(type(source), len(source)) for source in sources] == [
        (FolderPairs, 2),
        (SynthesisedPairs, 1),
        (DepthPairs, 2),
    ]
    assert module.train_dataloader().dataset.mixture.quotas.tolist() == [4, 4, 4]
    hazy, clear = sources[2].sample(0, seeded(0), 16)
    # All of it lies at 100 / 255: the haze is even, and brighter by its airlight.
    assert clear.unique().tolist() == pytest.approx([200 / 255])
    assert (hazy.amax((1, 2)) - hazy.amin((1, 2))).max() == 0
    assert not torch.equal(hazy, clear)


def test_paired_synthesises_noise_alone(data):
    module = data(de_type=["derain", "denoise_25"], trainset="paired")
    assert [type(source) for source in module.sources("val")] == [FolderPairs, SynthesisedPairs]
    with pytest.raises(InputError, match=r"data: no train pairs for dehaze; expected\nROOT/"):
        data(de_type=["dehaze", "derain"], trainset="paired").setup()


def test_without_a_root_the_demo_photographs(data):
    names = [source.name(0) for source in RestorationData(de_type=["derain"]).sources("val")]
    assert names == ["chelsea"]


def on_rank(module, rank, world_size, *, lightning_samples=False):
    """`module` as one of several processes has it."""
    connector = SimpleNamespace(use_distributed_sampler=lightning_samples)
    module.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, _accelerator_connector=connector)
    return module


def test_ranks_share_an_epoch_and_the_validation(data):
    ranks = [on_rank(data(de_type=["derain", "denoise"], batch_size=2), rank, 2) for rank in (0, 1)]
    assert sorted(key for rank in ranks for key in rank.train_dataloader().sampler) == list(range(8))
    assert sorted(key for rank in ranks for key in rank.val_dataloader().sampler) == list(range(9))


def test_sampler_of_lightning_is_refused(data):
    with pytest.raises(InputError, match="use_distributed_sampler=False"):
        on_rank(data(de_type=["derain"]), 0, 2, lightning_samples=True).train_dataloader()


def test_a_rank_without_a_validation_image_is_refused(data):
    with pytest.raises(InputError, match=r"3 validation image\(s\) for 4 devices: expected one for each"):
        on_rank(data(de_type=["derain"]), 0, 4).val_dataloader()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"de_type": ["snow"]}, "unknown degradation 'snow': choose from"),
        ({"de_type": []}, "no degradation given: choose from"),
        ({"batch_size": 0}, "--batch_size 0: expected a whole number of at least 1"),
        ({"patch_size": 0}, "--patch_size 0: expected"),
        ({"samples_per_epoch": -1}, "--samples_per_epoch -1: expected"),
        ({"num_workers": -1}, "--num_workers -1: expected a whole number of at least 0"),
        ({"val_images": 0}, "--val_images 0: expected"),
        ({"val_size": 0}, "--val_size 0: expected"),
        ({"seed": -1}, "--seed -1: expected"),
        ({"de_type": ["sr_x4"], "patch_size": 18}, "--patch_size 18: expected a multiple of the scale 4"),
        ({"de_type": ["sr_x4", "derain"]}, "sr_x4 derain: a network has one scale"),
        ({"weights": {"derain": -1}}, "weight -1 for 'derain': expected a number >= 0 for one of"),
        ({"weights": {"derain": float("nan")}}, "weight nan for 'derain'"),
        ({"weights": {"derain": float("inf")}}, "weight inf for 'derain'"),
        ({"weights": {"fog": 1}}, "unknown degradation 'fog'"),
        ({"weights": {"dehaze": 1}, "de_type": ["derain"]}, "weight 1 for 'dehaze': expected .* one of derain"),
        ({"weights": {"derain": 0}, "de_type": ["derain"]}, "every weight is 0"),
        ({"trainset": "everything"}, "--trainset everything: choose from demo, synthetic, paired, mixed, pooled"),
        ({"trainset": "paired"}, "--trainset paired with --data_file_dir None: .* all others need one"),
        ({"trainset": "demo", "data_file_dir": "x"}, "--trainset demo with --data_file_dir x: demo takes no folder"),
    ],
)
def test_bad_arguments_are_refused_at_once(options, said):
    with pytest.raises(InputError, match=said):
        RestorationData(**options)


def broken(root, fault):
    image = root / "train/derain/rainy/rain-1.png"
    if fault == "cut":
        image.write_bytes(image.read_bytes()[:-20])
    elif fault == "empty":
        image.write_bytes(b"")
    elif fault == "partner":
        (root / "train/derain/gt/norain-1.png").unlink()
    return image


@pytest.mark.parametrize("fault", ["cut", "empty", "partner"])
def test_setup_finds_what_is_broken_before_anything_is_read(data, plant, monkeypatch, fault):
    image = broken(plant(TREE), fault)
    monkeypatch.setattr("aio.data.cache.read_samples", lambda path: pytest.fail(f"{path} was decoded"))
    module = data(de_type=["denoise_25", "derain"])
    with pytest.raises(InputError, match=re.escape(str(image))):
        module.setup("fit")


def test_setup_finds_pairs_of_unequal_size_and_small_images(plant):
    root = plant(TREE)
    with pytest.raises(InputError, match=r"expected at least 25 on each side \(--patch_size 25\)"):
        RestorationData(de_type=["derain"], data_file_dir=str(root), patch_size=25).setup()
    RestorationData(de_type=["derain"], data_file_dir=str(root), patch_size=24).setup()
    plant({"val/derain/target": "y.png"}, size=(24, 31))
    with pytest.raises(InputError, match=r"y\.png is 24 x 32 and .*y\.png is 24 x 31: expected a pair of equal size"):
        RestorationData(de_type=["derain"], data_file_dir=str(root), patch_size=24).setup()


def test_missing_root_and_missing_validation(plant, tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder; expected a data tree"):
        RestorationData(data_file_dir=str(tmp_path / "nowhere")).setup()
    root = plant({"train/denoise": "p.png"})
    with pytest.raises(InputError, match=r"data: no val clean photographs for denoise_25; expected\nROOT/"):
        RestorationData(de_type=["denoise_25"], data_file_dir=str(root), patch_size=8).setup()


def test_epoch_that_fills_no_batch_is_refused(data):
    with pytest.raises(InputError, match=r"3 samples_per_epoch on 1 device\(s\) do not fill a batch of 4"):
        data(de_type=["derain"], samples_per_epoch=3).train_dataloader()


@pytest.mark.parametrize("sigmas", [(50, 0), (-1, 5), (0, float("nan"))])
def test_impossible_noise_levels_are_refused(sigmas):
    with pytest.raises(InputError, match=r"sigma_range .*: expected two ascending numbers from 0 to 255"):
        Synthesis(sigma_range=sigmas)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_has_a_larger_clean_image(data, scale):
    module = data(de_type=[f"sr_x{scale}"], patch_size=12)
    assert module.scale == scale
    for batch in batches_of(module.train_dataloader()):
        assert batch["clean"].shape == (4, 3, 12, 12)
        assert batch["degraded"].shape == (4, 3, 12 // scale, 12 // scale)
        blue = batch["clean"][:, 2]  # constant in each planted image, so that both are of one photograph
        assert torch.allclose(batch["degraded"][:, 2].mean((1, 2)), blue.mean((1, 2)), atol=1e-6)
    for batch, path in zip(module.val_dataloader(), module.sources("val")[0].files(), strict=True):
        assert batch["clean"].shape[-2:] == (24 // scale * scale, 32 // scale * scale)
        assert torch.equal(batch["clean"][0], to_tensor(read_rgb(path[0]))[:, :24, : 32 // scale * scale])


def test_validation_crops_of_super_resolution_are_of_one_place(data):
    (batch, _) = data(de_type=["sr_x2"], val_size=9).val_dataloader()
    assert batch["clean"].shape == (1, 3, 8, 8)
    assert torch.allclose(batch["clean"][0, :, ::2, ::2] + 0.5 / 255, batch["degraded"][0], atol=1.01 / 255)


def test_a_second_view_shows_the_same_degraded_image(data):
    module = data(de_type=["derain", "dehaze"], samples_per_epoch=40)
    plain = batches_of(module.train_dataloader())
    module.second_view = True
    batches = batches_of(module.train_dataloader())
    assert [batch["name"] for batch in batches] == [batch["name"] for batch in plain]
    for batch in batches:
        first, second = batch["degraded"], batch["second_view"]
        assert first.shape == second.shape == (4, 3, 16, 16)
        assert not torch.equal(first, second)
        paired = batch["task"] == TASK_ID["derain"]
        # blue names the file in planted images: real pairs show the same one twice
        assert torch.equal(first[paired][:, 2].amax((1, 2)), second[paired][:, 2].amax((1, 2)))


@pytest.fixture
def super_resolution(plant):
    """`super_resolution(option=...)` reads DIV2K's tree at x2; the validation image has a row and a column over."""
    plant({"DIV2K_train_HR": "0001.png 0002.png"}, size=(24, 32))
    plant({"DIV2K_valid_HR": "0801.png"}, size=(25, 33))
    small = {"DIV2K_train_LR_bicubic/X2": "0001x2.png 0002x2.png", "DIV2K_valid_LR_bicubic/X2": "0801x2.png"}
    root = plant(small, size=(12, 16))

    def build(**options):
        usual = {"de_type": ["sr_x2"], "batch_size": 2, "patch_size": 16, "samples_per_epoch": 4, "num_workers": 0}
        return RestorationData(**{"data_file_dir": str(root), **usual, **options})

    return build


def test_pairs_of_super_resolution(super_resolution):
    data = super_resolution()
    assert [type(source) for split in ("train", "val") for source in data.sources(split)] == [FolderPairs] * 2
    for batch in batches_of(data.train_dataloader()):
        assert (batch["degraded"].shape, batch["clean"].shape) == ((2, 3, 8, 8), (2, 3, 16, 16))
    (batch,) = data.val_dataloader()
    assert (batch["degraded"].shape, batch["clean"].shape) == ((1, 3, 12, 16), (1, 3, 24, 32))


@pytest.mark.parametrize(("patch_size", "fits"), [(24, True), (26, False)])
def test_a_patch_of_super_resolution_is_measured_on_the_large_image(super_resolution, patch_size, fits):
    too_small = r"x2\.png is 12 x 16: expected at least 13 .* \(--patch_size 26 / 2 = 13\)"
    with nullcontext() if fits else pytest.raises(InputError, match=too_small):
        super_resolution(patch_size=patch_size).setup()


def test_small_images_of_another_scale_are_refused(super_resolution, plant):
    plant({"DIV2K_train_LR_bicubic/X2": "0001x2.png"}, size=(8, 10))
    with pytest.raises(InputError, match=r"0001x2\.png is 8 x 10 and .* expected the second 2 times the size"):
        super_resolution().setup()


def test_small_images_are_made_where_there_are_none(super_resolution):
    data = super_resolution(de_type=["sr_x4"])
    assert [type(source) for split in ("train", "val") for source in data.sources(split)] == [SynthesisedPairs] * 2
