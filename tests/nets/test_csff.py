"""CSFF against its formula."""

import torch
import torch.nn.functional as F

from aio.nets.csff import CSFF


def test_refined_map_is_gated_and_added():
    torch.manual_seed(0)
    net = CSFF(8)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    encoder, decoder = torch.randn(2, 2, 8, 6, 5)
    first, _, second = net.conv_refine
    shrink, _, grow, _ = net.attention

    def dense(conv, x):
        return torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], x)

    merged = dense(net.conv_merge, torch.cat([encoder, decoder], 1))
    refined = F.conv2d(F.gelu(F.conv2d(merged, first.weight, padding=1)), second.weight, padding=1)
    hidden = F.relu(dense(shrink, refined) + shrink.bias[:, None, None])
    gate = torch.sigmoid(dense(grow, hidden) + grow.bias[:, None, None])
    torch.testing.assert_close(net(encoder, decoder), refined * gate + merged)


def test_starts_as_the_mean():
    encoder, decoder = torch.randn(2, 2, 8, 6, 5)
    torch.testing.assert_close(CSFF(8)(encoder, decoder), (encoder + decoder) / 2)
