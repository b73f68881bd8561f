"""The WebSocket from a widget's page directly to the kit's loop, without the kernel's messages.

In the kernel's messages, sound takes 3 to 40 ms to the page and up to 300, and on several kernels
the messages of a page wait until the running cell has ended.  Over this socket both directions take
about a millisecond, whatever the cells do (measured).  It works if the browser runs on the same
machine as the kernel.

It listens on a port of its own on 127.0.0.1, which is never given to a tunnel: a tunnel's agent
connects from loopback too.  A page is admitted if it knows a random secret, has addressed this
machine (a page of another site can have its own name point here), and was served by this machine.
Every other request gets the same response, which reveals nothing.

If a page does not keep up, because its tab sleeps or its machine is busy, the kit stops sending:
the socket buffers hold minutes of telephone sound, all of which would be heard late.  The page
acknowledges the frames that it has received; if more than a second is not acknowledged, frames
wait here, and the oldest of them are dropped.  Frames are numbered, so that the page can count the
lost ones.
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
"""The number of frames that may be sent and not acknowledged: one second."""

WAITING_FRAMES = 10
"""The number of frames that may wait here in addition: 200 ms."""

MAX_MESSAGE_BYTES = 65_536
"""The largest message of a page: a command, or 20 ms of sound."""

NOT_WANTED = 4000
"""The close code that stops a page from reconnecting."""

NUMBER = struct.Struct("<I")
"""The header of each sound message, in both directions: the number of the message."""


def start_widget_socket() -> WidgetSocket:
    """Return the listener of this process; start it on the kit's loop if it is not running.

    Raises:
        WouldDeadlock: If called on the kit's own loop.
    """
    return background.start(_SOCKET, name="the widgets' socket")


class WidgetSocket:
    """The listener that all widgets of this process share; an async context manager.

    It can be entered again after it was left; the channels opened before are then closed.

    Attributes:
        home: The loop that it runs on.
        port: The port that it listens on; 0 while it does not listen.
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
        """Admit no more pages to `channel`; on the loop."""
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
                # A page whose machine is busy would see an abrupt end, and try the address again.
                close_timeout=5,
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
        knows_the_secret = self._find_channel(request.path) is not None
        if knows_the_secret and _is_to_loopback(request) and _is_from_loopback(request):
            return None
        return connection.respond(HTTPStatus.FORBIDDEN, "Forbidden\n")

    def _find_channel(self, path: str) -> Channel | None:
        # Ignore the query, which a proxy may have added.
        offered = path.partition("?")[0].removeprefix("/").encode(errors="replace")
        found = None
        for channel in tuple(self._channels):
            # Compare all of them, each in constant time: the duration must reveal no secret.
            if hmac.compare_digest(offered, channel.secret.encode()):
                found = channel
        return found

    async def _serve_page(self, connection: ServerConnection) -> None:
        request = connection.request
        channel = None if request is None else self._find_channel(request.path)
        if channel is None:  # the channel was closed during the handshake
            return
        page = WidgetPage(connection)
        channel.pages.add(page)
        channel.host.add_page(page)
        writer = asyncio.create_task(page.write())
        try:
            with contextlib.suppress(ConnectionClosed):
                async for message in connection:
                    _pass_on(channel.host, page, message)
        finally:
            writer.cancel()
            channel.pages.discard(page)
            channel.host.remove_page(page)


_SOCKET = WidgetSocket()


def _pass_on(host: Host, page: WidgetPage, message: str | bytes) -> None:
    if isinstance(message, bytes):
        host.handle_sound(page, message)
    elif not page.handle_control(message):
        host.handle_text(page, message)


def _is_to_loopback(request: Request) -> bool:
    return is_loopback(f"http://{_read_header(request, 'Host')}")


def _is_from_loopback(request: Request) -> bool:
    origin = _read_header(request, "Origin")
    return origin.startswith(("http://", "https://")) and is_loopback(origin)


def _read_header(request: Request, name: str) -> str:
    said = request.headers.get_all(name)
    return said[0] if len(said) == 1 else ""


class Channel:
    """The connections of one widget's pages; made by `WidgetSocket.open`.

    Args:
        socket: The listener that accepts the connections.
        host: The widget.
    """

    def __init__(self, socket: WidgetSocket, host: Host) -> None:
        self.host = host
        self.secret = secrets.token_urlsafe(32)
        self.pages: set[WidgetPage] = set()
        self._socket = socket

    @property
    def address(self) -> str:
        """The address that a page connects to; empty while the socket does not listen."""
        port = self._socket.port
        return f"ws://127.0.0.1:{port}/{self.secret}" if port else ""

    def __repr__(self) -> str:
        return f"<Channel with {len(self.pages)} pages>"

    def send_sound(self, page: WidgetPage, frame: bytes) -> None:
        """Send a frame to one page; from any thread.  It is lost if the page has disconnected."""
        with contextlib.suppress(ServerStopped):
            self._socket.home.call(page.send_sound, frame)

    def send_text(self, page: WidgetPage, words: str) -> None:
        """Send a text to one page; from any thread.  It is lost if the page has disconnected."""
        with contextlib.suppress(ServerStopped):
            self._socket.home.call(page.send_text, words)

    def close(self) -> None:
        """Admit no more pages, and close the connections of the present ones; from any thread."""
        with contextlib.suppress(ServerStopped):
            self._socket.home.call(self._socket.forget, self)


class Host(Protocol):
    """The interface of a widget to its pages.  All methods are called on the socket's loop."""

    def add_page(self, page: WidgetPage) -> None:
        """Handle a page that has connected."""

    def remove_page(self, page: WidgetPage) -> None:
        """Handle a page that has disconnected."""

    def handle_text(self, page: WidgetPage, words: str) -> None:
        """Handle a text message."""

    def handle_sound(self, page: WidgetPage, sound: bytes) -> None:
        """Handle a binary message."""


class WidgetPage:
    """One connected page of a browser, and the frames that wait for it; on the loop of the socket.

    Attributes:
        name: A random name that the page chose; the same when it reconnects.
        dropped: The number of frames that were dropped because the page did not keep up.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.name = ""
        self.dropped = 0
        self._connection = connection
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._texts: deque[str] = deque()
        self._numbered = self._sent = self._confirmed = 0
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<WidgetPage {self.name}: {self._numbered} frames, {self.dropped} dropped>"

    def send_sound(self, frame: bytes) -> None:
        """Send a frame as soon as the page has acknowledged enough earlier ones."""
        self._numbered += 1
        if len(self._waiting) >= WAITING_FRAMES:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((self._numbered, frame))
        self._changed.set()

    def send_text(self, words: str) -> None:
        """Send a text, before the frames that wait; none is dropped."""
        self._texts.append(words)
        self._changed.set()

    def handle_control(self, words: str) -> bool:
        """Handle the page's name or an acknowledgement; return False for other messages."""
        verb, _, rest = words.partition(" ")
        if verb == "here":
            self.name = rest
        elif verb == "got" and rest.isdecimal():
            self._confirmed = min(int(rest[:10]), self._sent)
            self._changed.set()
        return verb == "got"

    def close_soon(self) -> None:
        """Start closing the connection, and return at once."""
        if self._closing is None:
            closing = self._connection.close(NOT_WANTED)
            self._closing = asyncio.get_running_loop().create_task(closing)

    async def write(self) -> None:
        """Send the waiting frames until the connection is closed."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._texts:
                    await self._connection.send(self._texts.popleft())
                while self._waiting and self._sent - self._confirmed < UNCONFIRMED_FRAMES:
                    self._sent, frame = self._waiting.popleft()
                    await self._connection.send(NUMBER.pack(self._sent & 0xFFFFFFFF) + frame)
