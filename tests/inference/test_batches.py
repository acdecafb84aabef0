"""Tiles through the net together, on one device and shared among copies: what comes out is that of one by one."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aio import evaluate
from aio.errors import InputError
from aio.images import Photo, read_photo, write_photo
from aio.inference import sizes
from aio.inference.jobs.run import work_digest
from aio.inference.photos import restore_large, restore_photo
from aio.inference.replicas import Replicated, copy_on, replicate
from aio.inference.settings import Settings
from aio.inference.tiles import restore_image
from aio.restore import main
from inference.local_net import Brightening, Local
from tiny_nets import build

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Noting(Local):
    """Notes the shape of every batch, the ids that came with it and the thread it came in; at most `together` tiles."""

    together = 1 << 30

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.batches, self.told, self.threads = [], [], []

    def forward(self, image, task=None):
        self.batches.append(tuple(image.shape))
        self.told.append(None if task is None else task.tolist())
        self.threads.append((threading.get_ident(), torch.get_num_threads()))
        if len(image) > self.together:
            raise self.fault
        return super().forward(image, task)


def picture(channels, height, width):
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(height * 151 + width))


@settings(max_examples=25)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 200),
    batch=st.integers(2, 6),
    scale=st.sampled_from([1, 2]),
    step=st.sampled_from([1, 3, 8]),
)
def test_batches_of_any_size_change_nothing(height, width, batch, scale, step):
    image = picture(3, height, width)
    alone, together = (Noting(scale=scale, multiple_of=step).eval() for _ in range(2))
    expected = restore_image(alone, image, tile=40, overlap=12, batch=1)
    assert (restore_image(together, image, tile=40, overlap=12, batch=batch) - expected).abs().max() < 1e-6
    assert {shape[0] for shape in alone.batches} == {1}
    assert sum(shape[0] for shape in together.batches) == len(alone.batches)
    assert max(shape[0] for shape in together.batches) <= batch


def test_the_hybrid_stoformer_by_batches_and_copies_is_that_of_the_loop():
    net, image = build("hybrid_stoformer"), picture(3, 70, 200)
    expected = restore_image(net, image, tile=96, batch=1)
    for parallel, batch in ((net, 3), (replicate(net, 2), "auto"), (replicate(net, 3), 5)):
        assert (restore_image(parallel, image, tile=96, batch=batch) - expected).abs().max() < 1e-5


def test_neighbours_in_a_row_go_together_as_they_are_and_are_told_the_task_each():
    net, seen = Noting().eval(), []
    restore_image(
        net, picture(3, 70, 220), task=3, tile=40, overlap=8, batch=4, progress=lambda *done: seen.append(done)
    )
    assert net.batches == [(4, 3, 39, 39), (3, 3, 39, 39), *[(4, 3, 39, 39), (3, 3, 39, 39)]]
    assert net.told == [[3] * 4, [3] * 3] * 2
    assert seen == [(n, 14) for n in range(1, 15)]


def test_tiles_of_other_sizes_go_by_themselves():
    """Tiles of 64 start at multiples of 16, and the image ends three pixels before the last one would."""
    net = Noting(multiple_of=16).eval()
    restore_image(net, picture(3, 40, 157), tile=64, overlap=16, batch=8)
    assert net.batches == [(2, 3, 48, 64), (1, 3, 48, 64)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("of_net", [1, 3])
def test_gray_colour_alpha_strength_and_the_eight_forms_stay(channels, of_net):
    image = picture(channels + 1, 60, 100)
    words = {"tile": 40, "overlap": 12, "alpha": True, "strength": 0.6, "tta": True}
    one, four = (restore_image(Local(channels=of_net).eval(), image, batch=batch, **words) for batch in (1, 4))
    assert (one - four).abs().max() < 1e-6
    assert torch.equal(four[-1], image[-1])


def test_every_tile_of_a_batch_gets_its_own_tones():
    image = picture(4, 90, 130)
    one, four = (restore_image(Brightening().eval(), image, tile=70, alpha=True, batch=batch) for batch in (1, 4))
    assert (one - four).abs().max() < 1e-6
    assert (one[:3].mean(dim=(1, 2)) - 0.5).abs().max() < 0.01


def test_from_file_to_file_as_in_memory(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    write_photo(Photo(np.random.default_rng(0).random((90, 150, 3), np.float32)), source)
    chosen = Settings(tile=70, batch=3)
    restore_large(Local().eval(), source, target, chosen)
    expected = restore_photo(Local().eval(), read_photo(source), chosen).pixels
    assert np.abs(read_photo(target).pixels - expected).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("copies", [1, 2])
def test_a_batch_that_does_not_fit_is_halved_and_no_tile_is_cut(copies, caplog):
    image, net = picture(3, 100, 280), Noting().eval()
    net.together = 2
    parallel = replicate(net, copies)
    expected = restore_image(Local().eval(), image, tile=50, overlap=12)
    words = {"tile": 50, "overlap": 12, "batch": 7 * copies}
    assert (restore_image(parallel, image, **words) - expected).abs().max() < 1e-6
    assert "tiles at once do not fit into memory: going on with" in caplog.text
    assert len({shape[2:] for shape in net.batches}) == 1
    failed = sum(shape[0] > 2 for shape in net.batches)
    assert 1 <= failed <= 2
    caplog.clear()
    restore_image(parallel, image, **words)
    assert sum(shape[0] > 2 for shape in net.batches) == failed  # what fits is remembered
    assert not caplog.records


def test_copies_share_the_weights_the_batch_and_the_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        net = Noting().eval()
        parallel = replicate(net, 2)
        assert torch.get_num_threads() == 4
        with torch.inference_mode():
            parallel(torch.rand(5, 3, 9, 9), torch.arange(5))
            parallel(torch.rand(1, 3, 9, 9))
    finally:
        torch.set_num_threads(before)
    first, second = parallel._copies
    assert first is net
    assert first.batches == [(3, 3, 9, 9), (1, 3, 9, 9)]
    assert second.batches == [(2, 3, 9, 9)]
    assert (first.told[0], second.told[0]) == ([0, 1, 2], [3, 4])
    assert [threads for _, threads in first.threads + second.threads] == [2, 4, 2]
    assert [thread == threading.get_ident() for thread, _ in first.threads] == [False, True]
    weights = zip(first.parameters(), second.parameters(), strict=True)
    assert all(one is not other and one.data_ptr() == other.data_ptr() for one, other in weights)
    assert all(weight.requires_grad for weight in net.parameters())


def test_the_work_of_all_copies_has_ended_when_one_fails():
    class Slow(Local):
        done = 0

        def forward(self, image, task=None):
            if image[0, 0, 0, 0] == 0:
                raise RuntimeError("no good")
            time.sleep(0.1)
            type(self).done += 1
            return image

    with pytest.raises(RuntimeError, match="no good"):
        replicate(Slow().eval(), 2)(torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)]))
    assert Slow.done == 1


def test_mixed_precision_reaches_the_threads():
    parallel, image = replicate(Local().eval(), 2), torch.rand(2, 3, 9, 9)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(parallel(image), torch.cat([parallel(part) for part in image.split(1)]))
        assert parallel(image).dtype == torch.bfloat16


def test_a_copy_stands_for_its_net():
    net = Local(scale=2, channels=1, multiple_of=4).eval()
    parallel = replicate(net, 2)
    assert isinstance(parallel, Replicated)
    assert (parallel.scale, parallel.in_channels, parallel.multiple_of, parallel.training) == (2, 1, 4, False)
    assert replicate(net, 1) is net
    assert not isinstance(copy_on(parallel, CPU), Replicated)


def test_more_copies_than_devices_are_refused(monkeypatch):
    class Away(Local):
        where = "meta"

        def parameters(self, recurse=True):
            yield type("weight", (), {"device": torch.device(self.where)})

    with pytest.raises(InputError, match=r"--replicas 2: expected 1 on meta"):
        replicate(Away(), 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    Away.where = "cuda:1"
    with pytest.raises(InputError, match=r"--replicas 3: there are 2 GPUs"):
        replicate(Away(), 3)


def test_auto_is_one_for_each_copy_and_fills_a_gpu_with_small_tiles(monkeypatch):
    net = Local().eval()
    monkeypatch.setattr(sizes, "affordable_pixels", lambda net, device: 512**2)
    for parallel, copies in ((net, 1), (replicate(net, 3), 3)):
        assert sizes.batch_size(parallel, "auto", (64, 64), CPU) == copies
        assert sizes.batch_size(parallel, "auto", (128, 64), CUDA) == 32 * copies
        assert sizes.batch_size(parallel, "auto", (2048, 2048), CUDA) == copies
        assert sizes.batch_size(parallel, 7, (128, 64), CUDA) == 7


def test_tiles_that_go_together_are_smaller_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(sizes, "memory_at_hand", lambda device: 2 * 512 * 256**2)
    monkeypatch.setattr(sizes, "bytes_per_pixel", lambda net: 512)
    large = (6000, 4000)
    assert sizes.tile_sides(Local(), "auto", large, CPU) == (256, 256)
    assert sizes.tile_sides(Local(), "auto", large, CPU, batch=4) == (128, 128)
    assert sizes.tile_sides(replicate(Local().eval(), 4), "auto", large, CPU) == (128, 128)


def test_the_batch_is_no_other_work():
    net = Local().eval()
    assert work_digest(net, Settings(batch=4)) == work_digest(net, Settings())
    assert work_digest(net, Settings(tile=80)) != work_digest(net, Settings())


@pytest.mark.parametrize("words", [["--tile_batch", "0"], ["--tile_batch", "many"], ["--replicas", "0"]])
def test_words_that_make_no_sense_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        main(["a.png", "-o", "out", *words])
    assert f"argument {words[0]}: '{words[1]}': expected a whole number above 0" in capsys.readouterr().err


def test_processes_and_workers_have_one_net_each():
    with pytest.raises(InputError, match=r"--replicas 2: expected 1 with --engine ray"):
        main(["a.png", "-o", "out", "--engine", "ray", "--replicas", "2"])
    with pytest.raises(InputError, match=r"--replicas 2: expected 1 with --processes 3"):
        evaluate.main(["--clean_dir", "a", "--degraded_dir", "b", "--processes", "3", "--replicas", "2"])
