"""Memory: how much a net takes is measured, tiles follow it, and where it runs out smaller ones do the work."""

from __future__ import annotations

import pytest
import torch

from aio.errors import InputError
from aio.inference import sizes, tile
from aio.inference.memory import bytes_per_pixel, is_out_of_memory, memory_at_hand
from aio.inference.replicas import copy_on
from aio.inference.settings import Settings
from aio.inference.tile import TileRestorer
from aio.inference.tiles import restore_image
from inference.local_net import OVERFLOW, Local

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "fault", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(OVERFLOW), MemoryError()], ids=repr
)
@pytest.mark.parametrize("chosen", ["auto", 150])
def test_out_of_memory_makes_smaller_tiles_and_the_same_image(fault, chosen, caplog):
    image = torch.rand(3, 200, 260, generator=torch.Generator().manual_seed(1))
    expected = restore_image(Local().eval(), image, tile="none")
    net = Local(limit=80 * 80).eval()
    net.fault = fault
    seen = []
    out = restore_image(net, image, tile=chosen, progress=lambda *done: seen.append(done))
    assert (out - expected).abs().max() < 1e-5
    assert seen[-1][0] == seen[-1][1]
    assert "do not fit into memory: going on with" in caplog.text
    failed = sum(height * width > 80 * 80 for height, width in net.seen)
    assert failed == len(caplog.records) <= 2  # halved until it fits, and never tried again
    caplog.clear()
    assert (restore_image(net, image) - expected).abs().max() < 1e-5
    assert not caplog.records
    assert sum(height * width > 80 * 80 for height, width in net.seen) == failed


def test_memory_that_runs_out_in_mid_image_does_no_harm():
    image = torch.rand(3, 300, 300, generator=torch.Generator().manual_seed(1))
    net = Local(multiple_of=8).eval()
    expected = restore_image(net, image, tile="none")
    tight = Local(multiple_of=8).eval()

    def less_from_the_sixth_tile_on(module, given):
        module.limit = 72 * 72 if len(module.seen) > 5 else None

    tight.register_forward_pre_hook(less_from_the_sixth_tile_on)
    assert (restore_image(tight, image, tile=120) - expected).abs().max() < 1e-5
    assert max(tight.seen) == (104, 104)
    assert min(tight.seen) <= (64, 64)


def test_what_fits_in_no_way_is_said():
    image = torch.rand(3, 200, 260)
    with pytest.raises(InputError, match=r"not even \d+ x \d+ pixels fit into memory"):
        restore_image(Local(limit=100).eval(), image)
    with pytest.raises(InputError, match="tile none: 260 x 200 pixels do not fit into memory"):
        restore_image(Local(limit=80 * 80).eval(), image, tile="none")


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    net = Local(limit=100).eval()
    net.fault = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        restore_image(net, torch.rand(3, 200, 260))


def test_torch_says_so_in_the_words_that_are_known():
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(failed.value)


def test_a_net_on_another_device_goes_on_with_a_copy_on_the_cpu(monkeypatch, caplog):
    class Away(Local):
        """Claims to lie on a device where nothing fits."""

        def parameters(self, recurse=True):
            yield torch.empty(0, device="meta")

    image, net = torch.rand(3, 70, 60), Away(limit=1).eval()
    monkeypatch.setattr(tile, "copy_on", lambda net, device: Local().eval())
    restorer = TileRestorer(net, Settings())
    with torch.inference_mode():
        monkeypatch.setattr(tile, "_run", lambda net, images, task: net(images))
        assert torch.equal(restorer(image[None])[0], restore_image(Local().eval(), image))
    assert "do not fit into the memory of meta: going on with the CPU" in caplog.text


def test_the_copy_on_the_cpu_is_the_same_net_and_leaves_it_alone():
    net = Local()
    copied = copy_on(net, CPU)
    assert torch.equal(copied(torch.ones(1, 3, 9, 9)), net(torch.ones(1, 3, 9, 9)))
    assert all(weight.requires_grad for weight in net.parameters())
    copied.body[0].weight.zero_()
    assert net.body[0].weight.any()


def test_what_a_net_takes_is_the_sum_of_the_tensors_that_live_together():
    class Known(Local):
        def forward(self, image, task=None):
            first = image.repeat(1, 10, 1, 1)  # 120 bytes a pixel
            second = first + 1
            del first
            return second[:, :3] + second[:, 3:6]  # 12 more

    assert bytes_per_pixel(Known().eval()) == 240


def test_tiles_follow_the_memory_at_hand(monkeypatch):
    class Seeing(Local):
        global_statistics = True

    large = (6000, 4000)
    for megabytes, local, seeing in ((1, 64, 64), (40, 256, 256), (4000, 384, 2048)):
        monkeypatch.setattr(sizes, "memory_at_hand", lambda device, free=2 * megabytes: free << 20)
        monkeypatch.setattr(sizes, "bytes_per_pixel", lambda net: 512)
        assert sizes.tile_sides(Local(), "auto", large, CPU) == (local, local)
        height, width = sizes.tile_sides(Seeing(), "auto", large, CPU)
        assert seeing // 2 <= height <= width
        assert 0.9 * seeing**2 < height * width <= seeing**2
    assert sizes.tile_sides(Seeing(), "auto", (2000, 2000), CPU) == (2000, 2000)
    assert sizes.tile_sides(Local(), "auto", (720, 1280), CPU) == (720, 1280)
    assert sizes.tile_sides(Local(), "none", large, CPU) == large
    assert sizes.tile_sides(Local(), 200, large, CPU) == (200, 200)


def test_a_wide_image_has_low_and_long_tiles(monkeypatch):
    monkeypatch.setattr(sizes, "memory_at_hand", lambda device: 8 << 30)
    rows, columns = sizes.tile_sides(Local(), "auto", (20000, 20000), CPU)
    assert rows < sizes.tile_sides(Local(), "auto", (20000, 2000), CPU)[0]
    assert 0.9 * 384**2 < rows * columns <= 384**2


def test_a_probe_that_does_not_fit_asks_for_the_smallest_tile():
    assert sizes.affordable_pixels(Local(limit=10).eval(), CPU) == 64**2


def test_the_host_has_memory():
    assert 1 << 20 < memory_at_hand(CPU) < 1 << 50


def test_tiles_share_more_where_their_own_statistics_set_them_apart():
    class Seeing(Local):
        global_statistics = True

    assert [sizes.overlap_of(Local(), side) for side in (64, 128, 384, 1024)] == [16, 32, 32, 32]
    assert [sizes.overlap_of(Seeing(), side) for side in (64, 128, 384, 1024)] == [16, 32, 64, 128]
