"""Mixup: the law of its draws, that degraded and clean mix alike, and that nothing but seed and place decides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from aio.callbacks.mixup import Mixup, mixed
from aio.cli import AioCLI
from aio.errors import InputError
from aio.task import RestorationTask
from tiny_nets import build
from training import batch_of, tiny

ALPHA = 1.2


def place(epoch: int = 0, rank: int = 0, seed: int = 0) -> Any:
    """What the callback reads of a trainer."""
    return SimpleNamespace(datamodule=SimpleNamespace(seed=seed), current_epoch=epoch, global_rank=rank)


def after(batch_idx: int, **where: int) -> dict[str, Any]:
    batch = batch_of(4)
    Mixup(alpha=ALPHA).on_train_batch_start(place(**where), None, batch, batch_idx)  # type: ignore[arg-type]
    return batch


def weights(generator: np.random.Generator, size: int = 4) -> np.ndarray:
    """How much of image j is in image i of a mixed batch: the identity where none was mixed."""
    images = torch.eye(size, dtype=torch.float64).view(size, size, 1, 1)
    result = mixed(images, 2 * images, ALPHA, generator)
    assert torch.allclose(result["clean"], 2 * result["degraded"])
    return result["degraded"].flatten(1).numpy()


def test_half_of_the_batches_are_mixed_by_beta_and_a_permutation():
    """Each mixed one is m I + (1 - m) P, and m has the mean 1/2 and the variance 1 / (4 (2 alpha + 1)) of its law."""
    generator = np.random.default_rng(0)
    drawn = [weights(generator) for _ in range(6000)]
    shares, partners, untouched = [], np.zeros((4, 4)), 0
    for matrix in drawn:
        assert matrix.sum(axis=0) == pytest.approx(1)
        assert matrix.sum(axis=1) == pytest.approx(1)
        moved = np.argwhere((matrix > 0) & ~np.eye(4, dtype=bool))
        if not len(moved):
            untouched += 1
            continue
        share = 1 - matrix[tuple(moved[0])]
        order = (matrix - share * np.eye(4)) / (1 - share)
        assert np.allclose(order @ order.T, np.eye(4))
        assert set(np.unique(order.round(9))) == {0.0, 1.0}
        shares.append(share)
        partners += order
    identity = 1 / 24  # of permutations of four, which leave a mixed batch as it is
    assert untouched / len(drawn) == pytest.approx(0.5 + 0.5 * identity, abs=0.02)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.015)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * ALPHA + 1)), rel=0.06)
    beside = partners[~np.eye(4, dtype=bool)] / len(shares)
    assert beside == pytest.approx(np.full(12, 6 / 23), abs=0.03)


def test_seed_epoch_batch_and_device_alone_decide():
    first = after(3, epoch=2, rank=1, seed=5)
    again = after(3, epoch=2, rank=1, seed=5)
    assert torch.equal(first["degraded"], again["degraded"])
    assert torch.equal(first["clean"], again["clean"])
    seen = {
        tuple(after(i, epoch=e, rank=r, seed=s)["clean"][0, 0, 0, :4].tolist()) for i, e, r, s in np.ndindex(4, 3, 2, 2)
    }
    assert len(seen) > 15  # of 48 places, of which half are left as they are


def test_one_image_has_nothing_to_mix_with():
    batch = batch_of(1)
    before = batch["degraded"].clone()
    for index in range(20):
        Mixup(alpha=ALPHA).on_train_batch_start(place(), None, batch, index)  # type: ignore[arg-type]
    torch.testing.assert_close(batch["degraded"], before)


@pytest.mark.slow
def test_the_net_trains_on_the_mixed_batch(short_fit, tmp_path):
    """And the same from a resumed run as from an uninterrupted one."""
    steady = ["--lr", "1e-3", "--model.min_lr", "1e-3", "--mixup.alpha", str(ALPHA), "--data.samples_per_epoch", "8"]
    words = [*short_fit, *steady, "--batch_size", "4", "--data.seed", "1"]
    plain, whole, parts = (str(tmp_path / name) for name in ("plain", "whole", "parts"))
    fits = [
        [*words, "--ckpt_dir", plain, "--epochs", "3", "--mixup.alpha", "0"],
        [*words, "--ckpt_dir", whole, "--epochs", "3"],
        [*words, "--ckpt_dir", parts, "--epochs", "1"],
        [*words, "--ckpt_dir", parts, "--epochs", "3", "--resume_from", "last"],
    ]
    for argv in fits:
        AioCLI(argv).fit()
    ended = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("plain", "whole", "parts")
    ]
    assert all(torch.equal(value, ended[2][key]) for key, value in ended[1].items())
    assert not all(torch.equal(value, ended[0][key]) for key, value in ended[1].items())


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(InputError, match=r"mixup\.alpha -1"):
        Mixup(alpha=-1)
    with pytest.raises(InputError, match="AirNet compares two crops of one image"):
        Mixup(alpha=ALPHA).check(RestorationTask(net=build("airnet")))
    with pytest.raises(InputError, match="no single degradation"):
        Mixup(alpha=ALPHA).check(RestorationTask(net=tiny(), tell_task=True))
    Mixup().check(RestorationTask(net=build("airnet"), tell_task=True))
