"""Degradations on the device: on the CPU the loader's bytes, on a GPU the same ones for any workers and ranks."""

from types import SimpleNamespace

import pytest
import torch

from aio.data.datamodule import RestorationData
from aio.data.on_device import collate, degrade_batch
from aio.errors import InputError
from aio.task import RestorationTask
from aio.vocabulary import TASK_ID
from training import tiny, trainer_for

TASKS = ["denoise", "derain", "dehaze", "deblur", "lowlight", "denoise_blind", "desnow", "clean"]
TREE = {
    "train/denoise": "p.png q.png r.png",
    "train/derain/rainy": "rain-1.png rain-2.png",
    "train/derain/gt": "norain-1.png norain-2.png",
    "val/denoise": "v.png",
    "val/derain/input": "x.png",
    "val/derain/target": "x.png",
}
CPU = torch.device("cpu")
DEVICES = [
    CPU,
    pytest.param(torch.device("cuda"), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


@pytest.fixture
def data(plant):
    """`data(device, option=...)` is a module in a training whose net is on `device`."""
    root = plant(TREE)

    def build(device=CPU, *, rank=0, world_size=1, **options):
        small = {"batch_size": 4, "patch_size": 16, "samples_per_epoch": 40, "num_workers": 0, "trainset": "pooled"}
        module = RestorationData(**{"data_file_dir": str(root), "de_type": TASKS, **small, **options})
        module.trainer = SimpleNamespace(
            global_rank=rank,
            world_size=world_size,
            training=True,
            strategy=SimpleNamespace(root_device=device),
            fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=Progress)),
            _accelerator_connector=SimpleNamespace(use_distributed_sampler=False),
        )
        return module

    return build


class Progress:
    """No batch of the epoch is done."""

    is_last_batch = False
    current = SimpleNamespace(ready=0)


def shipped(module, epoch=0):
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def seen(module, epoch=0):
    """Batches as the net gets them."""
    device = module.trainer.strategy.root_device
    moved = [
        {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        for batch in shipped(module, epoch)
    ]
    return [module.on_after_batch_transfer(batch, 0) for batch in moved]


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert list(batch) == list(other)
        for key, value in batch.items():
            same = torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
            assert same, key


# Python 3.12 warns of a fork beside threads, which torch's loader does
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_on_the_cpu_both_modes_give_the_same_bytes(data, workers):
    for epoch in (0, 2):
        expected = seen(data(degrade_on="loader"), epoch)
        assert_same(seen(data(degrade_on="device", num_workers=workers), epoch), expected)
    assert {kind for batch in expected for kind in batch["task"].tolist()} > {0, 3, 5}


@pytest.mark.parametrize("options", [{"de_type": ["sr_x2"], "trainset": "mixed"}, {"trainset": "synthetic"}])
def test_also_where_all_is_synthesised(data, options):
    assert_same(seen(data(degrade_on="device", **options)), seen(data(degrade_on="loader", **options)))


def test_gray_is_the_luma_of_what_was_degraded(data):
    modules = [data(degrade_on=where) for where in ("loader", "device")]
    for module in modules:
        module.gray = True
    expected, batches = map(seen, modules)
    assert batches[0]["degraded"].shape == (4, 1, 16, 16)
    assert_same(batches, expected)


def test_what_is_shipped_is_8_bit_and_of_pairs_alone_twice(data):
    module, counts = data(degrade_on="device", de_type=["derain", "denoise_25"]), []
    for batch in shipped(module):
        assert batch["clean"].dtype == torch.uint8
        stored = batch["source"].count(None)
        assert (0 if batch["degraded"] is None else len(batch["degraded"])) == stored
        assert stored <= batch["task"].tolist().count(TASK_ID["derain"])
        counts.append(stored)
    assert sum(counts) == 10  # half of the half that is rain


def test_16_bit_files_are_shipped_as_float(data):
    module = data(degrade_on="device")
    dataset = module.train_dataloader().dataset
    samples = [dataset[key] for key in range(6)]
    for sample in samples[::2]:
        sample["clean"] = sample["clean"].to(torch.uint16) * torch.tensor(257, dtype=torch.uint16)
    expected = [dataset[key]["clean"] / 255 for key in range(6)]
    batch = degrade_batch(collate(samples), [source.degrade for source in dataset.sources])
    torch.testing.assert_close(batch["clean"], torch.stack(expected), rtol=1e-6, atol=0)


def test_second_views_are_degraded_by_the_loader(data):
    modules = [data(degrade_on=where) for where in ("loader", "device")]
    for module in modules:
        module.second_view = True
    assert_same(*map(shipped, modules))


def test_without_a_trainer_the_loader_degrades(data):
    module = data(degrade_on="device")
    module.trainer = None
    assert_same(list(module.train_dataloader()), shipped(data(degrade_on="loader")))


@pytest.mark.parametrize(("device", "where"), [("cpu", torch.float32), ("cuda", torch.uint8), ("mps", torch.float32)])
def test_auto_is_the_device_where_that_is_a_gpu(data, device, where):
    batch, *_ = shipped(data(torch.device(device), degrade_on="auto"))
    assert batch["clean"].dtype == where


@pytest.mark.parametrize("device", DEVICES)
def test_ranks_and_batch_sizes_change_no_sample(data, device):
    def samples(**options):
        batches = seen(data(device, degrade_on="device", **options))
        return {
            (batch["name"][i], batch["task"][i].item(), batch["clean"][i].sum().item()): batch["degraded"][i]
            for batch in batches
            for i in range(len(batch["name"]))
        }

    alone = samples()
    ranks = [samples(rank=rank, world_size=2, batch_size=5) for rank in (0, 1)]
    parted = ranks[0] | ranks[1]
    assert parted.keys() == alone.keys()
    assert all(torch.equal(parted[key], alone[key]) for key in alone)
    assert len(alone) > 30


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_degrades_alike_but_by_other_numbers(data):
    ours, theirs = (seen(data(device, degrade_on="device")) for device in (torch.device("cuda"), CPU))
    for batch, other in zip(ours, theirs, strict=True):
        assert batch["degraded"].is_cuda
        torch.testing.assert_close(batch["clean"].cpu(), other["clean"])
        assert 0 <= batch["degraded"].min() <= batch["degraded"].max() <= 1


@pytest.mark.parametrize("device", DEVICES)
def test_a_training_gets_the_same_samples(plant, device):
    def weights(where):
        data = RestorationData(
            de_type=["denoise_25", "derain"],
            data_file_dir=str(plant(TREE)),
            batch_size=2,
            patch_size=16,
            samples_per_epoch=4,
            num_workers=0,
            degrade_on=where,
        )
        task = RestorationTask(net=tiny(), lr=1e-2)
        trainer = trainer_for(max_epochs=2, accelerator=device.type, devices=1, limit_val_batches=0)
        trainer.fit(task, datamodule=data)
        return torch.cat([parameter.detach().flatten().cpu() for parameter in task.parameters()])

    if device == CPU:
        assert torch.equal(weights("device"), weights("loader"))
    assert torch.equal(weights("device"), weights("device"))


def test_other_places_are_refused():
    with pytest.raises(InputError, match=r"--data\.degrade_on gpu: choose from loader, device, auto"):
        RestorationData(degrade_on="gpu")
