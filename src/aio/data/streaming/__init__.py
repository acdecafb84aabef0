"""Training data beyond one disk: images packed into litdata's chunks, fetched from object storage when needed.

Samples, task ids and exact resume are those of a folder: only where encoded bytes come from differs.
"""

from __future__ import annotations

from aio.data.streaming.manifest import is_stream
from aio.data.streaming.reading import Stream, StreamCache
from aio.data.streaming.writing import write_stream

__all__ = ["Stream", "StreamCache", "is_stream", "write_stream"]
