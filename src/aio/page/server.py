"""Serves the page to this machine alone: bound to the loopback address, deaf to other host names, silent outward."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware

from aio.page.layout import CSS, theme

_BYTES_PER_PIXEL: Final = 8  # four channels of 16 bits, not compressed
# The browser asks no other machine for anything, whatever the page's libraries would like.
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'self'"
)


def application(page: gr.Blocks, folder: Path, *, host: str, max_pixels: int) -> FastAPI:
    """The page as an application; uploads are limited to the bytes that `max_pixels` may take.

    Requests that name another host than `host`, as pages elsewhere may make a browser do, are refused.
    """
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[host, "localhost"])

    @app.middleware("http")
    async def stay_at_home(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=host,
        footer_links=[],
        allowed_paths=[str(folder)],
        max_file_size=max_pixels * _BYTES_PER_PIXEL,
        ssr_mode=False,
        pwa=False,
        theme=theme(),
        css=CSS,
    )


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Answers until the process is told to stop."""
    config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])
