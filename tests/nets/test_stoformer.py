"""Stoformer: the official release, and its one-pass expectation against definitions."""

import pytest
import torch

from aio.nets.base import count_parameters, restore_any_size
from aio.nets.stoformer import ALL_OFFSETS, FAST_OFFSETS, StochasticBlock, Stoformer, offsets_of, window_attention
from support import assert_official

TINY = {"dim": 8, "num_blocks": (1, 2, 1, 1, 1)}


def test_equals_the_official_release():
    net = Stoformer()
    assert count_parameters(net) == 50_467_250
    assert_official(net, "stoformer")


def make_block(dim=16, num_heads=2, sharpness=1.0, **arguments):
    """A block whose bias table is not zero and whose scores spread over about 25 times `sharpness`."""
    torch.manual_seed(0)
    block = StochasticBlock(dim, num_heads, **arguments).eval()
    with torch.no_grad():
        block.relative_position_bias_table.normal_(std=2.0)
        for linear in (block.to_q, block.to_kv):
            linear.weight.normal_(std=(sharpness / dim) ** 0.5)
    return block


def naive_loop(block, x, offsets):
    """Project, roll, mask, attend, roll back and project for every offset; then the mean."""
    total = 0
    for offset in offsets:
        bias = block.relative_position_bias_table[block.relative_position_index].permute(2, 0, 1)
        total = total + block.proj(window_attention(block.to_q(x) * block.scale, block.to_kv(x), bias, offset))
    return total / len(offsets)


def dense_attention(q, kv, table, offset):
    """One offset by definition: every pixel looks at every other, and sees those in its window."""
    height, width = q.shape[1:3]
    heads = table.shape[1]
    y, x = (t.flatten() for t in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    together = True
    for axis, shift in ((y, offset[0]), (x, offset[1])):
        window = (axis - shift).div(8, rounding_mode="floor")
        together = together & (window[:, None] == window)
    reach = [(axis[:, None] - axis).clamp(-7, 7) + 7 for axis in (y, x)]
    q, k, v = (t.unflatten(-1, (heads, -1)).flatten(1, 2).transpose(1, 2) for t in (q, *kv.chunk(2, dim=-1)))
    scores = q @ k.transpose(-1, -2) + table[reach[0] * 15 + reach[1]].permute(2, 0, 1)
    out = scores.masked_fill(~together, -torch.inf).softmax(-1) @ v
    return out.transpose(1, 2).flatten(2).unflatten(1, (height, width))


@pytest.mark.parametrize("offset", [(0, 0), (0, 5), (3, 0), (7, 7), (4, 1)])
@pytest.mark.parametrize("size", [(16, 24), (8, 8)])
def test_windows_of_one_offset_end_at_the_border_of_the_map(offset, size):
    torch.manual_seed(1)
    q, kv, table = torch.randn(2, *size, 8), torch.randn(2, *size, 16), torch.randn(225, 2)
    bias = table[StochasticBlock(8, 2).relative_position_index].permute(2, 0, 1)
    expected = dense_attention(q, kv, table, offset)
    torch.testing.assert_close(window_attention(q, kv, bias, offset), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("offsets", [ALL_OFFSETS, FAST_OFFSETS, ((1, 6), (1, 6), (5, 0))], ids=["all", "fast", "three"])
@pytest.mark.parametrize("sharpness", [1.0, 8.0])
def test_one_pass_equals_the_naive_loop_over_offsets(offsets, sharpness):
    block = make_block(sharpness=sharpness)
    x = torch.randn(2, 16, 24, 16)
    with torch.no_grad():
        expected = naive_loop(block, x, offsets)
        torch.testing.assert_close(block.attend(x, offsets), expected, atol=1e-5, rtol=0)


def test_one_pass_in_several_chunks_equals_the_naive_loop():
    block = make_block(num_heads=8)
    x = torch.randn(2, 16, 64, 16)
    with torch.no_grad():
        torch.testing.assert_close(block.attend(x, ALL_OFFSETS), naive_loop(block, x, ALL_OFFSETS), atol=1e-5, rtol=0)


def test_one_pass_has_the_gradients_of_the_naive_loop():
    block = make_block()
    x = torch.randn(1, 16, 16, 16, requires_grad=True)
    wanted = [x, block.relative_position_bias_table, block.to_q.weight, block.to_kv.weight, block.proj.weight]
    ours, expected = (
        torch.autograd.grad(attend(x, ALL_OFFSETS).square().sum(), wanted)
        for attend in (block.attend, lambda x, offsets: naive_loop(block, x, offsets))
    )
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=0)


def test_scores_too_far_apart_for_float32_keep_weights_that_sum_to_one():
    """A window whose best score is hundreds below its neighbour's still has weights that sum to one."""
    block = make_block(sharpness=4000.0)
    with torch.no_grad():
        block.to_kv.weight[16:].zero_()
        block.to_kv.bias[16:].fill_(3.0)
        out = block.attend(torch.randn(1, 16, 16, 16), ALL_OFFSETS)
        torch.testing.assert_close(out, block.proj(torch.full((1, 16, 16, 16), 3.0)), atol=1e-4, rtol=0)


def test_sides_that_are_no_multiple_of_the_window_are_filled_with_zeros():
    torch.manual_seed(2)
    q, kv, table = torch.randn(1, 12, 20, 8), torch.randn(1, 12, 20, 16), torch.randn(225, 2)
    bias = table[StochasticBlock(8, 2).relative_position_index].permute(2, 0, 1)
    wide = [torch.nn.functional.pad(t, (0, 0, 0, 4, 0, 4)) for t in (q, kv)]
    expected = dense_attention(*wide, table, (0, 0))[:, :12, :20]
    torch.testing.assert_close(window_attention(q, kv, bias, (0, 0)), expected, atol=1e-5, rtol=0)
    block, x = make_block(), torch.randn(1, 12, 20, 16)
    with torch.no_grad():
        torch.testing.assert_close(block.attend(x, FAST_OFFSETS), naive_loop(block, x, FAST_OFFSETS), atol=1e-5, rtol=0)


def test_training_draws_one_of_the_offsets_from_the_torch_generator():
    block, x = make_block(), torch.randn(1, 16, 16, 16)
    torch.manual_seed(3)
    drawn = [block.train()(x) for _ in range(4)]
    torch.manual_seed(3)
    offsets = [ALL_OFFSETS[int(torch.randint(64, ()))] for _ in range(4)]
    assert len(set(offsets)) == 4
    for out, offset in zip(drawn, offsets, strict=True):
        block.eval().eval_offsets = (offset,)
        assert torch.equal(out, block(x))


def test_fixed_windows_alternate_train_as_they_evaluate_and_draw_nothing():
    net = Stoformer(**TINY, drop_path_rate=0.0, train_windows="fixed", eval_windows="fixed")
    blocks = net.encoderlayer_1.blocks
    assert [block.train_offsets for block in blocks] == [((0, 0),), ((4, 4),)]
    state, image = torch.get_rng_state(), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        torch.set_rng_state(state)
        trained = net.train()(image)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(trained, net.eval()(image))


def test_offsets_by_name_and_by_pair():
    assert len(set(ALL_OFFSETS)) == 64
    assert len(set(FAST_OFFSETS)) == 9
    assert (offsets_of("all", 1), offsets_of("fast", 1)) == (ALL_OFFSETS, FAST_OFFSETS)
    assert offsets_of([[0, 7], [3, 3]], 0) == ((0, 7), (3, 3))
    for wrong in ("each", [], [(0, 8)], [(-1, 0)]):
        with pytest.raises(ValueError, match="windows are"):
            offsets_of(wrong, 0)


def test_drop_path_grows_to_the_bottleneck_and_mirrors():
    net = Stoformer(dim=8, drop_path_rate=0.18)
    rates = [block.drop_path for block in net.modules() if isinstance(block, StochasticBlock)]
    encoder = [0.01 * i for i in range(19)]
    shallow, middle, deep, deepest = encoder[:1], encoder[1:3], encoder[3:11], encoder[11:]
    decoder = deepest[::-1] + deep[::-1] + middle[::-1] + shallow[::-1]
    assert rates == pytest.approx([*encoder, 0.18, 0.18, *decoder])


def test_drop_path_drops_a_branch_per_image_and_keeps_the_mean():
    block = make_block(drop_path=0.25).train()
    ones = torch.ones(4000, 1, 1, 1)
    dropped = block._drop(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(block.eval()._drop(ones), ones)


def test_any_size_is_padded_outside_and_half_the_width_works():
    net = Stoformer(**TINY, eval_windows="fast").eval()
    with torch.no_grad():
        assert restore_any_size(net, torch.rand(1, 3, 40, 130)).shape == (1, 3, 40, 130)


def test_mixed_precision_stays_near_float32():
    block, x = make_block(), torch.randn(1, 16, 16, 16)
    with torch.no_grad():
        expected = block(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = block(x)
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)


def moved_apart(module, windows, step, margin, size=48):
    """Largest difference, `margin` from the borders, between `module` of a map moved by (row, column) and its own
    result moved by them, over both axes and the diagonal."""
    torch.manual_seed(1)
    x = torch.randn(1, size + step, size + step, 16)
    for block in module.modules():
        if isinstance(block, StochasticBlock):
            block.eval_offsets = windows
    inside = slice(margin, size - margin)
    differences = []
    with torch.no_grad():
        still = module(x[:, :size, :size])
        for down, right in ((0, step), (step, 0), (step, step)):
            moved = module(x[:, down : down + size, right : right + size])
            here, there = (slice(margin + by, size - margin) for by in (down, right))
            back = moved[:, margin : size - margin - down, margin : size - margin - right]
            differences.append((still[:, here, there] - back).abs().max().item())
    assert still[:, inside, inside].std() > 0.1
    return max(differences)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_expectation_over_all_windows_moves_with_the_map_by_any_pixels(step, blocks):
    """Inside the borders, whose windows are smaller: seven pixels of attention and one of LeFF for each block."""
    stage = torch.nn.Sequential(*(make_block() for _ in range(blocks)))
    assert moved_apart(stage, ALL_OFFSETS, step, margin=8 * blocks) < 1e-5
    assert moved_apart(stage, ALL_OFFSETS, step, margin=0) > 1e-3  # but not at the borders


@pytest.mark.parametrize("windows", [((0, 0),), ((4, 4),), FAST_OFFSETS], ids=["one", "another", "nine"])
def test_fewer_windows_move_with_the_map_by_eight_pixels_alone(windows):
    block = make_block()
    assert moved_apart(block, windows, 8, margin=8) < 1e-5
    assert moved_apart(block, windows, 1, margin=8) > 1e-2
