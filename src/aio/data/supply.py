"""Where the samples of each degradation come from: a tree's pairs, its photographs degraded on the way, or a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from aio.data.cache import DecodedCache
from aio.data.degradations import Synthesis, needs_depth
from aio.data.demo import demo_photos
from aio.data.depth import DepthPairs, depth_maps
from aio.data.discovery import EXPECTED_TREE, Found, Split
from aio.data.dual_pixel import DualPixelPairs
from aio.data.local import LocalFiles
from aio.data.pairs import FolderPairs, SynthesisedPairs, TaskSource
from aio.data.streaming import Stream, StreamCache, is_stream
from aio.errors import InputError
from aio.images import image_size, read_samples
from aio.vocabulary import SCALES, Degradation

_VIEWS_TREE: Final = "ROOT/{train,val}/defocus/{inputC,inputL,inputR,target}/*.png"
Trainset = Literal["demo", "synthetic", "paired", "mixed", "pooled"]


class Supply:
    """The sources of `tasks` below a root, in a stream, or among the demo photographs; nothing is read before it must.

    Args:
        data_file_dir, cache_dir, trainset, synthesis: as `aio.data.datamodule.RestorationData` has them.
        sharers: processes that share this machine's memory for decoded images.

    Attributes:
        stream: what `data_file_dir` streams from; None of a folder.
        local: what lies in the folder; None of a stream, and of the demo.
        size_of: (height, width) of a file, as cheaply as it is known.
    """

    def __init__(
        self,
        *,
        tasks: Sequence[Degradation],
        data_file_dir: str | None,
        cache_dir: str | None,
        trainset: Trainset,
        synthesis: Synthesis,
        stream_cache: StreamCache,
        sharers: int,
    ) -> None:
        self.tasks, self.trainset, self.synthesis = tasks, trainset, synthesis
        self.root = data_file_dir
        streams = data_file_dir is not None and is_stream(data_file_dir)
        self.stream = Stream(data_file_dir, stream_cache) if data_file_dir and streams else None
        self.local = LocalFiles(Path(data_file_dir), cache_dir) if data_file_dir and not streams else None
        known = self.stream or self.local
        self.size_of: Callable[[Path], tuple[int, int]] = known.size_of if known else image_size
        self.cache = DecodedCache(
            sharers=sharers,
            store=self.local.store if self.local else None,
            read=self.stream.read if self.stream else read_samples,
        )
        self._found: dict[Split, Found] | None = None

    def sources(self, split: Split, *, gray: bool, dual_pixel: bool) -> list[TaskSource]:
        """Of all degradations, in their order; where pairs and synthesised samples are pooled, one has two or three.

        Args:
            gray: noise falls on the luma.
            dual_pixel: the degraded side is both views of a dual-pixel camera.

        Raises:
            InputError: there is nothing for a degradation.
        """
        found = self._find()[split]
        if dual_pixel:
            return [self._with_views(task, split, found) for task in self.tasks]
        return [source for task in self.tasks for source in self._sources_of(task, split, found, gray)]

    def _find(self) -> dict[Split, Found]:
        if self._found is None:
            known = self.stream or self.local
            demo: dict[Split, Found] = {
                "train": Found(clean=demo_photos("train")),
                "val": Found(clean=demo_photos("val")),
            }
            self._found = known.found(self.tasks) if known else demo
        return self._found

    def _sources_of(self, task: Degradation, split: Split, found: Found, gray: bool) -> list[TaskSource]:
        pairs = [] if self.trainset in ("demo", "synthetic") else found.pairs.get(task, [])
        sources: list[TaskSource] = [FolderPairs(task=task, pairs=pairs, cache=self.cache)] if pairs else []
        pooled = self.trainset == "pooled" and split == "train"
        if not pairs or (pooled and found.clean):
            sources.append(self._synthesised(task, split, found, gray))
        if pooled:
            sources += self._over_depth(task, [clean for _, clean in pairs], gray)
        return sources

    def _over_depth(self, task: Degradation, photos: Sequence[Path], gray: bool) -> list[TaskSource]:
        """Degrades the clean sides of pairs by their depth, where `task` needs it and it lies beside them."""
        degrade = self.synthesis.degrade(task, gray=gray)
        if not needs_depth(degrade) or not (depths := depth_maps(photos)):
            return []
        return [DepthPairs(task=task, photos=sorted(depths), degrade=degrade, cache=self.cache, depths=depths)]

    def _with_views(self, task: Degradation, split: Split, found: Found) -> TaskSource:
        if self.trainset not in ("paired", "mixed"):
            raise InputError(f"--trainset {self.trainset}: both views of a dual-pixel camera are files, choose paired")
        if not (views := found.views.get(task)):
            raise InputError(f"{self.root}: no {split} views of a dual-pixel camera for {task}; expected {_VIEWS_TREE}")
        return DualPixelPairs(task=task, views=views, cache=self.cache)

    def _synthesised(self, task: Degradation, split: Split, found: Found, gray: bool) -> TaskSource:
        if (self.trainset == "paired" and not _without_pairs(task)) or not found.clean:
            kind = "clean photographs" if _without_pairs(task) else "pairs"
            raise InputError(f"{self.root}: no {split} {kind} for {task}; expected\n{EXPECTED_TREE}")
        degrade = self.synthesis.degrade(task, gray=gray)
        if needs_depth(degrade) and (depths := depth_maps(found.clean)):
            return DepthPairs(task=task, photos=found.clean, degrade=degrade, cache=self.cache, depths=depths)
        return SynthesisedPairs(task=task, photos=found.clean, degrade=degrade, cache=self.cache)


def _without_pairs(task: Degradation) -> bool:
    """Whether the field trains `task` on photographs degraded on the way."""
    return task in ("clean", "jpeg", "realworld", *SCALES) or (task.startswith("denoise") and task != "denoise_real")
