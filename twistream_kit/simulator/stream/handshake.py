"""The handshake of one stream: its URL, as Twilio reads it, and the socket that is opened.

The handshake is the one seen in captures (PROTOCOL.md §2.1): no Origin, no subprotocol, no
extensions, and the signature in a header with a lower-case name.  Each failure has Twilio's error
code (§2.3, §5.1).  ``ws://`` is accepted for loopback only, where a server under development
listens; Twilio never accepts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event
from websockets.uri import parse_uri

from twistream_kit.connections import LosesTransport
from twistream_kit.errors import WrongType, hide_user
from twistream_kit.protocol.signature import compute_signed_url, sign
from twistream_kit.protocol.twiml import describe_url_error, is_loopback_host
from twistream_kit.protocol.url_repair import repair_url
from twistream_kit.simulator.model.assumptions import (
    APPENDS_SLASH_TO_BARE_HOST,
    CLOSE_WAIT_SECONDS,
    HANDSHAKE_SECONDS,
    MESSAGE_LIMIT,
    Behaviour,
)
from twistream_kit.simulator.stream._direct_client import DirectClient
from twistream_kit.simulator.stream.refusal import URL_FORM, StreamFailed, explain_failure

USER_AGENT = "Twilio.TmeWs/1.0"
"""The User-Agent header of Twilio's handshake [OBS] (§2.1)."""

OUR_OBJECTIONS = (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG)
"""The codes with which `websockets` fails a connection whose server has violated the protocol."""


@dataclass(frozen=True, slots=True)
class StreamUrl:
    """The URL to connect to, and the URL to sign.

    Attributes:
        url: The given URL without its query string and fragment.
        signed: The URL that the signature is computed over (§10.25).
        dropped: The query string that was removed, or empty.
    """

    url: str
    signed: str
    dropped: str = ""


def read_url(url: str, behaviour: Behaviour) -> StreamUrl:
    """Parse the URL of a stream as Twilio would.

    Raises:
        StreamFailed: 31923 if it is not a URL, 31922 if it is not wss (or ws on loopback), 31920
            if it has a query string and `behaviour` is strict.
    """
    if not isinstance(url, str):
        raise WrongType(f"url is {url!r}; give a string. {URL_FORM}")
    shown = hide_user(url)
    if repair := repair_url(url):
        raise StreamFailed(31923, f"the URL of the stream {repair.problem}", fix=repair.fix)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise StreamFailed(
            31923, f"{shown!r} is not a URL: {describe_url_error(url, error)}", fix=URL_FORM
        ) from error
    if not url:
        raise StreamFailed(31923, "the URL of the stream is empty", fix=URL_FORM)
    if parts.scheme not in ("ws", "wss"):
        raise StreamFailed(31922, f"{shown!r} is not a wss URL", fix=URL_FORM)
    if not host:
        raise StreamFailed(31923, f"{shown!r} is not a URL: it names no host", fix=URL_FORM)
    if parts.scheme == "ws" and not is_loopback_host(host):
        fix = "Twilio speaks TLS only: put the server behind a tunnel and use its wss address"
        raise StreamFailed(31922, f"{shown!r} is not encrypted", fix=fix)
    if parts.query and behaviour.strict:
        fix = "Pass values as <Parameter>; they arrive in the start message"
        raise StreamFailed(31920, f"{shown!r} has a query string", fix=fix)
    url = urlunsplit(parts._replace(query="", fragment=""))
    bare = APPENDS_SLASH_TO_BARE_HOST and not parts.path
    return StreamUrl(url, compute_signed_url(f"{url}/" if bare else url), parts.query)


class Socket(LosesTransport, DirectClient):
    """A connection that says when a Close frame comes, and that can stop sending after an error.

    Attributes:
        is_mute_after_error: Whether it stops sending instead of sending a Close frame, once the
            server has violated the WebSocket protocol.
        on_close_frame: Called when a Close frame comes, behind all messages before it.
    """

    is_mute_after_error = False
    on_close_frame: Callable[[], None] | None = None

    @property
    def is_closed_by_peer(self) -> bool:
        """Whether a Close frame of the server came before one was sent."""
        return self.protocol.close_rcvd_then_sent is True

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the loss; no frame comes any more, so the listener is not kept."""
        super().connection_lost(exc)
        self.on_close_frame = None

    def process_event(self, event: Event) -> None:
        """Take one frame, as the base class does, and note a Close frame."""
        super().process_event(event)
        is_close_frame = isinstance(event, Frame) and event.opcode is Opcode.CLOSE
        if is_close_frame and self.on_close_frame is not None:
            self.on_close_frame()

    async def take_message(self) -> str | bytes:
        """Return the next message.

        Unlike `recv`, it does not wait for the end of the TCP connection after `end_messages`.

        Raises:
            EOFError: If no further message will come.
        """
        while True:
            try:
                return await self.recv_messages.get()
            except UnicodeDecodeError as error:
                problem = f"{error.reason} at position {error.start}"
                self.protocol.fail(CloseCode.INVALID_DATA, problem)
            except WebSocketException as error:  # too many fragments
                self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, str(error))
            self.send_data()

    def end_messages(self) -> None:
        """Let `take_message` raise as soon as all messages so far were taken."""
        self.recv_messages.close()

    @property
    def is_mute(self) -> bool:
        """Whether it has stopped sending, because the library has failed the connection."""
        sent = self.protocol.close_sent
        return self.is_mute_after_error and sent is not None and sent.code in OUR_OBJECTIONS

    def abort(self) -> None:
        """Abort the connection, whatever its transport is by then."""
        self.transport.abort()

    def send_data(self) -> None:
        """Write the protocol's pending data, unless the connection is mute."""
        if self.is_mute:
            self.protocol.data_to_send()
        else:
            super().send_data()


async def open_socket(
    url: str, signed: str, auth_token: str | None, *, is_narrow: bool = False
) -> Socket:
    """Connect and perform the handshake, without following redirects or using proxies.

    It takes at most `HANDSHAKE_SECONDS`.  Cancelling it leaves no socket open.  A connection that
    `is_narrow` has segments and a receive buffer of a few kB, so that what nobody reads fills the
    buffers of the server within seconds, and not after megabytes, as loopback has them.

    Raises:
        StreamFailed: With Twilio's error code for the failure (§2.3, §5.1).
    """
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            return await _connect(url, signed, auth_token, is_narrow=is_narrow)
    except TimeoutError as error:
        problem = f"{hide_user(url)} did not answer within {HANDSHAKE_SECONDS:g} s"
        fix = "Is it the right address, and does anything in between forward WebSockets?"
        raise StreamFailed(31901, problem, fix=fix) from error
    except (OSError, EOFError, ValueError, InvalidHandshake, InvalidURI) as error:
        signed_url = None if auth_token is None else signed
        raise explain_failure(url, error, signed_url) from error


async def _connect(url: str, signed: str, auth_token: str | None, *, is_narrow: bool) -> Socket:
    uri = parse_uri(url)
    loop = asyncio.get_running_loop()

    def make_protocol() -> Socket:
        # Not websockets.connect: it follows redirects, which Twilio does not (§2.3).
        return Socket(
            ClientProtocol(uri, max_size=MESSAGE_LIMIT),
            ping_interval=None,
            close_timeout=CLOSE_WAIT_SECONDS,
        )

    secure = True if uri.secure else None
    if is_narrow:
        narrow = await _connect_narrowly(uri.host, uri.port)
        name = uri.host if uri.secure else None
        _, connection = await loop.create_connection(
            make_protocol, sock=narrow, ssl=secure, server_hostname=name
        )
    else:
        _, connection = await loop.create_connection(make_protocol, uri.host, uri.port, ssl=secure)
    headers = {} if auth_token is None else {"x-twilio-signature": sign(auth_token, signed)}
    try:
        await connection.handshake(headers, USER_AGENT)
    except BaseException:
        connection.transport.abort()
        with contextlib.suppress(OSError):
            await asyncio.shield(connection.wait_closed())
        raise
    return connection


_NARROW_BYTES = 1024
"""The receive buffer of a narrow connection."""

_NARROW_SEGMENT = 536
"""Its segments: the least that every host takes (RFC 9293 §3.7.1)."""


async def _connect_narrowly(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    refused: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        narrow = socket.socket(family, kind, protocol)
        try:
            narrow.setblocking(False)
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_BYTES)
            with contextlib.suppress(OSError, AttributeError):  # Windows has no such option
                narrow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _NARROW_SEGMENT)
            await loop.sock_connect(narrow, address)
        except OSError as error:
            narrow.close()
            refused = error
        except BaseException:
            narrow.close()
            raise
        else:
            return narrow
    raise refused or OSError(f"{host} has no address")
