"""SLURM's side of a training: the job that runs it, by the environment variables which are SLURM's protocol."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable


def requeue(say: Callable[[str], None]) -> None:
    """Has SLURM start this job again, where there is one; `say` is told what came of it."""
    job = _job()
    if job is None:
        return
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    except OSError as error:
        say(f"job {job} is not requeued: {error}")
        return
    say(f"job {job} is requeued" if done.returncode == 0 else f"job {job} is not requeued: {done.stderr.strip()}")


def _job() -> str | None:
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
