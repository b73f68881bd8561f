"""Which stream servers run in this process, so that an address is enough to find one."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from twistream_kit.errors import ServerStopped

if TYPE_CHECKING:
    from twistream_kit.live.server.server import StreamServer

_running: weakref.WeakSet[StreamServer] = weakref.WeakSet()


def note_running(server: StreamServer) -> None:
    """Take in a server that has started."""
    _running.add(server)


def note_stopped(server: StreamServer) -> None:
    """Forget a server that stops."""
    _running.discard(server)


def server_at(stream_url: str) -> StreamServer | None:
    """Return the running server of this process whose streams connect at `stream_url`, or None."""
    for server in tuple(_running):
        try:
            if server.stream_url == stream_url:
                return server
        except ServerStopped:
            continue
    return None
