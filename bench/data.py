"""Training samples per second and core: ours against a straightforward loader. `python bench/data.py`

The reference reads as the all-in-one papers' code does (PromptIR and its kin; written here from what it does): decode
both whole files with Pillow, cut them to multiples of 16, take a random crop through a PIL image, one of seven flips
and rotations, NumPy noise where the task is noise, `ToTensor`. Where ours synthesises another degradation, the
reference reads it as pairs: the same photographs, with degraded copies as PNG. Both run through a `DataLoader` in one
process and one thread, in turns. Times are CPU time of the process, medians over the turns; the first pass, which
decodes or maps every image, is shown by itself.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read as torch loads

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from aio.data.cache import DecodedCache
from aio.data.datamodule import RestorationData
from aio.data.degradations import Degrade, Synthesis
from aio.data.demo import demo_photos
from aio.data.filling import fill_store
from aio.data.loader import TrainingLoader
from aio.data.mixture import EpochSampler, Mixture
from aio.data.pairs import FolderPairs, SynthesisedPairs, TaskSource, to_tensor
from aio.data.samples import TrainingSet
from aio.data.seeding import seeded
from aio.data.store import DecodedStore
from aio.images import image_size, read_rgb
from aio.vocabulary import TASK_ID, Degradation

PAIRED: tuple[Degradation, ...] = ("derain", "dehaze", "lowlight")
SIGMAS: dict[Degradation, int] = {"denoise_15": 15, "denoise_25": 25, "denoise_50": 50}
SYNTHESISED: tuple[Degradation, ...] = (
    "denoise_15",
    "denoise_50",
    "derain",
    "dehaze",
    "deblur",
    "lowlight",
    "desnow",
    "low_haze_rain",
)
BATCH = 8
LIMIT = 2**32  # bytes of cache: all that is read stays
PHOTOS = 24  # of which degraded copies are written for the reference
SIDES = (321, 481)  # of the drawn tree's photographs: those of BSD400
FOLDERS = {"derain": ("rainy", "gt"), "dehaze": ("hazy", "clear"), "lowlight": ("low", "high")}


class Straightforward(Dataset[dict[str, object]]):
    """Samples of one task as PromptIR reads them, from `(degraded, clean)` files or `(photo,)` and sigma."""

    def __init__(self, files: Sequence[tuple[Path, ...]], *, task: int, patch_size: int, sigma: int = 0) -> None:
        self.files, self.task, self.patch_size, self.sigma = files, task, patch_size, sigma

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, object]:
        images = [multiple_of_16(np.array(Image.open(path).convert("RGB"))) for path in self.files[index]]
        top, left = (np.random.randint(side - self.patch_size + 1) for side in images[0].shape[:2])
        mode, box = np.random.randint(1, 8), (left, top, left + self.patch_size, top + self.patch_size)
        crops = [augmented(np.array(Image.fromarray(image).crop(box)), mode) for image in images]
        if self.sigma:
            noise = np.random.randn(*crops[0].shape)
            crops.insert(0, np.clip(crops[0] + noise * self.sigma, 0, 255).astype(np.uint8))
        degraded, clean = (unit_tensor(crop) for crop in crops)
        return {"degraded": degraded, "clean": clean, "task": self.task, "name": self.files[index][0].stem}


def multiple_of_16(image: np.ndarray) -> np.ndarray:
    """The centre of `(H, W, 3)` with sides that 16 divides."""
    height, width = image.shape[:2]
    top, left = height % 16 // 2, width % 16 // 2
    return image[top : top + height // 16 * 16, left : left + width // 16 * 16]


def augmented(image: np.ndarray, mode: int) -> np.ndarray:
    turned = np.rot90(image, mode // 2)
    return np.flipud(turned) if mode % 2 else turned


def unit_tensor(image: np.ndarray) -> Tensor:
    """What torchvision's `ToTensor` does."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).contiguous().float().div(255)


def draw_tree(root: Path) -> None:
    """Photographs of scikit-image cut to the size of BSD400's, as JPEG, and pairs of them as PNG."""
    height, width = SIDES
    for photo in demo_photos("train"):
        image = read_rgb(photo)
        for top, left in itertools.product(
            range(0, image.shape[0] - height + 1, height), range(0, image.shape[1] - width + 1, width)
        ):
            name, tile = f"{photo.stem}_{top}_{left}", image[top : top + height, left : left + width]
            _write(root / "train/denoise" / f"{name}.jpg", tile)
            for task in PAIRED:
                degraded, clean = (root / "train" / task / folder / f"{name}.png" for folder in FOLDERS[task])
                _write(clean, tile)
                write_degraded(Synthesis().degrade(task), tile, degraded)


def write_degraded(degrade: Degrade, image: np.ndarray, path: Path) -> None:
    degraded = degrade(to_tensor(image), seeded(0))
    _write(path, (degraded * 255).round().byte().permute(1, 2, 0).numpy())


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


def endless(loader: DataLoader) -> Iterator[object]:
    for epoch in itertools.count():
        getattr(loader.sampler, "set_epoch", lambda epoch: None)(epoch)
        yield from loader


def ours(sources: Sequence[TaskSource], patch_size: int) -> DataLoader:
    sizes = [len(source) for source in sources]
    mixture = Mixture(sizes=sizes, weights=[1.0] * len(sizes), length=1000 * len(sizes), seed=0)
    dataset = TrainingSet(sources, mixture, patch_size, 0)
    sampler = EpochSampler(mixture, batch_size=BATCH)
    return TrainingLoader(dataset, sampler, num_workers=0, batches_done=lambda: 0)


def references(sources: Sequence[TaskSource], copies: Path, patch_size: int) -> DataLoader:
    """Of all `sources` by equal shares, which the field's code reaches by repeating lists."""
    parts = [_reference(source, copies, patch_size) for source in sources]
    repeated = [part for part in parts for _ in range(max(map(len, parts)) // len(part))]
    return DataLoader(ConcatDataset(repeated), batch_size=BATCH, shuffle=True, drop_last=True)


def _reference(source: TaskSource, copies: Path, patch_size: int) -> Straightforward:
    files = source.files()
    task = TASK_ID[source.task]
    if source.task in SIGMAS:
        return Straightforward(files, task=task, patch_size=patch_size, sigma=SIGMAS[source.task])
    if isinstance(source, SynthesisedPairs):
        files = degraded_copies(source, copies / source.task)
    return Straightforward(files, task=task, patch_size=patch_size)


def degraded_copies(source: SynthesisedPairs, folder: Path) -> list[tuple[Path, ...]]:
    """Pairs for the reference: evenly chosen photographs of `source`, with degraded copies."""
    chosen = source.photos[:: max(1, len(source) // PHOTOS)][:PHOTOS]
    for number, photo in enumerate(chosen):
        if not (folder / f"{number}.png").exists():
            write_degraded(source.degrade, read_rgb(photo), folder / f"{number}.png")
    return [(folder / f"{number}.png", photo) for number, photo in enumerate(chosen)]


def seconds_per_sample(batches: Iterator[object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        next(batches)
    return (time.process_time() - start) / count / BATCH


def compare(name: str, sources: Sequence[TaskSource], copies: Path, options: argparse.Namespace) -> str:
    """A row of the table; the first pass over all images is timed by itself, and left out of what follows."""
    start = time.process_time()
    for source in sources:
        for index in range(len(source)):
            source.stored(index, seeded(0), options.patch_size)
    first_pass = time.process_time() - start
    paths = {path for source in sources for files in source.files() for path in files}
    mebibytes = sum(3 * height * width for height, width in map(image_size, paths)) / 2**20
    mine, other = endless(ours(sources, options.patch_size)), endless(references(sources, copies, options.patch_size))
    seconds_per_sample(mine, 4), seconds_per_sample(other, 1)
    turns = [(seconds_per_sample(other, 2), seconds_per_sample(mine, 16)) for _ in range(options.rounds)]
    their_time, our_time = (1000 * statistics.median(times) for times in zip(*turns, strict=True))
    ratio = statistics.median(theirs / mine for theirs, mine in turns)
    return (
        f"| {name} | {their_time:.2f} | {our_time:.2f} | {1000 / our_time:.0f} | {ratio:.1f} "
        f"| {first_pass:.1f} | {mebibytes:.0f} |"
    )


def rows(root: Path, scratch: Path, options: argparse.Namespace) -> Iterator[str]:
    module = RestorationData(data_file_dir=str(root), de_type=PAIRED, trainset="paired", patch_size=options.patch_size)
    pairs = [source.files() for source in module.sources("train")]
    photos = [
        photo
        for (photo,) in RestorationData(data_file_dir=str(root), de_type=["clean"], patch_size=options.patch_size)
        .sources("train")[0]
        .files()
    ]
    copies = scratch / "copies"

    def paired(cache: DecodedCache) -> list[TaskSource]:
        return [FolderPairs(task=task, pairs=files, cache=cache) for task, files in zip(PAIRED, pairs, strict=True)]

    def synthesised(task: Degradation, cache: DecodedCache) -> SynthesisedPairs:
        return SynthesisedPairs(task=task, photos=photos, degrade=Synthesis().degrade(task), cache=cache)

    for source in paired(DecodedCache(LIMIT)):
        yield compare(f"{source.task}: pairs", [source], copies, options)
    yield compare("all three: pairs", paired(DecodedCache(LIMIT)), copies, options)
    fill_store(root, out=scratch / "store", processes=1)
    store = DecodedStore(scratch / "store", root)
    yield compare("all three: pairs, from the store", paired(DecodedCache(store=store)), copies, options)
    for task in SYNTHESISED:
        how = "noise" if task in SIGMAS else "synthesised, reference reads pairs"
        yield compare(f"{task}: {how}", [synthesised(task, DecodedCache(LIMIT))], copies, options)
    cache = DecodedCache(LIMIT)
    mixed = [*paired(cache), *(synthesised(task, cache) for task in (*SIGMAS, "deblur"))]
    yield compare("AIO-5: three paired, noise and blur synthesised", mixed, copies, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_file_dir", type=Path, help="a data tree; by default photographs of scikit-image")
    parser.add_argument("--patch_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    np.random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = options.data_file_dir or Path(folder) / "tree"
        if options.data_file_dir is None:
            draw_tree(root)
        print("| samples of | reference, ms | ours, ms | a second | times as fast | first pass, s | MiB of pixels |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for row in rows(root, Path(folder), options):
            print(row, flush=True)


if __name__ == "__main__":
    main()
