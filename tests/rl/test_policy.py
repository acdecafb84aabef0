"""Policies as files: whole, checked, and for one net alone."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from aio.errors import InputError
from aio.rl.actions import ACTIONS
from aio.rl.adaptive import net_digest, with_policy
from aio.rl.observation import SIZE
from aio.rl.policy import About, Policy, read_policy, write_policy
from rl.test_actions import tiny

COSTS = [0, 4, 9, 9, 10, 4]


def make_policy(net="net", **changes):
    torch.manual_seed(0)
    policy = Policy(
        About(**{"net": net, "patch_size": 32, "steps": 2, "price": 0.5, "costs": COSTS, "hidden": [8]} | changes)
    )
    policy.mean.normal_()
    policy.deviation.uniform_(0.5, 2)
    return policy.eval()


def rewritten(path, **changes):
    """The file with another header."""
    said = {**json.loads(json.dumps(make_policy().about.__dict__)), **changes}
    save_file(load_file(path), path, {"format": "pt", "aio_policy": json.dumps(said)})


def test_what_is_written_is_read(tmp_path):
    policy, path = make_policy(), tmp_path / "policy.safetensors"
    write_policy(policy, path)
    again = read_policy(path)
    observation = torch.randn(4, SIZE)
    torch.testing.assert_close(again(observation), policy(observation), rtol=0, atol=0)
    assert again.about.price == 0.5
    assert list(again.about.costs) == COSTS
    torch.testing.assert_close(again.shares, torch.tensor([0, 0.4, 0.9, 0.9, 1.0, 0.4]))


def test_values_are_of_the_standardised_observation():
    policy = make_policy()
    observation = torch.randn(3, SIZE)
    expected = policy.values((observation - policy.mean) / policy.deviation)
    torch.testing.assert_close(policy(observation), expected)
    assert policy(observation).shape == (3, len(ACTIONS))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.safetensors: no such file"):
        read_policy(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"no policy at all"])
def test_what_is_no_policy_is_refused(tmp_path, content):
    path = tmp_path / "policy.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"policy\.safetensors: damaged, or no policy"):
        read_policy(path)


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "policy.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="is no policy; expected what"):
        read_policy(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": ["stop", "jump"]}, "is for the actions"),
        ({"costs": [1]}, "is for the actions"),
        ({"hidden": [10**9]}, "names layers of widths"),
        ({"hidden": [9]}, "damaged, or no policy"),
        ({"net": 3}, "of another form"),
        ({"price": "high"}, "of another form"),
        ({"more": 1}, "of another form"),
    ],
)
def test_a_header_of_another_form_is_refused(tmp_path, changes, message):
    path = tmp_path / "policy.safetensors"
    write_policy(make_policy(), path)
    rewritten(path, **changes)
    with pytest.raises(InputError, match=message):
        read_policy(path)


def test_a_policy_is_for_the_weights_that_it_was_trained_with(tmp_path):
    net, path = tiny(), tmp_path / "policy.safetensors"
    write_policy(make_policy(net_digest(net)), path)
    assert with_policy(net, path).policy.about.net == net_digest(net)
    with torch.no_grad():
        next(net.parameters())[0] += 1e-6
    with pytest.raises(InputError, match=r"was trained for the net .* and this one is"):
        with_policy(net, path)
