"""SymUNet: the official release's outputs and its size rule."""

import pytest
import torch

from aio.nets.base import count_parameters, restore_any_size
from aio.nets.symunet import SymUNet
from support import assert_official

TINY = {"dim": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1], "heads": [1, 2, 4]}


def test_equals_the_official_release():
    net = SymUNet()
    assert count_parameters(net) == 22_288_827
    assert_official(net, "symunet")


def test_pads_by_reflection_to_four_pixels_of_the_bottleneck():
    with torch.device("meta"):
        assert SymUNet().multiple_of == 32
    net = SymUNet(**TINY).eval()
    assert (net.multiple_of, net.pad_mode) == (16, "reflect")
    image = torch.rand(1, 3, 13, 16, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image, (0, 0, 0, 3), mode="reflect")
    torch.testing.assert_close(restore_any_size(net, image), net(padded)[..., :13, :])


@pytest.mark.parametrize("dim", [4, 16])
def test_width_may_be_halved_and_doubled(dim):
    assert SymUNet(**TINY | {"dim": dim, "img_channel": 1})(torch.rand(1, 1, 16, 16)).shape == (1, 1, 16, 16)


@pytest.mark.parametrize("wrong", [{"dec_blk_nums": [1]}, {"heads": [1, 2]}])
def test_levels_which_do_not_match_are_refused(wrong):
    with pytest.raises(ValueError, match="2 levels"):
        SymUNet(**TINY | wrong)
