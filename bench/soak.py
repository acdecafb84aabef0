"""A training under random faults ends as an undisturbed one. `python bench/soak.py [MINUTES] [SEED]` (30, 0)

Trains a tiny net twice on the same drawn images, of which one is damaged, with the same batches poisoned by NaN: once
undisturbed; once killed, terminated and started on a full disk at random, and resumed each time. Prints what was done
to it and what its own files say of it; exits with 1 where weights, average, optimiser or logged numbers differ.
"""

from __future__ import annotations

import csv
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import lightning as L
import numpy as np
import torch
from PIL import Image

from aio.commands import run

_IMAGES: Final = 150  # one damaged image in a hundred would stop the training
_STEPS: Final = 60  # of an epoch
_DAMAGED: Final = "photo007.png"
_FAULTS: Final = ("kill", "kill", "terminate", "full disk")
# with which a process ends; one that is terminated while it still imports has no handler yet
_CODES: Final = {"kill": (-signal.SIGKILL,), "terminate": (143, -signal.SIGTERM), "full disk": (2,)}
_NET: Final = """\
class_path: aio.nets.restormer.Restormer
init_args: {dim: 8, num_blocks: [1, 1, 1, 1], heads: [1, 1, 1, 1], num_refinement_blocks: 1}
"""


class Poison(L.Callback):
    """Makes about one batch in fifty of each epoch NaN, the same ones in every run."""

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: dict[str, Any], batch_idx: int) -> None:
        if is_poisoned(trainer.current_epoch, batch_idx):
            batch["degraded"].fill_(torch.nan)


def is_poisoned(epoch: int, batch: int) -> bool:
    return random.Random(1000 * epoch + batch).random() < 0.02


def train(words: list[str]) -> None:
    """What each of the processes under fault does."""
    from aio.cli import AioCLI

    cli = AioCLI(words)
    cli.trainer.callbacks.insert(0, Poison())
    cli.fit()


def draw_images(root: Path) -> None:
    """Smooth colours; one file whose head and end are right and whose pixels are not."""
    generator = np.random.default_rng(0)
    for split, count in (("train", _IMAGES), ("val", 2)):
        folder = root / split / "denoise"
        folder.mkdir(parents=True)
        for i in range(count):
            small = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"photo{i:03}.png")
    damaged = root / "train" / "denoise" / _DAMAGED
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    damaged.write_bytes(content)


def words_of(home: Path, epochs: int) -> list[str]:
    return f"""--model {home}/tiny.yaml --de_type denoise_25 --data_file_dir {home}/data --epochs {epochs}
        --batch_size 4 --patch_size 32 --data.samples_per_epoch {4 * _STEPS} --num_workers 1 --lr 1e-3
        --perceptual_weight 0 --checkpoint.every_n_steps 7 --trainer.accelerator cpu
        --trainer.enable_progress_bar false""".split()


def start(home: Path, folder: str, epochs: int, *, full: bool = False) -> subprocess.Popen[bytes]:
    """A process of its own session; its words go to `FOLDER.txt`. With `full`, no file may grow beyond 300 KB."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    command = [sys.executable, __file__, "train", *words_of(home, epochs)]
    command += ["--ckpt_dir", str(home / folder), "--resume_from", "auto"]
    with (home / f"{folder}.txt").open("ab") as said:
        return subprocess.Popen(
            command, stdout=said, stderr=said, start_new_session=True, preexec_fn=limit if full else None
        )


def undisturbed(home: Path, folder: str, epochs: int) -> float:
    """Seconds of a training that nobody disturbs."""
    began = time.monotonic()
    if start(home, folder, epochs).wait():
        raise RuntimeError((home / f"{folder}.txt").read_text()[-3000:])
    return time.monotonic() - began


def disturbed(home: Path, epochs: int, *, startup: float, chance: random.Random) -> list[tuple[str, int]]:
    """Trains to the end through faults: each of them, and the code with which the process then ended."""
    happened: list[tuple[str, int]] = []
    while True:
        fault = chance.choice(_FAULTS)
        process = start(home, "disturbed", epochs, full=fault == "full disk")
        try:
            code = process.wait(None if fault == "full disk" else startup * chance.uniform(0.5, 4))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL) if fault == "kill" else process.terminate()
            code = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code == 0:
            return happened
        if code not in _CODES[fault]:
            raise RuntimeError(f"{fault}: exit code {code}\n" + (home / "disturbed.txt").read_text()[-3000:])
        happened.append((fault, code))
        print(
            f"{time.strftime('%H:%M:%S')} {fault}, exit code {code}, {steps_done(home / 'disturbed')} steps", flush=True
        )


def steps_done(folder: Path) -> int:
    last = folder / "last.ckpt"
    return int(torch.load(last, weights_only=True, mmap=True)["global_step"]) if last.is_file() else 0


def differences(ours: Any, theirs: Any, where: str) -> list[str]:
    """Where two checkpoints' contents are not equal to the bit."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        lacking = [f"{where}.{key}" for key in ours.keys() ^ theirs.keys()]
        return lacking + [
            d for key in ours.keys() & theirs.keys() for d in differences(ours[key], theirs[key], f"{where}.{key}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [d for i, pair in enumerate(zip(ours, theirs, strict=True)) for d in differences(*pair, f"{where}.{i}")]
    equal = torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs
    return [] if equal else [where]


def compare(home: Path) -> list[str]:
    """What is not as in the undisturbed run."""
    names = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers", "global_step")
    found: list[str] = []
    for file in ("last.ckpt", "best.ckpt"):
        ours, theirs = (torch.load(home / run / file, weights_only=True) for run in ("disturbed", "undisturbed"))
        found += [d for name in names for d in differences(ours[name], theirs[name], f"{file}: {name}")]
    for file in ("metrics.csv", "skipped.csv"):
        ours, theirs = (rows(home / run / file) for run in ("disturbed", "undisturbed"))
        found += [] if ours == theirs else [file]
    return found


def rows(file: Path) -> list[dict[str, str]]:
    """Without what depends on the clock."""
    with file.open(newline="") as opened:
        read = list(csv.DictReader(opened))
    return [{name: value for name, value in row.items() if not name.startswith("watch/")} for row in read]


def report(home: Path, epochs: int, happened: list[tuple[str, int]]) -> str:
    """Beside each other: what was done, and what the run says of it."""
    faults = Counter(fault for fault, _ in happened)
    poisoned = sum(is_poisoned(epoch, batch) for epoch in range(epochs) for batch in range(_STEPS))
    noted = {row["step"] for row in rows(home / "disturbed" / "skipped.csv")}
    last = torch.load(home / "disturbed" / "last.ckpt", weights_only=True)
    bad = [Path(file).name for file in last["callbacks"]["BadFiles"]["files"]]
    said = (home / "disturbed.txt").read_text(errors="replace")
    unwritten = sum(said.count(f"{file}: not written") for file in ("last.ckpt", "best.ckpt", "model.safetensors"))
    lines = [
        "| fault | done | noted by the run |",
        "| --- | ---: | ---: |",
        f"| SIGKILL | {faults['kill']} | |",
        f"| SIGTERM | {faults['terminate']} | {said.count('SIGTERM: stopped after step')} |",
        f"| full disk | {faults['full disk']} | {unwritten} |",
        f"| batches of NaN | {poisoned} | {len(noted)} |",
        f"| damaged images | 1 | {len(bad)} ({', '.join(bad)}) |",
        f"| steps | {epochs * _STEPS} | {last['global_step']} |",
    ]
    if len(noted) != poisoned or bad != [_DAMAGED]:
        lines.append("| the log is wrong | | |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    if argv[:1] == ["train"]:
        train(argv[1:])
        return 0
    minutes, seed = float(argv[0]) if argv else 30.0, int(argv[1]) if argv[1:] else 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        draw_images(home / "data")
        (home / "tiny.yaml").write_text(_NET)
        short, longer = undisturbed(home, "short", 1), undisturbed(home, "longer", 3)
        an_epoch = max(0.1, (longer - short) / 2)
        epochs = max(3, round(60 * minutes / 4 / an_epoch))  # a start costs as much as some epochs
        print(
            f"{epochs} epochs of {_STEPS} steps, {an_epoch:.1f} s each; a start takes {short - an_epoch:.1f} s",
            flush=True,
        )
        undisturbed(home, "undisturbed", epochs)
        happened = disturbed(home, epochs, startup=short, chance=random.Random(seed))
        found, table = compare(home), report(home, epochs, happened)
    print(table)
    print("\n".join(found) or "Weights, average, optimiser and logged numbers are equal to the bit.")
    return 1 if found or "the log is wrong" in table else 0


if __name__ == "__main__":
    run(main, sys.argv[1:])
