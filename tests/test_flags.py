"""The field's short flags: each means its dotted option, and beats files wherever it stands."""

import importlib
import inspect
import json

import pytest

from aio.errors import InputError
from aio.flags import FLAGS, help_text, translate
from aio.presets import list_presets, net_preset

ROOT_OPTIONS = {"resume_from", "wblogger", "run_dir", "scale_lr", "base_batch"}
OWNERS = {
    "model.net.init_args": "aio.nets.lora_restormer.LoraRestormer",
    "model": "aio.task.RestorationTask",
    "data": "aio.data.datamodule.RestorationData",
    "trainer": "lightning.pytorch.Trainer",
    "adapter": "aio.callbacks.adapt.Adapt",
    "ema": "aio.callbacks.ema.EMA",
    "loss": "aio.callbacks.mixed_loss.MixedLoss",
    "progressive": "aio.callbacks.progressive.Progressive",
    "skip": "aio.callbacks.non_finite.NonFinite",
}
# flag -> the words of the command line, the option they become
EXAMPLES = {
    "model": ("restormer", f"--model.net={json.dumps(net_preset('restormer'))}"),
    "de_type": ("lol derain", '--data.de_type=["lowlight", "derain"]'),
    "trainset": ("paired", "--data.trainset=paired"),
    "data_file_dir": ("a/b", "--data.data_file_dir=a/b"),
    "epochs": ("120", "--trainer.max_epochs=120"),
    "batch_size": ("4", "--data.batch_size=4"),
    "patch_size": ("128", "--data.patch_size=128"),
    "num_workers": ("0", "--data.num_workers=0"),
    "lr": ("2e-4", "--model.lr=0.0002"),
    "warmup_epochs": ("1.5", "--model.warmup_epochs=1.5"),
    "num_gpus": ("2", "--trainer.devices=2"),
    "devices": ("auto", "--trainer.devices=auto"),
    "accum_grad": ("3", "--trainer.accumulate_grad_batches=3"),
    "precision": ("bf16-mixed", "--trainer.precision=bf16-mixed"),
    "gradient_clip_val": ("0.01", "--trainer.gradient_clip_val=0.01"),
    "effective_batch": ("64", "--progressive.effective_batch=64"),
    "scale_lr": ("linear", "--scale_lr=linear"),
    "base_batch": ("32", "--base_batch=32"),
    "max_skipped": ("10", "--skip.max_skipped=10"),
    "use_ema": ("true", "--ema.decay=0.999"),
    "ema_decay": ("0.99", "--ema.decay=0.99"),
    "loss_type": ("l1", "--loss.loss_type=l1"),
    "perceptual_weight": ("0", "--loss.perceptual_weight=0.0"),
    "edge_weight": ("0.1", "--loss.edge_weight=0.1"),
    "frequency_weight": ("0.1", "--loss.frequency_weight=0.1"),
    "use_dfrg": ("false", "--model.net.init_args.use_dfrg=false"),
    "resume_from": ("last", "--resume_from=last"),
    "fine_tune_from": ("net.pth", "--model.fine_tune_from=net.pth"),
    "lora_rank": ("8", "--adapter.rank=8"),
    "wblogger": ("derain", "--wblogger=derain"),
    "ckpt_dir": ("runs/a", "--run_dir=runs/a"),
}


def test_every_flag_has_an_example():
    assert list(EXAMPLES) == [flag.name for flag in FLAGS]


@pytest.mark.parametrize("name", EXAMPLES)
def test_flag_becomes_its_option(name):
    words, option = EXAMPLES[name]
    assert translate([f"--{name}", *words.split()])[-1:] == [option]
    first, *others = words.split()
    assert translate([f"--{name}={first}", *others])[-1:] == [option]


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_option_of_a_flag_exists(flag):
    owner, _, argument = flag.key.rpartition(".")
    if not owner:
        assert argument in ROOT_OPTIONS
        return
    module, _, name = OWNERS[owner].rpartition(".")
    assert argument in inspect.signature(getattr(importlib.import_module(module), name)).parameters


def test_flags_beat_files_wherever_they_stand():
    argv = ["--lr", "1e-3", "--config", "a.yaml", "--trainer.max_steps", "5", "-c", "b.yaml", "--config=c.yaml"]
    assert translate([*argv, "--epochs", "2"]) == [
        "--config=a.yaml",
        "--config=b.yaml",
        "--config=c.yaml",
        "--model.lr=0.001",
        "--trainer.max_steps",
        "5",
        "--trainer.max_epochs=2",
    ]


def test_a_file_comes_after_those_it_builds_on(tmp_path):
    """These lie beside it, whatever the working directory; and each in turn after its own."""
    folder = tmp_path / "deep"
    folder.mkdir()
    files = {"a": tmp_path / "a.yaml", "b": folder / "b.yaml", "c": folder / "c.yaml"}
    files["a"].write_text("model: {lr: 1.0}")
    files["b"].write_text("base: ../a.yaml\nmodel: {net: {class_path: X}}")
    files["c"].write_text("base: [b.yaml, ../a.yaml]")
    done, a, b, c = "--base=null", *(f"--config={tmp_path}/{name}" for name in ("a.yaml", "deep/b.yaml", "deep/c.yaml"))
    again = f"--config={folder}/../a.yaml"
    found = translate(["--lr", "2", "--config", str(files["c"])])
    forget = '--model.net={"class_path": "aio.nets.base.RestorationNet"}'
    assert found == [again, forget, b, done, again, c, done, "--model.lr=2.0"]
    assert translate(["--config", str(files["a"])]) == [a]


@pytest.mark.parametrize(("base", "says"), [("none.yaml", "none.yaml: no such file"), ("c.yaml", "builds on itself")])
def test_a_base_that_cannot_be_is_named(tmp_path, base, says):
    (tmp_path / "c.yaml").write_text(f"base: {base}")
    with pytest.raises(InputError, match=says):
        translate(["--config", str(tmp_path / "c.yaml")])


@pytest.mark.parametrize(
    "words",
    [
        ["derain", "dehaze"],
        ["derain,dehaze"],
        ["['derain', 'dehaze']"],
        ['["derain", "dehaze"]'],
        ["[derain, dehaze]"],
        ["['derain',", "'dehaze']"],
    ],
)
def test_lists_as_people_sweeps_and_yaml_write_them(words):
    expected = ['--data.de_type=["derain", "dehaze"]']
    assert translate(["--de_type", *words]) == expected
    assert translate([f"--de_type={words[0]}", *words[1:]]) == expected


@pytest.mark.parametrize(
    ("word", "value"), [("true", "true"), ("True", "true"), ("1", "true"), ("no", "false"), ("False", "false")]
)
def test_switches(word, value):
    assert translate(["--use_dfrg", word]) == [f"--model.net.init_args.use_dfrg={value}"]


def test_switch_without_a_word_is_on():
    assert translate(["--use_dfrg"]) == ["--model.net.init_args.use_dfrg=true"]


def test_flags_that_refine_another_may_stand_before_it():
    dfrg, model = ["--use_dfrg", "true"], ["--model", "lora_restormer"]
    assert translate([*dfrg, *model]) == translate([*model, *dfrg])
    decay, ema = ["--ema_decay", "0.9"], ["--use_ema", "true"]
    assert translate([*decay, *ema])[-1] == translate([*ema, *decay])[-1] == "--ema.decay=0.9"
    no_ema = ["--use_ema", "false"]
    assert translate([*decay, *no_ema])[-1] == translate([*no_ema, *decay])[-1] == "--ema.decay=0.0"


def test_other_options_pass_as_they_are():
    argv = ["--trainer.devices=2", "--data.val_size", "64", "--print_config", "--data.seed=1", "left"]
    assert translate(argv) == argv
    assert translate([]) == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("--scale_lr cubic", "--scale_lr cubic: choose from none, linear, sqrt"),
        ("--num_gpus 2 --devices 4", "--devices 4: --num_gpus 2 says otherwise of the same option; give one"),
        ("--lr 1e-3 --model.lr=1e-4", "--model.lr 1e-4: --lr 1e-3 says otherwise of the same option; give one"),
        ("--trust", "--trust: expected the name of a package"),
        ("--de_type snow", "--de_type snow: unknown degradation 'snow': choose from .*dehaze.*lol"),
        ("--de_type [snow]", r"--de_type \[snow\]: unknown degradation 'snow': choose from .*dehaze.*lol"),
        ("--de_type", "--de_type nothing: no degradation given: choose from .*derain"),
        ("--trainset all", "--trainset all: choose from demo, synthetic, paired, mixed"),
        ("--loss_type l3", "--loss_type l3: choose from l1, l2, charbonnier"),
        ("--use_ema maybe", "--use_ema maybe: expected true or false"),
        ("--epochs ten", "--epochs ten: expected a whole number"),
        ("--epochs 1.5", "--epochs 1.5: expected a whole number"),
        ("--lr fast", "--lr fast: expected a number"),
        ("--num_gpus 0,1", "--num_gpus 0,1: expected a whole number or auto"),
        ("--epochs 1 2", "--epochs 1 2: expected one value, got 2"),
        ("--epochs", "--epochs nothing: expected one value, got 0"),
        ("--config", "--config: expected a YAML file"),
        ("derain --epochs 1", "unexpected 'derain': options start with --"),
    ],
)
def test_bad_words_name_flag_value_and_expectation(argv, said):
    with pytest.raises(InputError, match=f"^{said}"):
        translate(argv.split())


def test_a_word_said_again_corrects_itself():
    assert translate(["--lr", "1", "--lr", "2"])[-1] == "--model.lr=2.0"
    assert len(translate(["--num_gpus", "2", "--devices", "2"])) == 2


def test_unknown_model_lists_the_presets():
    with pytest.raises(InputError, match=r"^--model restormr: unknown network 'restormr': choose from ") as caught:
        translate(["--model", "restormr"])
    for name in list_presets():
        assert name in str(caught.value)


def test_help_names_every_flag_with_its_purpose():
    lines = help_text().splitlines()
    for flag in FLAGS:
        assert any(line.startswith(f"  --{flag.name} {flag.words} ") and line.endswith(flag.help) for line in lines)
