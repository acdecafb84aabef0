"""Errors of training samples per degradation, against plain sums over the samples."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from aio.metrics import TaskErrors


def samples(seed: int, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean, noise = (torch.rand(len(ids), 3, 8, 8, generator=generator) for _ in range(2))
    return clean + 0.1 * noise, clean, torch.tensor(ids)


def test_means_are_those_of_the_samples_of_each_task():
    errors = TaskErrors(5)
    batches = [samples(0, [1, 3, 3]), samples(1, [3, 1])]
    for batch in batches:
        errors.add(*batch)
    restored, clean, task = (torch.cat(parts) for parts in zip(*batches, strict=True))
    means = errors.read()
    assert set(means) == {1, 3}
    for name, mean in means.items():
        differences = (restored - clean)[task == name]
        l1 = [d.abs().mean().item() for d in differences]
        decibels = [-10 * d.square().mean().log10().item() for d in differences]
        assert mean.samples == len(differences)
        assert mean.l1 == pytest.approx(sum(l1) / len(l1), rel=1e-5)
        assert mean.psnr == pytest.approx(sum(decibels) / len(decibels), rel=1e-5)
    assert errors.read() == {}


def test_a_broken_sample_hides_no_other():
    errors = TaskErrors(2)
    restored, clean, task = samples(0, [0, 0, 1])
    errors.add(restored[:1], clean[:1], task[:1])
    alone = errors.read()
    restored[1:] = torch.nan
    errors.add(restored, clean, task)
    assert errors.read() == alone


def test_a_perfect_sample_counts_a_hundred_decibels():
    errors = TaskErrors(1)
    _, clean, task = samples(0, [0])
    errors.add(clean, clean, task)
    assert errors.read()[0] == (1, 0, 100)


def _rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    errors = TaskErrors(4)
    errors.add(*samples(rank, [0, 1] if rank == 0 else [1, 1]))  # the second rank has none of task 0
    together = errors.read()
    errors.add(*samples(rank, [0, 1] if rank == 0 else [1, 1]))
    errors.gather()
    torch.save({"read": together, "gathered": errors.sums}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_agree_though_one_lacks_a_task(tmp_path):
    mp.spawn(_rank, args=(str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    alone = TaskErrors(4)
    alone.add(*samples(0, [0, 1]))
    alone.add(*samples(1, [1, 1]))
    assert torch.allclose(ranks[0]["gathered"], alone.sums)
    assert not ranks[1]["gathered"].any()
    expected = alone.read()
    assert ranks[0]["read"] == ranks[1]["read"]
    assert ranks[0]["read"].keys() == expected.keys()
    assert all(ranks[0]["read"][task] == pytest.approx(expected[task]) for task in expected)
