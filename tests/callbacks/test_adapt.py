"""`aio fit --lora_rank`: the base stays to the bit, adapters train, add up, go on, and lie in a file of their own."""

from __future__ import annotations

import pytest
import torch
import yaml

from adapting import same
from aio.adapters import AdaptedNet, LoRA, load_adapters
from aio.cli import AioCLI
from aio.commands import run
from aio.fit import main
from aio.weights import open_net, read_checkpoint

STEADY = ["--lr", "1e-2", "--model.min_lr", "1e-2"]


def adapt(words, checkpoint, folder, *tasks, rank=2):
    lora = ["--fine_tune_from", str(checkpoint), "--lora_rank", str(rank), "--de_type", *tasks]
    return [*words, *STEADY, *lora, "--ckpt_dir", str(folder)]


@pytest.fixture(scope="module")
def adapted_run(finished_run, short_fit, tmp_path_factory):
    """The folder of a fit of two adapters, for reading only."""
    folder = tmp_path_factory.mktemp("runs") / "adapted"
    main(adapt(short_fit, finished_run / "best.ckpt", folder, "derain", "lol"))
    return folder


def adapters_of(state, task=""):
    return {key: value for key, value in state.items() if f"adapters.{task}" in key}


def states(checkpoint):
    """The average and the raw weights."""
    content = read_checkpoint(checkpoint)
    return content["state_dict"], content["current_model_state"]


def refused(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        run(main, argv)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_frozen_weights_stay_to_the_bit_and_adapters_move(finished_run, adapted_run):
    base = read_checkpoint(finished_run / "best.ckpt")["state_dict"]
    for name in ("best.ckpt", "last.ckpt"):
        for state in states(adapted_run / name):
            assert same(state, base)
            assert set(state) - set(base) == set(adapters_of(state))
    for task in ("derain", "lowlight"):
        average, raw = (adapters_of(state, task) for state in states(adapted_run / "last.ckpt"))
        assert any(value.any() for key, value in raw.items() if key.endswith(".B"))
        assert not same(average, raw)


def test_only_adapters_train(finished_run, short_fit, tmp_path):
    cli = AioCLI(adapt(short_fit, finished_run / "best.ckpt", tmp_path / "run", "derain"))
    cli.fit()
    (group,) = cli.trainer.optimizers[0].param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in cli.model.net.adapters.parameters()}
    assert cli.model.tell_task


def test_best_opens_by_itself_and_equals_the_file_on_the_base(finished_run, adapted_run):
    net = open_net(adapted_run / "best.ckpt")
    assert isinstance(net, AdaptedNet)
    assert net.plan == {"derain": LoRA(rank=2, alpha=2.0), "lowlight": LoRA(rank=2, alpha=2.0)}
    file = adapted_run / "adapter.safetensors"
    assert file.stat().st_size < (finished_run / "best.ckpt").stat().st_size / 10
    other = load_adapters(open_net(finished_run / "best.ckpt"), file)
    assert not net.training
    assert not other.training
    assert same(net.state_dict(), other.state_dict())


def test_a_second_fit_adds_an_adapter_beside_the_first(adapted_run, short_fit, tmp_path):
    cli = AioCLI(adapt(short_fit, adapted_run / "best.ckpt", tmp_path, "deblur", rank=3))
    cli.fit()
    trained = {name for name, p in cli.model.net.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in cli.model.net.named_parameters() if "adapters.deblur" in name}
    first, _ = states(adapted_run / "best.ckpt")
    for state in states(tmp_path / "last.ckpt"):
        assert same(state, first)
        assert set(state) - set(first) == set(adapters_of(state, "deblur"))
    net = open_net(tmp_path / "best.ckpt")
    assert {name: lora.rank for name, lora in net.plan.items()} == {"derain": 2, "lowlight": 2, "deblur": 3}


def test_an_adapter_of_the_checkpoint_goes_on_training(adapted_run, short_fit, tmp_path):
    main(adapt(short_fit, adapted_run / "best.ckpt", tmp_path, "derain"))
    first, _ = states(adapted_run / "best.ckpt")
    _, second = states(tmp_path / "last.ckpt")
    assert same(second, adapters_of(first, "lowlight"))
    assert not same(second, adapters_of(first, "derain"))


def test_a_resumed_adaptation_equals_an_uninterrupted_one(finished_run, adapted_run, short_fit, tmp_path):
    main([*adapt(short_fit, finished_run / "best.ckpt", tmp_path, "derain", "lol"), "--epochs", "1"])
    config = ["--config", str(tmp_path / "config.yaml"), "--ckpt_dir", str(tmp_path)]
    main([*config, "--epochs", "2", "--resume_from", "last"])
    ours, theirs = (states(folder / "last.ckpt") for folder in (tmp_path, adapted_run))
    assert same(ours[0], theirs[0])
    assert same(ours[1], theirs[1])
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["adapter"] == {"rank": 2, "alpha": None}


def test_without_an_average_the_raw_weights_are_saved(finished_run, short_fit, tmp_path):
    main([*adapt(short_fit, finished_run / "best.ckpt", tmp_path, "derain"), "--use_ema", "false", "--epochs", "1"])
    net = load_adapters(open_net(finished_run / "best.ckpt"), tmp_path / "adapter.safetensors")
    last = read_checkpoint(tmp_path / "last.ckpt")["state_dict"]
    assert same({f"net.{key}": value for key, value in net.state_dict().items()}, last)


def test_alpha_and_channels_last(finished_run, short_fit, tmp_path):
    words = adapt(short_fit, finished_run / "best.ckpt", tmp_path, "derain")
    main([*words, "--adapter.alpha", "6", "--epochs", "1", "--model.channels_last", "true"])
    net = open_net(tmp_path / "best.ckpt")
    assert net.plan == {"derain": LoRA(rank=2, alpha=6.0)}
    assert same(net.base.state_dict(), open_net(finished_run / "best.ckpt").state_dict())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--lora_rank", "4"], "--lora_rank 4: adapts a trained network; name its checkpoint by --fine_tune_from"),
        (["--lora_rank", "-1", "--fine_tune_from", "{base}"], "--lora_rank -1: expected a whole number"),
        (["--lora_rank", "many"], "--lora_rank many: expected a whole number"),
        (["--lora_rank", "2", "--adapter.alpha", "0", "--fine_tune_from", "{base}"], "alpha 0.0 of an adapter"),
        (["--fine_tune_from", "{adapted}"], "holds adapters for derain, lowlight: train more by --lora_rank"),
        (
            ["--fine_tune_from", "{adapted}", "--lora_rank", "3", "--de_type", "derain"],
            "adapter for derain is LoRA(rank=2, alpha=2.0), but this fit's is LoRA(rank=3, alpha=3.0)",
        ),
        (
            ["--resume_from", "{adapted}", "--lora_rank", "0", *STEADY],
            "best.ckpt: holds adapters; go on by its run's --config",
        ),
    ],
)
def test_what_cannot_be_adapted_is_refused(finished_run, adapted_run, short_fit, tmp_path, capsys, words, says):
    files = {"base": finished_run / "best.ckpt", "adapted": adapted_run / "best.ckpt"}
    argv = [*short_fit, "--ckpt_dir", str(tmp_path / "run"), *(word.format_map(files) for word in words)]
    assert says in refused(argv, capsys)
    assert not (tmp_path / "run").exists()


def test_a_plan_in_a_checkpoint_is_read_with_care(adapted_run, tmp_path):
    content = read_checkpoint(adapted_run / "best.ckpt")
    content["hyper_parameters"]["adapters"] = {"derain": {"rank": "many"}}
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(ValueError, match=r"odd\.ckpt: rank 'many' of an adapter"):
        open_net(tmp_path / "odd.ckpt")
