"""A TCP proxy on loopback in front of a server, to practise with a public address.

It does on loopback what a tunnel does across the internet: it forwards each connection to the
server's port.  It forwards bytes and interprets none of them.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from twistream_kit.connections import stop_listening
from twistream_kit.errors import ServerStopped
from twistream_kit.live.server.server import StreamServer
from twistream_kit.pending import HomeLoop

_PIECE_BYTES = 65_536


class LocalProxy:
    """A reverse proxy on loopback in front of a running server; an async context manager.

    Args:
        server: The server to forward to.

    Example:
        >>> import twistream_kit as kit
        >>> import requests
        >>> server = kit.start(kit.StreamServer())
        >>> proxy = kit.start(kit.LocalProxy(server))
        >>> proxy
        <LocalProxy http://127.0.0.1:...>
        >>> requests.get(f"{proxy.url}/health", timeout=10).status_code
        200
    """

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self._home = HomeLoop("the local proxy")
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address of the proxy, ``http://127.0.0.1:…``.

        Raises:
            ServerStopped: If it is not running.
        """
        if self._listener is None:
            raise ServerStopped("the local proxy is not running", fix="Start it with kit.start")
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    def __repr__(self) -> str:
        return f"<LocalProxy {'not running' if self._listener is None else self.url}>"

    async def __aenter__(self) -> Self:
        self._home.enter()
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        listener, self._listener = self._listener, None
        await stop_listening(listener, self._connections)
        await self._home.leave()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            await self._forward(reader, writer)
        except* (OSError, ServerStopped, asyncio.CancelledError):
            pass  # one connection was lost, or the proxy stops: close both
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._listener is None:
            return  # accepted while the proxy stops
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(_pass(reader, far_writer))
                both_ways.create_task(_pass(far_reader, writer))
        finally:
            far_writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
