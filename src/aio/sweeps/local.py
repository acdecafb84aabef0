"""Runs a grid on this machine: every run a process of its own, resumed where it stopped."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from rich.console import Console

from aio.errors import InputError
from aio.sweeps.grid import Run
from aio.sweeps.results import is_finished, note, read_result, seconds_spent

FIT: Final = (sys.executable, "-m", "aio.fit")
_NOTED_EVERY: Final = 5.0  # seconds; what a kill can lose of a run's time
_TAIL: Final = 15  # lines of a failed run's output


def fit_words(run: Run, options: Sequence[str], out: Path) -> list[str]:
    """The words for `aio fit`: the file's, without its logger to W&B, the user's, and the folder."""
    return [*run.words, "--wblogger=null", *options, f"--ckpt_dir={folder_of(run, out)}"]


def folder_of(run: Run, out: Path) -> Path:
    """The folder of `run` in the sweep folder `out`."""
    return out / "runs" / run.name


class LocalSweep:
    """Runs what is not finished yet, `jobs` at a time.

    Args:
        out: folder of the sweep.
        options: options of `aio fit` for every run.
        jobs: runs at a time.
        lock: file descriptor that the runs inherit, so that they hold the sweep's folder too.
        after: called after every run that ended well.
    """

    def __init__(self, *, out: Path, options: Sequence[str], jobs: int, lock: int, after: Callable[[], None]) -> None:
        self.out, self.options, self.jobs, self.lock, self.after = out, options, jobs, lock, after
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()
        self._console = Console(highlight=False, soft_wrap=True)

    def run(self, runs: Sequence[Run]) -> list[str]:
        """Names of the runs that failed."""
        waiting = [run for run in runs if not is_finished(folder_of(run, self.out))]
        done, failed, start = len(runs) - len(waiting), [], time.monotonic()
        self._console.print(f"{done} of {len(runs)} runs are finished; the others go to {self.out}/runs", markup=False)
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                futures = {pool.submit(self._one, run): run for run in waiting}
                for ended, future in enumerate(as_completed(futures), start=1):
                    run, fault = futures[future], future.result()
                    if fault:
                        failed.append(run.name)
                    else:
                        self.after()
                    said = self._failure(run, fault) if fault else self._success(run)
                    done += not fault
                    left = (time.monotonic() - start) / ended * (len(waiting) - ended)
                    self._console.print(f"[{done}/{len(runs)}] {run.name}: {said}; {clock(left)} left", markup=False)
            except BaseException:
                self._stop(pool)
                raise
        return failed

    def _one(self, run: Run) -> str:
        """Runs `run` to its end; says what went wrong, if anything."""
        folder = folder_of(run, self.out)
        resume = (folder / "last.ckpt").is_file()
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)  # what was stopped before its first checkpoint
        spent, start = seconds_spent(folder), time.monotonic()
        self._console.print(f"{run.name} {'goes on' if resume else 'starts'}", markup=False)
        words = [*fit_words(run, self.options, self.out), *(["--resume_from=last"] if resume else [])]
        note(folder, spent, finished=False)
        with (folder / "output.log").open("ab") as log:
            process = self._started([*FIT, *words], log.fileno())
            while (code := _wait(process)) is None:
                note(folder, spent + time.monotonic() - start, finished=False)
        fault = f"exit code {code}" if code else _incomplete(folder)
        note(folder, spent + time.monotonic() - start, finished=not fault)
        return fault

    def _started(self, command: list[str], log: int) -> subprocess.Popen[bytes]:
        if self._stopping.is_set():
            raise KeyboardInterrupt
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, pass_fds=[self.lock]
        )
        self._processes.append(process)
        return process

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        self._stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            if process.poll() is None:
                process.terminate()

    def _success(self, run: Run) -> str:
        result = read_result(folder_of(run, self.out))
        return f"{result.mean.psnr:.2f} dB in {clock(result.seconds)}"

    def _failure(self, run: Run, fault: str) -> str:
        log = folder_of(run, self.out) / "output.log"
        tail = log.read_text(errors="replace").splitlines()[-_TAIL:]
        return "\n  ".join([f"failed: {fault}. The end of {log}:", *tail]) + "\n "


def _incomplete(folder: Path) -> str:
    try:
        read_result(folder)
    except InputError as error:
        return str(error)
    return ""


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_NOTED_EVERY)
    except subprocess.TimeoutExpired:
        return None


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
