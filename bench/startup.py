"""How long 100,000 files take to be found and checked, without and with the index. `python bench/startup.py [N]`

Four paired sets of tiny images in a temporary folder; each start is a process of its own, and its imports do not count.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

FILES = 100_000
VAL = 10  # images of each side that validate
SETS = {
    "derain": ("rainy/rain-{}.png", "gt/norain-{}.png"),
    "deblur": ("blur/{}.png", "sharp/{}.png"),
    "lowlight": ("low/{}.png", "high/{}.png"),
    "dehaze": ("hazy/{}_0.8_0.1.png", "clear/{}.png"),
}


def main() -> None:
    if sys.argv[1:2] == ["--start"]:
        start(sys.argv[2])
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder), count)
        print(f"| start over {count:,} files | seconds |\n| --- | ---: |")
        for name in ("the first: every header is read, the index is written", "the second: from the index"):
            words = [sys.executable, __file__, "--start", folder]
            ran = subprocess.run(words, capture_output=True, text=True, check=True)
            print(f"| {name} | {float(ran.stdout.splitlines()[-1]):.2f} |", flush=True)


def start(root: str) -> None:
    """Prints the seconds that `RestorationData.setup` takes."""
    from aio.data.datamodule import RestorationData

    begun = time.perf_counter()
    RestorationData(de_type=list(SETS), data_file_dir=root, patch_size=8).setup()
    print(time.perf_counter() - begun)


def plant(root: Path, count: int) -> None:
    """Writes that many images of 8 x 8 pixels in pairs."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    each = count // (2 * len(SETS))
    for split, number in [("val", number) for number in range(VAL)] + [("train", n) for n in range(each - VAL)]:
        for task, sides in SETS.items():
            for side in sides:
                file = root / split / task / side.format(number)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
