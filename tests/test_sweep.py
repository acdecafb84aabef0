"""`aio sweep`: the grid of W&B's files, runs that go on where they stopped, and the table of their scores."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import signal
import statistics
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aio.commands import run as run_command
from aio.errors import InputError
from aio.nets.restormer import Restormer
from aio.presets import conf_dir, net_preset
from aio.sweep import main
from aio.sweeps import local
from aio.sweeps.check import parse
from aio.sweeps.grid import Run, expand, read_sweep
from aio.sweeps.local import fit_words
from aio.sweeps.plan import locked
from aio.sweeps.plot import draw_plot
from aio.sweeps.results import note
from aio.sweeps.table import collect, to_csv, to_markdown, write_tables
from aio.weights import build_net

CONF = conf_dir()
SWEEPS = sorted((CONF / "sweep").glob("*.yaml"))
EACH_SWEEP = pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
COMMAND = ["${env}", "${interpreter}", "-m", "${program}", "--devices=1", "${args}"]
GATES = {"loss_type": {"values": ["l1", "l2"]}, "seed_everything": {"values": [0, 1]}, "lr": {"value": 1e-3}}


def write_sweep(path: Path, **changes: Any) -> Path:
    sweep = {"program": "aio.fit", "command": COMMAND, "method": "grid", "parameters": GATES, **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in sweep.items() if value is not None}, sort_keys=False))
    return path


def grid(path: Path) -> list[Run]:
    return expand(path, read_sweep(path))


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        run_command(main, argv)
    assert ended.value.code == 2
    return capsys.readouterr().err


# ---- the grid


@settings(max_examples=30)
@given(
    sizes=st.dictionaries(
        st.sampled_from(["lr", "epochs", "model.net.init_args.gate", "seed_everything"]),
        st.lists(st.one_of(st.integers(), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=3, unique=True),
        min_size=1,
    )
)
def test_the_grid_is_the_product_of_all_values(sizes, tmp_path_factory):
    """Written as W&B writes them, each combination once."""
    path = tmp_path_factory.mktemp("sweep") / "s.yaml"
    runs = grid(write_sweep(path, parameters={name: {"values": values} for name, values in sizes.items()}))
    expected = [
        {f"--{name}={value}" for name, value in zip(sizes, row, strict=True)}
        for row in itertools.product(*sizes.values())
    ]
    found = [set(run.words) - {"--devices=1"} for run in runs]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))
    assert len({run.name for run in runs}) == len(runs)


def test_runs_are_named_after_what_varies_and_come_seed_by_seed(tmp_path):
    runs = grid(write_sweep(tmp_path / "s.yaml"))
    assert [run.name for run in runs] == [f"loss_type={kind}-seed{seed}" for seed in (0, 1) for kind in ("l1", "l2")]
    assert runs[0].words == ("--devices=1", "--loss_type=l1", "--seed_everything=0", "--lr=0.001")
    (single,) = grid(write_sweep(tmp_path / "one.yaml", parameters={"lr": {"value": 1}}))
    assert (single.name, single.seed) == ("one", None)


@EACH_SWEEP
def test_wandb_takes_the_file(path):
    """Its agent's code makes the same command lines of the same combinations."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load(path.read_text())
    assert set(sweep) == {"program", "command", "project", "method", "metric", "parameters"}
    names = list(sweep["parameters"])
    ours = {frozenset(run.words) for run in grid(path)}
    theirs = set()
    for row in itertools.product(*(parameter["values"] for parameter in sweep["parameters"].values())):
        arguments = {name: {"value": value} for name, value in zip(names, row, strict=True)}
        filled = {"${env}": [], "${interpreter}": [], "${program}": [sweep["program"]]}
        filled["${args}"] = create_sweep_command_args({"args": arguments})["args"]
        words = [word for part in create_sweep_command(sweep["command"]) for word in filled.get(part, [part])]
        assert words[:2] == ["-m", "aio.fit"]
        theirs.add(frozenset(words[2:]))
    assert ours == theirs


def test_wandb_has_the_same_grids():
    sweeps = pytest.importorskip("sweeps", reason="W&B's own schema and grid are a package of their own")
    for path in SWEEPS:
        sweep, told, found = yaml.safe_load(path.read_text()), [], set()
        assert sweeps.schema_violations_from_proposed_config(sweep) == []
        while (proposed := sweeps.next_run(sweep, told)) is not None:
            proposed.state = sweeps.RunState.finished
            told.append(proposed)
            found.add(frozenset(f"--{name}={value['value']}" for name, value in proposed.config.items()))
        assert found == {frozenset(run.words) - set(sweep["command"]) for run in grid(path)}


@EACH_SWEEP
def test_a_sweep_says_what_it_asks_costs_and_both_commands(path):
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert "?" in header.splitlines()[0]
    needed = ("Cost: ", f"wandb sweep conf/sweep/{path.name}", f"python -m aio.sweep conf/sweep/{path.name} --local")
    assert all(words in header for words in needed)
    assert f"{len(grid(path))} runs" in header
    assert {run.seed for run in grid(path)} == {"0", "1", "2"}


@cache
def configs_of(path: Path) -> dict[str, dict[str, Any]]:
    """What `aio fit` makes of every variant, by its name."""
    with contextlib.chdir(CONF.parent):
        return {run.variant: parse(fit_words(run, [], Path("out"))) for run in grid(path) if run.seed == "0"}


@EACH_SWEEP
def test_every_variant_is_a_training_of_its_own(path):
    configs = list(configs_of(path).values())
    assert all(config["wblogger"] is None and config["data"]["trainset"] is None for config in configs)
    dims = {config["model"]["net"]["init_args"]["dim"] for config in configs}
    batches = {config["data"]["batch_size"] for config in configs}
    assert (dims, batches) == (({10, 12}, {4}) if path.stem == "equal_time" else ({12}, {8}))
    texts = {json.dumps({**config, "run_dir": ""}, default=str, sort_keys=True) for config in configs}
    assert len(texts) == len(configs)


def test_the_components_go_from_plain_restormer_to_all_parts():
    """Each variant changes one thing of the one before it; low rank: its kind, and its rank beside it."""
    configs = list(configs_of(CONF / "sweep" / "components.yaml").values())
    arguments = [config["model"]["net"]["init_args"] for config in configs]
    tiny = net_preset("lora_restormer_tiny")["init_args"]
    assert tiny.items() <= arguments[1].items()  # the gate alone
    changed = [{key for key in a if a[key] != b[key]} for a, b in itertools.pairwise(arguments)]
    low_rank = {"lora", "lora_ratio_ffn"}
    assert changed == [{"gate"}, low_rank, {"use_dfrg"}, {"use_experts"}, {"use_csff"}, set()]
    assert [config["loss"]["edge_weight"] for config in configs] == [0] * 6 + [0.05]


def test_their_first_is_restormer_bit_for_bit():
    net = build_net(configs_of(CONF / "sweep" / "components.yaml")["restormer"]["model"]["net"], "first")
    plain = Restormer(dim=12, num_blocks=(1, 1, 1, 2), num_refinement_blocks=1)
    plain.load_state_dict(net.state_dict())
    image = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(net(image), plain(image))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no parameters": ({"parameters": None}, "not a sweep file"),
    "other method": ({"method": "bayes"}, "method 'bayes'"),
    "other key": ({"methods": "grid"}, "unknown key 'methods'"),
    "a range": ({"parameters": {"lr": {"min": 0, "max": 1}}}, "parameter lr {'min': 0, 'max': 1}: expected value"),
    "no values": ({"parameters": {"lr": {"values": []}}}, "parameter lr"),
    "a list": ({"parameters": ["lr"]}, "parameters ['lr']"),
    "no command": ({"command": None}, "command None: expected a list"),
    "no arguments": ({"command": COMMAND[:-1]}, "with ${args} in it"),
    "other program": ({"program": "train.py"}, "-m train.py --devices=1: expected ${interpreter} -m aio.fit"),
    "other macro": ({"command": [*COMMAND, "${envvar:HOME}"]}, "unknown ${envvar:HOME}"),
    "twins": ({"parameters": {"lr": {"values": [1, 1]}}}, "two runs are named lr=1"),
    "unknown parameter": (
        {"parameters": {"model.depth": {"values": [1, 2]}}},
        "unrecognized arguments: --model.depth=1",
    ),
    "bad value": ({"parameters": {"loss_type": {"values": ["l1", "l3"]}}}, "--loss_type l3"),
    "no such variant": ({"parameters": {"config": {"values": ["gone.yaml"]}}}, "gone.yaml"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_files_are_refused_before_any_run(fault, tmp_path, capsys):
    changes, says = FAULTS[fault]
    path = write_sweep(tmp_path / "s.yaml", **changes)
    message = refused([str(path), "--local", "--out", str(tmp_path / "out")], capsys)
    assert message.startswith(f"error: {path}: ")
    assert says in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "says"), [(None, "no such file"), ("a: [", "not YAML"), ("- 1", "not a sweep file")])
def test_what_is_no_sweep_file_is_named(text, says, tmp_path):
    path = tmp_path / "s.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"s\.yaml: {says}"):
        read_sweep(path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--loss_type", "l1"], "--loss.loss_type: the sweep sets it"),
        (["--seed_everything=3"], "--seed_everything: the sweep sets it"),
        (["--ckpt_dir", "x"], "--run_dir: every run has its own; expected --out"),
        (["--resume_from", "last"], "--resume_from: every run has its own"),
        (["--epochs", "many"], "--epochs many: expected a whole number"),
        (["--depth", "2"], "--depth"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, says, tmp_path, capsys):
    path = write_sweep(tmp_path / "s.yaml")
    assert says in refused([str(path), "--local", "--out", str(tmp_path / "out"), *options], capsys)
    assert not (tmp_path / "out").exists()


def test_an_option_that_makes_two_variants_one_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(CONF.parent)
    variants = [f"conf/sweep/components/{name}.yaml" for name in ("csff", "mixed_loss")]
    command = [*COMMAND[:-1], "--config=conf/sweep/base/demo.yaml", "${args}"]
    path = write_sweep(tmp_path / "s.yaml", command=command, parameters={"config": {"values": variants}})
    message = refused([str(path), "--local", "--out", str(tmp_path / "out"), "--edge_weight", "0"], capsys)
    assert "csff and mixed_loss are the same training" in message


def test_without_local_it_says_how_to_start(tmp_path, capsys):
    path = write_sweep(tmp_path / "s.yaml")
    message = refused([str(path)], capsys)
    assert f"aio sweep {path} --local" in message
    assert f"wandb sweep {path}" in message


def test_a_dry_run_lists_commands_and_writes_nothing(tmp_path, capsys):
    path = write_sweep(tmp_path / "s.yaml")
    assert main([str(path), "--local", "--dry_run", "--out", str(tmp_path / "out"), "--batch_size", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "4 runs"
    words = "--devices=1 --loss_type=l1 --seed_everything=0 --lr=0.001 --wblogger=null --batch_size 2"
    folder = tmp_path / "out" / "runs" / "loss_type=l1-seed0"
    assert said[:2] == [folder.name, f"  python -m aio.fit {words} --ckpt_dir={folder}"]
    assert [file.name for file in tmp_path.iterdir()] == ["s.yaml"]


# ---- running it, with a stand-in for `aio fit` that keeps to its rules and takes no time

STAND_IN = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent
folder = pathlib.Path(next(w for w in sys.argv if w.startswith("--ckpt_dir=")).partition("=")[2])
resumed = "--resume_from=last" in sys.argv
with (here / "calls").open("a") as calls:
    calls.write(folder.name + (" resumed" if resumed else "") + chr(10))
assert (folder / "last.ckpt").exists() if resumed else not (folder / "config.yaml").exists()
folder.joinpath("config.yaml").touch()
fate = json.loads((here / "fates").read_text()).get(folder.name, 20)
print("first words", "last words", sep=chr(10))
if fate == "stopped late":
    folder.joinpath("last.ckpt").touch()
    folder.joinpath("scores.csv").write_text("degradation,psnr,ssim" + chr(10) + "mean,1,0" + chr(10))
if isinstance(fate, str) and fate != "no scores":
    sys.exit(9)
folder.joinpath("metrics.csv").write_text("cost/parameters,cost/gmacs" + chr(10) + "7,0.5" + chr(10))
if fate != "no scores":
    rows = ["degradation,psnr,ssim", f"derain,{fate},0.5", f"mean,{fate},0.5"]
    folder.joinpath("scores.csv").write_text(chr(10).join(rows) + chr(10))
"""


class Ground:
    """A sweep of two variants and two seeds whose runs meet their fates: a PSNR, or what goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.file, self.out, self.folder = write_sweep(folder / "s.yaml"), folder / "out", folder
        (folder / "stand_in.py").write_text(STAND_IN)

    def sweep(self, *options: str, **fates: Any) -> int:
        named = {key.replace("_", "-").replace("l", "loss_type=l", 1): fate for key, fate in fates.items()}
        (self.folder / "fates").write_text(json.dumps(named))
        (self.folder / "calls").write_text("")
        return main([str(self.file), "--local", "--out", str(self.out), *options])

    @property
    def calls(self) -> list[str]:
        return [line.removeprefix("loss_type=") for line in (self.folder / "calls").read_text().splitlines()]

    @property
    def table(self) -> list[dict[str, str]]:
        with (self.out / "ablation.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr("aio.sweep.check_runs", lambda *_: None)  # other tests have it refuse
    monkeypatch.setattr(local, "FIT", (sys.executable, str(tmp_path / "stand_in.py")))
    return Ground(tmp_path)


ALL = ["l1-seed0", "l2-seed0", "l1-seed1", "l2-seed1"]


def test_it_runs_every_combination_and_writes_the_table(ground, capsys):
    assert ground.sweep(l1_seed0=20, l1_seed1=22, l2_seed0=21, l2_seed1=21) == 0
    assert ground.calls == ALL
    assert [(row["variant"], row["seeds"], row["psnr_mean"]) for row in ground.table] == [
        ("loss_type=l1", "2", "21.0"),
        ("loss_type=l2", "2", "21.0"),
    ]
    assert float(ground.table[0]["psnr_std"]) == pytest.approx(2**0.5)
    said = capsys.readouterr().out
    assert "[4/4] loss_type=l2-seed1: 21.00 dB" in said
    assert "| loss_type=l1 | 2 | 21.00 ± 1.41 |" in said
    with Image.open(ground.out / "ablation.png") as plot:
        assert plot.format == "PNG"


def test_what_is_finished_is_not_run_again(ground):
    assert ground.sweep() == 0
    before = (ground.out / "ablation.csv").read_text()
    assert ground.sweep() == 0
    assert ground.calls == []
    assert (ground.out / "ablation.csv").read_text() == before


def test_what_was_stopped_goes_on(ground):
    """From its checkpoint where it has one, for scores alone do not make a run finished; else from its start."""
    assert ground.sweep(l2_seed0="stopped late", l1_seed1="stopped early") == 1
    note(ground.out / "runs" / "loss_type=l2-seed0", 1000.0, finished=False)
    note(ground.out / "runs" / "loss_type=l1-seed1", 1000.0, finished=False)
    assert [row["seeds"] for row in ground.table] == ["1", "1"]
    assert ground.sweep() == 0
    assert ground.calls == ["l2-seed0 resumed", "l1-seed1"]
    l1, l2 = (float(row["seconds"]) for row in ground.table)
    assert l1 < 100 < 500 < l2 < 600  # the mean of two runs, of which only the one that went on took a thousand


def test_a_failed_run_is_shown_and_stops_no_other(ground, capsys):
    assert ground.sweep(l1_seed0="failed", l2_seed1="no scores") == 1
    assert ground.calls == ALL
    said = capsys.readouterr()
    assert "loss_type=l1-seed0: failed: exit code 9. The end of" in said.out
    assert "last words" in said.out
    assert "scores.csv: no such file" in said.out
    assert "2 of 4 runs failed: loss_type=l1-seed0, loss_type=l2-seed1" in said.err
    assert "| loss_type=l1 | 1 of 2, incomplete | 20.00 | 0.5000 | 20.00 | 7 | 0.50 |" in said.out


def test_two_at_a_time_give_the_same_table(ground):
    fates = {"l1_seed0": 20, "l1_seed1": 22.5, "l2_seed0": 21, "l2_seed1": 27}
    assert ground.sweep("--jobs", "2", **fates) == 0
    assert sorted(ground.calls) == sorted(ALL)
    assert [float(row["psnr_mean"]) for row in ground.table] == [21.25, 24]


def test_a_folder_of_another_sweep_is_refused(ground, tmp_path, capsys):
    variant = tmp_path / "variant.yaml"
    variant.write_text("trainer: {max_epochs: 3}\n")
    ground.sweep("--config", str(variant))
    argv = [str(ground.file), "--local", "--out", str(ground.out)]
    assert f"holds a sweep with --config {variant}, and not with no options" in refused(argv, capsys)
    variant.write_text("trainer: {max_epochs: 4}\n")
    assert f"{variant} has changed since" in refused([*argv, "--config", str(variant)], capsys)
    other = write_sweep(tmp_path / "other.yaml", parameters={"lr": {"values": [1e-3, 1e-4]}})
    assert f"holds the sweep of {ground.file} and not of {other}" in refused([str(other), *argv[1:]], capsys)
    write_sweep(ground.file, parameters={"lr": {"values": [1e-3, 1e-4]}})
    assert f"holds the sweep of {ground.file} as it was before it changed" in refused(argv, capsys)
    assert ground.calls == ALL


def test_a_folder_of_something_else_is_refused(ground, capsys):
    ground.out.mkdir()
    (ground.out / "letter.txt").touch()
    assert "holds something else" in refused([str(ground.file), "--local", "--out", str(ground.out)], capsys)


def test_two_sweeps_do_not_share_a_folder(ground, capsys):
    with locked(ground.out) as lock:
        held = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
    try:
        message = refused([str(ground.file), "--local", "--out", str(ground.out)], capsys)
    finally:
        held.kill()
        held.wait()
    assert "another sweep, or a run that outlived one" in message
    assert ground.sweep() == 0


# ---- the table


def plant_run(folder: Path, scores: dict[str, tuple[float, float]], *, seconds: float, cost: tuple[int, float]) -> None:
    """A finished run whose mean over the degradations is that of `scores`."""
    mean = tuple(statistics.mean(values) for values in zip(*scores.values(), strict=True))
    rows = [f"aio,{task},{psnr!r},{ssim!r}" for task, (psnr, ssim) in {**scores, "mean": mean}.items()]
    folder.mkdir(parents=True)
    (folder / "scores.csv").write_text("\n".join(["protocol,degradation,psnr,ssim", *rows]))
    (folder / "metrics.csv").write_text(f"cost/parameters,cost/gmacs,step\n,,0\n{cost[0]},{cost[1]},0\n")
    note(folder, seconds, finished=True)


def test_the_table_is_the_statistics_of_its_runs(tmp_path):
    runs = [Run(variant, seed, ()) for seed in "012" for variant in ("plain", "gate", "none")]
    psnr = {"0": (20.5, 26.25), "1": (21.75, 27.0), "2": (19.0, 25.5)}
    for seed, (rain, haze) in psnr.items():
        scores = {"derain": (rain, rain / 40), "dehaze": (haze, haze / 40)}
        plant_run(tmp_path / "runs" / f"plain-seed{seed}", scores, seconds=10 * int(seed), cost=(1234, 2.5))
    plant_run(tmp_path / "runs" / "gate-seed1", {"derain": (30, 0.9), "dehaze": (31, 1)}, seconds=7, cost=(5, 0.125))
    rows = collect(runs, tmp_path)
    write_tables(rows, tmp_path)

    plain, gate, none = csv.DictReader(to_csv(rows).splitlines())
    means = [statistics.mean(values) for values in psnr.values()]
    assert float(plain["psnr_mean"]) == pytest.approx(statistics.mean(means))
    assert float(plain["psnr_std"]) == pytest.approx(statistics.stdev(means))
    assert float(plain["ssim_std"]) == pytest.approx(statistics.stdev(means) / 40)
    assert float(plain["psnr_dehaze"]) == pytest.approx(26.25)
    assert float(plain["ssim_derain"]) == pytest.approx(20.41666666666 / 40)
    assert (plain["parameters"], plain["gmacs"], plain["seconds"]) == ("1234", "2.5", "10.0")
    assert (gate["seeds"], gate["seeds_planned"], gate["psnr_mean"], gate["psnr_std"]) == ("1", "3", "30.5", "")
    assert (none["seeds"], none["psnr_mean"], none["seconds"]) == ("0", "", "")

    lines = to_markdown(rows).splitlines()
    heads = "| variant | seeds | PSNR | SSIM | dehaze | derain | parameters | GMACs | seconds |"
    assert lines[0] == heads
    assert lines[2].startswith("| plain | 3 | 23.33 ± 1.06 | 0.5833 ± 0.0266 | 26.25 | 20.42 | 1,234 | 2.50 | 10 |")
    assert lines[3] == "| gate | 1 of 3, incomplete | 30.50 | 0.9500 | 31.00 | 30.00 | 5 | 0.12 | 7 |"
    assert lines[4] == "| none | 0 of 3, incomplete | – | – | – | – | – | – | – |"
    assert all(line.count("|") == heads.count("|") for line in lines[:5])


def test_the_plot_shows_where_the_means_are():
    """One dark mean per line; the better stands further right, and equal steps are equally far."""
    plot = draw_plot({"a": [20.0], "b": [21.0], "c": [22.0, 22.0], "empty": []})
    dark = [(x, y) for x in range(plot.width) for y in range(plot.height) if plot.getpixel((x, y)) == (31, 78, 140)]
    lines = sorted({y // 56 for _, y in ((x, y - 68) for x, y in dark)})
    assert lines == [0, 1, 2]
    centres = [statistics.mean(x for x, y in dark if (y - 68) // 56 == line) for line in lines]
    assert centres[1] - centres[0] == pytest.approx(centres[2] - centres[1], abs=2)
    assert centres[0] < centres[1]


# ---- the whole


@pytest.mark.slow
def test_a_real_sweep_is_killed_and_goes_on(short_fit, tmp_path):
    parameters = {"use_ema": {"values": [True, False]}, "seed_everything": {"values": [0]}}
    path = write_sweep(tmp_path / "s.yaml", command=[*COMMAND[:4], *short_fit, "${args}"], parameters=parameters)
    command = [sys.executable, "-m", "aio", "sweep", str(path), "--local", "--out", str(tmp_path / "out")]
    first, second = (tmp_path / "out" / "runs" / f"use_ema={value}-seed0" for value in (True, False))
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (second / "output.log").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    started.send_signal(signal.SIGTERM)
    assert "the same command goes on" in started.communicate(timeout=60)[1]
    kept = (first / "last.ckpt").stat().st_mtime_ns

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "1 of 2 runs are finished" in ended.stdout
    assert (first / "last.ckpt").stat().st_mtime_ns == kept
    rows = list(csv.DictReader((tmp_path / "out" / "ablation.csv").read_text().splitlines()))
    for folder, row in zip((first, second), rows, strict=True):
        (mean,) = (
            r for r in csv.DictReader((folder / "scores.csv").read_text().splitlines()) if r["degradation"] == "mean"
        )
        assert (row["psnr_mean"], row["seeds"], row["parameters"]) == (mean["psnr"], "1", "208210")
        assert not (folder / "wandb").exists()
