"""The page itself: what stands where, and what follows upon a click."""

from __future__ import annotations

import html
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import gradio as gr
import torch

from aio.errors import InputError
from aio.inference.settings import Settings, Tile
from aio.nets.base import RestorationNet
from aio.page.examples import Example
from aio.page.words import NAMES, duration, facts, message
from aio.page.work import look_at, restore_upload, told_degradations
from aio.vocabulary import TASK_ID, one_degradation

AUTO: Final = "auto"
_TILES: Final = ["auto", "none", "128", "256", "512", "1024"]
_AN_HOUR, _A_DAY = 3600, 86400  # seconds: how often files are looked through, and how old they may become
_NO_PHOTO: Final = '<p class="empty">Before and after appear here.</p>'
_TITLE: Final = "<h1>Restore a photograph</h1><p>{net} on this machine: the photograph goes nowhere else.</p>"
_TO_RESULT: Final = "() => innerWidth < 900 && document.getElementById('status').scrollIntoView({behavior: 'smooth'})"
_PROGRESS: Final = gr.Progress()  # as a default value it tells gradio to hand in the event's own
CSS: Final = (Path(__file__).parent / "style.css").read_text()


def theme() -> gr.themes.Base:
    """Calm colours, the system's own fonts."""
    return gr.themes.Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        radius_size="lg",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )


def build_page(net: RestorationNet, folder: Path, examples: Sequence[Example], *, max_pixels: int) -> gr.Blocks:
    """The page for `net`; what it makes is written below `folder`."""
    return _Page(net, folder, examples, max_pixels).blocks


class _Page:
    """The page's parts, and the functions that answer their events."""

    def __init__(self, net: RestorationNet, folder: Path, examples: Sequence[Example], max_pixels: int) -> None:
        self._net, self._folder, self._examples, self._max_pixels = net, folder, examples, max_pixels
        self._told = told_degradations(net)
        with gr.Blocks(title="aio", analytics_enabled=False, delete_cache=(_AN_HOUR, _A_DAY)) as self.blocks:
            gr.HTML(_TITLE.format(net=html.escape(type(net).__name__)), elem_id="title")
            with gr.Row(elem_id="sides"):
                with gr.Column(scale=2, min_width=300):
                    self._build_choices()
                with gr.Column(scale=3, min_width=300):
                    self._build_result()
            self._connect()
        self.blocks.queue(max_size=16, default_concurrency_limit=1)  # one photograph at a time

    def _build_choices(self) -> None:
        self._photo = gr.File(label="Photograph", height=170, elem_id="photo")
        names = [("Let the network see for itself", AUTO), *((NAMES[name], name) for name in self._told)]
        self._task = gr.Dropdown(names, value=AUTO, label="What it suffers from", visible=bool(self._told))
        self._strength = gr.Slider(0, 100, 100, step=5, label="Strength in percent", elem_id="strength")
        with gr.Accordion("Advanced", open=False):
            self._tile = gr.Dropdown(
                _TILES, value="auto", label="Tile", info="Pixels on a side; smaller takes less memory"
            )
            self._tta = gr.Checkbox(False, label="Mean of eight views", info="A little better, eight times as long")
        self._start = gr.Button("Restore", variant="primary", size="lg", interactive=False, elem_id="start")
        gr.HTML("<p>Or try one of these</p>", elem_id="try")
        self._gallery = gr.Gallery(
            [(str(each.thumbnail), NAMES[each.task].partition(",")[0]) for each in self._examples],
            label="Or try one of these",
            show_label=False,
            columns=4,
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="examples",
        )

    def _build_result(self) -> None:
        self._status = gr.HTML(_NO_PHOTO, elem_id="status")
        self._before = gr.Image(
            label="Before", type="filepath", interactive=False, visible=False, buttons=["fullscreen"], elem_id="before"
        )
        self._slider = gr.ImageSlider(
            label="Before and after",
            type="filepath",
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            max_height=640,
            elem_id="slider",
        )
        self._file = gr.DownloadButton("Download", variant="primary", visible=False, elem_id="download")

    def _connect(self) -> None:
        shown = [self._status, self._before, self._slider, self._file, self._start]
        self._gallery.select(self._example, None, self._photo, api_visibility="private", show_progress="hidden")
        self._photo.change(self._look, self._photo, shown, api_visibility="private", show_progress_on=self._status)
        self._start.click(None, js=_TO_RESULT)  # on a phone it lies below
        self._start.click(
            self._restore,
            [self._photo, self._task, self._strength, self._tile, self._tta],
            shown,
            api_name="restore",
            show_progress_on=[self._before, self._slider],
        )

    def _example(self, event: gr.SelectData) -> str:
        return str(self._examples[event.index].photo)

    def _look(self, photo: str | None) -> list[Any]:
        if photo is None:
            return _shown(_NO_PHOTO)
        try:
            look = look_at(Path(photo), self._own_folder(), self._max_pixels)
        except InputError as error:
            return _problem(error, photo)
        return _shown(f"<p>{facts(look)}</p>", before=look.picture, ready=True)

    def _restore(
        self, photo: str | None, task: str, strength: float, tile: str, tta: bool, progress: gr.Progress = _PROGRESS
    ) -> list[Any]:
        if photo is None:
            return _shown(_NO_PHOTO)
        settings = Settings(
            None if task == AUTO else TASK_ID[one_degradation(task, "degradation")], _tile(tile), strength / 100, tta
        )
        try:
            restored = restore_upload(
                self._net,
                Path(photo),
                self._own_folder(),
                settings,
                max_pixels=self._max_pixels,
                progress=_with_time_left(progress),
            )
        except (InputError, torch.OutOfMemoryError) as error:
            return _problem(error, photo)
        said = f'<p class="done">Restored in {duration(restored.seconds)}</p>'
        return _shown(said, after=(restored.before, restored.after), file=restored.file, ready=True)

    def _own_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))


def _with_time_left(progress: gr.Progress) -> Any:
    begun = time.perf_counter()

    def tell(done: int, total: int) -> None:
        left = (time.perf_counter() - begun) * (total - done) / done if done else 0.0
        words = f"about {duration(left)} left" if done else "restoring"
        progress((done, total), desc=words, unit="tiles")

    return tell


def _tile(word: str) -> Tile:
    return word if word in ("auto", "none") else int(word)  # type: ignore[return-value]


def _problem(error: Exception, photo: str) -> list[Any]:
    return _shown(f'<p class="problem" role="alert">{html.escape(message(error, Path(photo)))}</p>')


def _shown(
    status: str,
    *,
    before: Path | None = None,
    after: tuple[Path, Path] | None = None,
    file: Path | None = None,
    ready: bool = False,
) -> list[Any]:
    """What the status, the picture, the slider, the download and the button become."""
    return [
        status,
        gr.update(value=before and str(before), visible=before is not None),
        gr.update(value=after and tuple(map(str, after)), visible=after is not None),
        gr.update(value=file and str(file), visible=file is not None, label=f"Download {file.name}" if file else ""),
        gr.update(interactive=ready),
    ]
