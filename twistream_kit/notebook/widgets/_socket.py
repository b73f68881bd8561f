"""The WebSocket from a widget's page straight to the kit's loop, past the kernel's own messages.

Over those, sound takes 3 to 40 ms to the page and up to 300, and what a page says waits, on several
kernels, until the running cell has ended.  Over this socket both take about a millisecond, whatever
the cells do (measured).  It works where the browser runs on the same machine as the kernel.

It listens on a port of its own on 127.0.0.1, which is never given to a tunnel: a tunnel's agent
connects from loopback too.  A page is let in if it knows a random secret, has addressed this
machine (a page of another site can have its own name point here), and was served by this machine.
All others get the same answer, which tells nothing.

A page that does not keep up, because its tab sleeps or its machine is busy, must not be sent more
and more: the sockets between hold minutes of telephone sound, all of which would be heard late.
So it says from time to time how far it has come; beyond a second that it has not confirmed, frames
wait here, and of those the oldest are dropped.  Frames are numbered, so that the page can count.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import struct
from collections import deque
from http import HTTPStatus
from typing import Protocol, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from twistream_kit.errors import ServerStopped
from twistream_kit.live.server.http import RequestConnection
from twistream_kit.notebook.runtime import background
from twistream_kit.pending import HomeLoop
from twistream_kit.protocol.twiml import is_loopback

UNCONFIRMED_FRAMES = 50
"""How many frames may be on their way: a second."""

WAITING_FRAMES = 10
"""How many may wait here beyond that: 200 ms."""

MAX_MESSAGE_BYTES = 65_536
"""A page sends commands and 20 ms of sound at a time."""

NOT_WANTED = 4000
"""The code with which a page is told not to connect again."""

NUMBER = struct.Struct("<I")
"""What goes before the sound, in both directions: the number of the message."""


def widget_socket() -> WidgetSocket:
    """Return the process's listener, started on the kit's loop if it does not run.

    Raises:
        WouldDeadlock: If called on the kit's own loop.
    """
    return background.start(_SOCKET, name="the widgets' socket")


class WidgetSocket:
    """The listener that all widgets of this process share; an async context manager.

    It can be entered again after it was left; channels opened before are then gone.

    Attributes:
        home: The loop that it runs on.
        port: Where it listens; 0 while it does not.
    """

    def __init__(self) -> None:
        self.home = HomeLoop("the widgets' socket")
        self.port = 0
        self._server: Server | None = None
        self._channels: list[Channel] = []

    def open(self, host: Host) -> Channel:
        """Make a channel for the pages of a widget; from any thread."""
        channel = Channel(self, host)
        self._channels.append(channel)
        return channel

    def forget(self, channel: Channel) -> None:
        """Let nobody in through `channel` any more; on the loop."""
        if channel in self._channels:
            self._channels.remove(channel)
        for page in tuple(channel.pages):
            page.close_soon()

    async def __aenter__(self) -> Self:
        self.home.enter()
        try:
            self._server = await serve(
                self._serve_page,
                "127.0.0.1",
                0,
                process_request=self._admit,
                # What follows a request that is refused must not undo the answer.
                create_connection=RequestConnection,
                compression=None,
                close_timeout=1,
                max_size=MAX_MESSAGE_BYTES,
            )
        except BaseException:
            await self.home.leave()
            raise
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        server, self._server = self._server, None
        self.port = 0
        if server is not None:
            server.close()
            await server.wait_closed()
        self._channels.clear()
        await self.home.leave()

    def __repr__(self) -> str:
        state = f"port {self.port}" if self.port else "not running"
        return f"<WidgetSocket: {state}, {len(self._channels)} widgets>"

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        knows_the_secret = self._channel_at(request.path) is not None
        if knows_the_secret and _came_to_loopback(request) and _came_from_loopback(request):
            return None
        return connection.respond(HTTPStatus.FORBIDDEN, "This is not for you.\n")

    def _channel_at(self, path: str) -> Channel | None:
        # Without the query, which a proxy may have added.
        offered = path.partition("?")[0].removeprefix("/").encode(errors="replace")
        found = None
        for channel in tuple(self._channels):
            # All of them, each in constant time: how long it takes tells nothing of any secret.
            if hmac.compare_digest(offered, channel.secret.encode()):
                found = channel
        return found

    async def _serve_page(self, connection: ServerConnection) -> None:
        request = connection.request
        channel = None if request is None else self._channel_at(request.path)
        if channel is None:  # it was closed while the page came in
            return
        page = WidgetPage(connection)
        channel.pages.add(page)
        channel.host.joined(page)
        writer = asyncio.create_task(page.write())
        try:
            with contextlib.suppress(ConnectionClosed):
                async for message in connection:
                    _pass_on(channel.host, page, message)
        finally:
            writer.cancel()
            channel.pages.discard(page)
            channel.host.left(page)


_SOCKET = WidgetSocket()


def _pass_on(host: Host, page: WidgetPage, message: str | bytes) -> None:
    if isinstance(message, bytes):
        host.spoke(page, message)
    elif not page.take_news(message):
        host.said(page, message)


def _came_to_loopback(request: Request) -> bool:
    return is_loopback(f"http://{_header(request, 'Host')}")


def _came_from_loopback(request: Request) -> bool:
    origin = _header(request, "Origin")
    return origin.startswith(("http://", "https://")) and is_loopback(origin)


def _header(request: Request, name: str) -> str:
    said = request.headers.get_all(name)
    return said[0] if len(said) == 1 else ""


class Channel:
    """The connections of one widget's pages; made by `WidgetSocket.open`.

    Args:
        socket: The listener that they come in through.
        host: The widget.
    """

    def __init__(self, socket: WidgetSocket, host: Host) -> None:
        self.host = host
        self.secret = secrets.token_urlsafe(32)
        self.pages: set[WidgetPage] = set()
        self._socket = socket

    @property
    def address(self) -> str:
        """Where a page connects; empty while the socket does not listen."""
        port = self._socket.port
        return f"ws://127.0.0.1:{port}/{self.secret}" if port else ""

    def __repr__(self) -> str:
        return f"<Channel with {len(self.pages)} pages>"

    def send_sound(self, page: WidgetPage, frame: bytes) -> None:
        """Send a frame to one page; from any thread.  It is lost if the page has gone."""
        with contextlib.suppress(ServerStopped):
            self._socket.home.call(page.send_sound, frame)

    def close(self) -> None:
        """Let nobody in any more, and send away who is here; from any thread."""
        with contextlib.suppress(ServerStopped):
            self._socket.home.call(self._socket.forget, self)


class Host(Protocol):
    """A widget, as its pages see it.  All is called on the socket's loop."""

    def joined(self, page: WidgetPage) -> None:
        """Take note of a page that has connected."""

    def left(self, page: WidgetPage) -> None:
        """Take note that it has gone."""

    def said(self, page: WidgetPage, words: str) -> None:
        """Take a text message."""

    def spoke(self, page: WidgetPage, sound: bytes) -> None:
        """Take a binary message."""


class WidgetPage:
    """One connected page of a browser, and the frames that wait for it; on the loop of the socket.

    Attributes:
        name: Drawn by the page; the same when it connects again.
        dropped: How many frames it was not sent because it did not keep up.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.name = ""
        self.dropped = 0
        self._connection = connection
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._numbered = self._sent = self._confirmed = 0
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<WidgetPage {self.name}: {self._numbered} frames, {self.dropped} dropped>"

    def send_sound(self, frame: bytes) -> None:
        """Send a frame as soon as the page is ready for it."""
        self._numbered += 1
        if len(self._waiting) >= WAITING_FRAMES:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((self._numbered, frame))
        self._changed.set()

    def take_news(self, words: str) -> bool:
        """Take what a page says of itself; False for what is not about that."""
        verb, _, rest = words.partition(" ")
        if verb == "here":
            self.name = rest
        elif verb == "got" and rest.isdecimal():
            self._confirmed = min(int(rest[:10]), self._sent)
            self._changed.set()
        return verb == "got"

    def close_soon(self) -> None:
        """Close the connection, soon."""
        if self._closing is None:
            closing = self._connection.close(NOT_WANTED)
            self._closing = asyncio.get_running_loop().create_task(closing)

    async def write(self) -> None:
        """Send what waits, for as long as the page is there."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._waiting and self._sent - self._confirmed < UNCONFIRMED_FRAMES:
                    self._sent, frame = self._waiting.popleft()
                    await self._connection.send(NUMBER.pack(self._sent & 0xFFFFFFFF) + frame)
