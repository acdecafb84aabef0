"""Runs every bench and writes RESULTS.md beside it. `python bench/all.py`"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

from aio.files import write_text

_HERE = Path(__file__).parent
_BENCHES = {
    "nets.py": "Inference of Restormer against its straightforward formulation",
    "stoformer.py": "Stoformer's evaluation over all window offsets against loops over them",
    "blocks.py": "What each part of the LoRA-gated Restormer costs in one block",
    "metrics.py": "What measuring costs beside restoring",
    "fit.py": "Where the time of the demo's training goes, and what its safety costs",
    "data.py": "Training samples against a straightforward loader, CPU milliseconds of one process and thread",
    "startup.py": "How long 100,000 files take to be found and checked",
    "restore.py": "Photographs from 1 to 256 megapixels, from file to file",
    "patches.py": "Patches of an image one after another, in batches, and shared among copies of the net",
    "jobs.py": "What a folder of many small photographs costs beside the net",
}


def main() -> None:
    sections = [
        "# Measured",
        f"{date.today()}, {os.cpu_count()} CPU cores ({platform.machine()}), torch {torch.__version__}. "
        "Machines differ: what counts are the ratios within one run.",
    ]
    for script, title in _BENCHES.items():
        ran = subprocess.run([sys.executable, _HERE / script], capture_output=True, text=True, check=True)
        table = "\n".join(line for line in ran.stdout.splitlines() if line.startswith("|") or not line).strip()
        sections += [f"## {title}", f"`python bench/{script}`", table]
    write_text(_HERE / "RESULTS.md", "\n\n".join(sections) + "\n")


if __name__ == "__main__":
    main()
