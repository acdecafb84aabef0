"""A local page that restores photographs: `aio demo [--checkpoint C]`; needs the extra `demo` (gradio)."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from aio.commands import CHECKPOINT, run
from aio.errors import InputError
from aio.shipped import DEFAULT, locate

if TYPE_CHECKING:
    from aio.nets.base import RestorationNet

_HOST: Final = "127.0.0.1"  # this machine alone
_MEGA: Final = 1_000_000


def main(argv: Sequence[str]) -> int:
    """Serves the page until it is stopped by Ctrl-C or SIGTERM; see `aio demo --help`."""
    options = _parser().parse_args(argv)
    if not 0 < options.max_megapixels <= 10_000:
        raise InputError(f"--max_megapixels {options.max_megapixels:g}: expected a number above 0, at most 10000")
    if find_spec("gradio") is None:
        raise InputError("the page is made by gradio: pip install 'aio[demo]'")

    with closing(_listen(options.port)) as listener, _scratch() as folder:
        from aio.weights import open_net, place

        _serve(place(open_net(options.checkpoint, options.model), options.device), listener, folder, options)
    return 0


def _serve(net: RestorationNet, listener: socket.socket, folder: Path, options: argparse.Namespace) -> None:
    from aio.page.examples import draw_examples
    from aio.page.layout import build_page
    from aio.page.server import application, serve

    max_pixels = int(options.max_megapixels * _MEGA)
    page = build_page(net, folder, draw_examples(folder), max_pixels=max_pixels)
    app = application(page, folder, host=_HOST, max_pixels=max_pixels)
    url = "http://{}:{}/".format(*listener.getsockname())
    sys.stdout.write(f"the page is at {url} (Ctrl-C stops it)\n")
    sys.stdout.flush()
    if options.open:
        import webbrowser

        webbrowser.open(url)
    serve(app, listener)


def _listen(port: int) -> socket.socket:
    """A socket on the loopback address; port 0 is any that is free.

    Raises:
        InputError: the port is taken, or not for this user.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(f"--port {port}: {error}; choose another, or 0 for any free one") from error
    return listener


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for all that is uploaded and made; it is removed at the end, also when the process is told to end."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        with tempfile.TemporaryDirectory(prefix="aio-demo-") as name:
            os.environ["GRADIO_TEMP_DIR"] = name  # gradio's only way of being told; read when it is imported
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            yield Path(name)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("aio demo", description="A page on this machine that restores photographs.")
    parser.add_argument("--checkpoint", metavar="C", type=locate, default=DEFAULT, help=f"{CHECKPOINT} (%(default)s)")
    parser.add_argument("--model", metavar="NAME", help="the network, where the weights alone do not tell")
    parser.add_argument("--device", metavar="D", default="auto", help="where to compute: cpu, cuda, cuda:1, mps, auto")
    parser.add_argument("--port", metavar="P", type=int, default=7860, help="of this machine; 0 is any that is free")
    parser.add_argument(
        "--max_megapixels", metavar="M", type=float, default=50, help="the largest photograph taken; default 50"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser


if __name__ == "__main__":
    run(main)
