"""The socket of one stream: the handshake, what is sent every 20 ms, and how it ended.

What is said is decided by `StreamLeg`; `StreamClient` is the shell around it.  It sends without
ever waiting, because a hundred calls share one beat: what the server does not read in time stays in
the socket's own buffer, and when that holds too much the caller's frames are dropped, as Twilio
does (PROTOCOL.md §5.1, 31930).

The handshake is the one seen in captures (§2.1): no Origin, no subprotocol, no extensions, the
signature in a header of lower case.  Each way to fail has Twilio's number (§2.3, §5.1).  ``ws://``
is accepted for this machine only, which Twilio never does: it is where a server under development
listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socket import gaierror
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode
from websockets.protocol import Protocol, State
from websockets.uri import parse_uri

from twistream_kit.errors import CallRefused, Severity, hide_user, join_sentences
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.codes import explain
from twistream_kit.protocol.signature import compute_signed_url, sign
from twistream_kit.protocol.to_twilio import PROTOCOL_ERROR
from twistream_kit.protocol.twiml import describe_url_error, is_loopback_host
from twistream_kit.simulator.model.assumptions import (
    APPENDS_SLASH_TO_BARE_HOST,
    CLOSE_WAIT_SECONDS,
    HALF_OPEN_SECONDS,
    HANDSHAKE_SECONDS,
    MESSAGE_LIMIT,
    NORMAL_CLOSE,
    PROTOCOL_ERROR_CLOSE,
    SILENT_END_SECONDS,
    SLOW_READER_SECONDS,
    Behaviour,
    NormalClose,
)
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.leg import StreamLeg, Warned

USER_AGENT = "Twilio.TmeWs/1.0"
"""What Twilio calls itself on the socket [OBS] (§2.1)."""

BROKEN_PIPE = 31903
"""The connection died without a word (§5.1)."""

CLOSED_BY_SERVER = 31921
"""The server closed the connection (§5.1); with 1000 too, and then as a note (§10.5)."""

OVERFLOW = 31930
"""The server reads too slowly: frames of the caller were dropped (§5.1)."""

_SENT_BYTES_PER_SECOND = 50 * 400
"""A media message of 20 ms has about 400 bytes."""

_SLOW_READER_BYTES = int(SLOW_READER_SECONDS * _SENT_BYTES_PER_SECOND)

_MESSAGES_AT_A_TIME = 64
"""After so many messages from the server the reader lets others have their turn."""

_KINDS: dict[type, str] = {
    from_twilio.Connected: "connected",
    from_twilio.Start: "start",
    from_twilio.Media: "media",
    from_twilio.Dtmf: "dtmf",
    from_twilio.Mark: "mark",
    from_twilio.Stop: "stop",
}


class StreamClient:
    """The socket of one stream; everything on one loop.

    Args:
        leg: Twilio's half of the stream.
        url: Where the server is: wss, or ws on this machine.
        auth_token: Signs the handshake; None sends no signature.
        debugger: Where warnings and errors go.
        behaviour: The switches for what is not known of Twilio.
        signed_url: Signed in place of `url`, for a server that is known by another name.

    Attributes:
        sent: How many messages of each kind were sent.
        dropped: How many frames of the caller were dropped because the server read too slowly.
        on_sent: Called with each message that was sent and its time, if not None.
    """

    def __init__(
        self,
        leg: StreamLeg,
        *,
        url: str,
        auth_token: str | None,
        debugger: Debugger,
        behaviour: Behaviour | None = None,
        signed_url: str | None = None,
    ) -> None:
        self.leg = leg
        self.url = url
        self.sent: Counter[str] = Counter()
        self.dropped = 0
        self.on_sent: Callable[[from_twilio.Message, float], None] | None = None
        self._auth_token = auth_token
        self._debugger = debugger
        self._behaviour = behaviour or leg.behaviour
        self._signed_url = signed_url
        self._connection: _Socket | None = None
        self._reader: asyncio.Task[StreamEnding] | None = None
        self._stopping = self._ended_by_us = False
        self._left_open: asyncio.TimerHandle | None = None
        self._heard_out = asyncio.Event()
        self._congested = False
        self._giving_up = False

    async def connect(self) -> None:
        """Shake hands and send *connected* and *start*, within `HANDSHAKE_SECONDS`.

        Cancelling it leaves no socket open.

        Raises:
            StreamFailed: If the server cannot be reached or refuses; it is in the debugger, too.
        """
        try:
            target = read_url(self.url, self._behaviour)
            signed = self._signed_url or target.signed
            self._connection = await open_socket(target.url, signed, self._auth_token)
            self._connection.is_mute_after_error = self._is_half_open_after_error
        except StreamFailed as failure:
            self._log(failure.code or 0, join_sentences(failure.problem, failure.fix))
            raise
        name = f"simulated stream {self.leg.stream_sid}"
        self._reader = asyncio.create_task(self._read(self._connection), name=name)
        self._send(self.leg.opening(), time.monotonic())

    def tick(self, now: float, inbound_frame: bytes, outbound_frame: bytes | None = None) -> bytes:
        """Let 20 ms pass: send the caller's frame, return the one for the ear.

        Args:
            now: Monotonic seconds.
            inbound_frame: What the caller said, 160 bytes PCMU.
            outbound_frame: What others play to the caller, for a stream that listens to that.
        """
        heard, messages = self.leg.frame(inbound_frame, now, outbound_frame)
        if self._reader is not None and self._reader.done() and not len(self.leg.playout):
            self._heard_out.set()
        if messages:
            if self._is_congested():
                self.dropped += len(messages)
                messages = [m for m in messages if not isinstance(m, from_twilio.Media)]
                self.dropped -= len(messages)
            self._send(messages, now)
        if self.leg.listen(now):
            self._log_warnings()
        return heard

    def press(self, digit: str) -> None:
        """Tell the server of a key; a stream of ``<Start>`` is not told."""
        self._send(self.leg.press(digit), time.monotonic())

    async def stop(self) -> None:
        """End the stream from Twilio's side: *stop*, then a Close, within `CLOSE_WAIT_SECONDS`.

        Which Close, or none at all, says `Behaviour.close_at_end`; without one the connection is
        left open, until `release`.  It may be called at any time, and more than once; cancelling it
        breaks the connection off.
        """
        if self._connection is None or self._reader is None:
            return
        has_begun, self._stopping = self._stopping, True
        self._heard_out.set()
        if not has_begun and self._connection.protocol.state is State.OPEN:
            self._ended_by_us = True
            self._send(self.leg.stop(), time.monotonic())
            if self._behaviour.close_at_end == "nothing":
                self._leave_open(SILENT_END_SECONDS)
                self._reader.cancel()
            else:
                self._close(NORMAL_CLOSE if self._behaviour.close_at_end == "1000" else None)
        try:
            await asyncio.wait([self._reader], timeout=CLOSE_WAIT_SECONDS)
        finally:
            if self._left_open is None:
                self._connection.transport.abort()
        await asyncio.wait([self._reader])

    async def release(self, seconds: float) -> None:
        """Wait until the server closes a connection that was left open; drop it after `seconds`."""
        if self._connection is None or self._left_open is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._connection.wait_closed()
        except TimeoutError:
            pass  # it is dropped now
        finally:
            self.drop()

    def drop(self) -> None:
        """Drop a connection that was left open, at once."""
        if self._connection is not None and self._left_open is not None:
            self._left_open.cancel()
            self._connection.transport.abort()

    async def closed(self) -> StreamEnding:
        """Wait until the stream is over; any number of tasks may, and may be cancelled.

        Raises:
            RuntimeError: If the stream was never connected.
        """
        if self._reader is None:
            raise RuntimeError("the stream was never connected: await connect() first")
        return await asyncio.shield(self._reader)

    async def over(self) -> StreamEnding:
        """Wait until the stream is over, and what may still be heard of it has been heard.

        Only `Behaviour.plays_after_close` leaves something: what the server had sent before it
        closed.  Somebody must go on to call `tick`.
        """
        ending = await self.closed()
        if ending.reason == "server-closed" and self._behaviour.plays_after_close:
            await self._heard_out.wait()
        return ending

    @property
    def _is_half_open_after_error(self) -> bool:
        return self._behaviour.after_protocol_error == "half-open"

    async def _read(self, connection: ClientConnection) -> StreamEnding:
        count = 0
        try:
            while not self.leg.broken:
                message = await connection.recv()
                now = time.monotonic()
                self._send(self.leg.receive(message, now), now)
                self._log_warnings()
                count += 1
                if not count % _MESSAGES_AT_A_TIME:
                    await asyncio.sleep(0)  # a server that floods us must not stop the beat
            if self._is_half_open_after_error:
                self._leave_open(HALF_OPEN_SECONDS)
            else:
                self._close(PROTOCOL_ERROR_CLOSE)
                async with asyncio.timeout(1):
                    while True:  # or a full queue would hide the server's answer to the Close
                        await connection.recv()
                        await asyncio.sleep(0)
        except (ConnectionClosed, TimeoutError):
            pass  # how it was closed is read from the connection
        except asyncio.CancelledError:
            if self._left_open is None:
                raise
        finally:
            if self._left_open is None:
                connection.transport.abort()
        self.leg.finish(time.monotonic())
        self._log_warnings()
        ending = ending_of(
            connection.protocol,
            broken=self.leg.broken,
            stopping=self._ended_by_us,
            normal_close=self._behaviour.normal_close,
        )
        if ending.error_code is not None and not self.leg.broken:
            self._log(ending.error_code, ending.in_words, level=None if ending.failed else "note")
        return ending

    def _leave_open(self, seconds: float) -> None:
        """Let go of the connection without a word; TCP is dropped `seconds` later."""
        if self._connection is not None:
            loop = asyncio.get_running_loop()
            self._left_open = loop.call_later(seconds, self._connection.transport.abort)

    def _send(self, messages: Iterable[from_twilio.Message], now: float) -> None:
        connection = self._connection
        if connection is None:
            return
        protocol = connection.protocol
        if protocol.state is not State.OPEN:
            self._give_up_later(connection)
            return
        for message in messages:
            protocol.send_text(message.to_json().encode())
            self.sent[_KINDS[type(message)]] += 1
            if self.on_sent is not None:
                self.on_sent(message, now)
        if data := protocol.data_to_send():
            connection.transport.write(b"".join(data))

    def _give_up_later(self, connection: _Socket) -> None:
        """See to it that a closing handshake ends, even if the server never drops TCP."""
        if not self._giving_up:
            self._giving_up = True
            if connection.is_mute and self._reader is not None:
                self._leave_open(HALF_OPEN_SECONDS)
                self._reader.cancel()
                return
            loop = asyncio.get_running_loop()
            loop.call_later(CLOSE_WAIT_SECONDS, connection.transport.abort)

    def _close(self, code: int | None) -> None:
        connection = self._connection
        if connection is not None and connection.protocol.state is State.OPEN:
            connection.protocol.send_close(code)
            connection.send_data()

    def _is_congested(self) -> bool:
        connection = self._connection
        if connection is None:
            return False
        waiting = connection.transport.get_write_buffer_size()
        if waiting > _SLOW_READER_BYTES and not self._congested:
            self._congested = True
            self._log(OVERFLOW, f"{waiting} bytes wait for the server to read them")
        elif self._congested and waiting < _SLOW_READER_BYTES // 2:
            self._congested = False
        return self._congested

    def _log_warnings(self) -> None:
        for warned in self.leg.take_warnings():
            self._log(warned.code, warned.text, warned)
        for objection in self.leg.take_unlogged():
            self._debugger.note(objection, self.leg.stream_sid, self.leg.call_sid)

    def _log(
        self, code: int, text: str, warned: Warned | None = None, *, level: Severity | None = None
    ) -> None:
        self._debugger.log(
            code,
            text,
            level=level,
            stream_sid=self.leg.stream_sid,
            call_sid=self.leg.call_sid,
            message=warned.message if warned else None,
            objections=warned.objections if warned else (),
        )


class StreamFailed(CallRefused):
    """A stream could not be opened.

    Attributes:
        code: Twilio's number, 31901 to 31923.
        text: Twilio's title for it, as the status callback says it (§8).
    """

    def __init__(self, code: int, problem: str, *, fix: str = "") -> None:
        known = explain(code)
        consequence = f"Twilio would end the stream with {code} ({known.name})"
        super().__init__(problem, code=code, consequence=consequence, fix=fix)
        self.text = known.name


@dataclass(frozen=True, slots=True)
class StreamUrl:
    """Where to connect, and what to sign.

    Attributes:
        url: As given, without query string and fragment.
        signed: What the signature is computed over (§10.25).
        dropped: The query string that was taken away, or empty.
    """

    url: str
    signed: str
    dropped: str = ""


def read_url(url: str, behaviour: Behaviour) -> StreamUrl:
    """Take the URL of a stream apart as Twilio would.

    Raises:
        StreamFailed: 31923 if it is no URL, 31922 if it is not wss (or ws on this machine), 31920
            if it has a query string and `behaviour` is strict.
    """
    if not isinstance(url, str):
        raise TypeError(f"url is {url!r}; give a string. {_URL_FORM}")
    shown = hide_user(url)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise StreamFailed(
            31923, f"{shown!r} is not a URL: {describe_url_error(url, error)}", fix=_URL_FORM
        ) from error
    if not url:
        raise StreamFailed(31923, "the URL of the stream is empty", fix=_URL_FORM)
    if parts.scheme not in ("ws", "wss"):
        raise StreamFailed(31922, f"{shown!r} is not a wss URL", fix=_URL_FORM)
    if not host:
        raise StreamFailed(31923, f"{shown!r} is not a URL: it names no host", fix=_URL_FORM)
    if any(character.isspace() for character in url):
        raise StreamFailed(31923, f"{shown!r} is not a URL: it contains a space", fix="Write %20")
    if parts.scheme == "ws" and not is_loopback_host(host):
        fix = "Twilio speaks TLS only: put the server behind a tunnel and use its wss address"
        raise StreamFailed(31922, f"{shown!r} is not encrypted", fix=fix)
    if parts.query and behaviour.strict:
        fix = "Pass values as <Parameter>; they arrive in the start message"
        raise StreamFailed(31920, f"{shown!r} has a query string", fix=fix)
    url = urlunsplit(parts._replace(query="", fragment=""))
    bare = APPENDS_SLASH_TO_BARE_HOST and not parts.path
    return StreamUrl(url, compute_signed_url(f"{url}/" if bare else url), parts.query)


_URL_FORM = "Write wss://host/path; on this machine ws://127.0.0.1:port/path will do"


class _Socket(ClientConnection):
    """A connection that can fall silent once the server has broken a rule of WebSocket.

    Attributes:
        is_mute_after_error: Whether it does, in place of a Close.
    """

    is_mute_after_error = False

    @property
    def is_mute(self) -> bool:
        """Whether it has fallen silent: the library wants to close it for a rule broken."""
        sent = self.protocol.close_sent
        return self.is_mute_after_error and sent is not None and sent.code in _OUR_OBJECTIONS

    def send_data(self) -> None:
        """Write what the protocol has to say, unless the connection is mute."""
        if self.is_mute:
            self.protocol.data_to_send()
        else:
            super().send_data()


async def open_socket(url: str, signed: str, auth_token: str | None) -> _Socket:
    """Connect and shake hands; redirects and proxies are not followed.

    It ends after `HANDSHAKE_SECONDS` at the latest.  Cancelling it leaves nothing open.

    Raises:
        StreamFailed: With the number that Twilio gives to the failure (§2.3, §5.1).
    """
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            return await _connect(url, signed, auth_token)
    except TimeoutError as error:
        problem = f"{hide_user(url)} did not answer within {HANDSHAKE_SECONDS:g} s"
        fix = "Is it the right address, and does anything in between forward WebSockets?"
        raise StreamFailed(31901, problem, fix=fix) from error
    except (OSError, EOFError, ValueError, InvalidHandshake, InvalidURI) as error:
        raise _failure(url, error) from error


async def _connect(url: str, signed: str, auth_token: str | None) -> _Socket:
    uri = parse_uri(url)
    loop = asyncio.get_running_loop()

    def protocol() -> _Socket:
        # Not websockets.connect: it follows redirects, which Twilio does not (§2.3).
        return _Socket(
            ClientProtocol(uri, max_size=MESSAGE_LIMIT),
            ping_interval=None,
            close_timeout=CLOSE_WAIT_SECONDS,
        )

    _, connection = await loop.create_connection(
        protocol, uri.host, uri.port, ssl=True if uri.secure else None
    )
    headers = {} if auth_token is None else {"x-twilio-signature": sign(auth_token, signed)}
    try:
        await connection.handshake(headers, USER_AGENT)
    except BaseException:
        connection.transport.abort()
        with contextlib.suppress(OSError):
            await asyncio.shield(connection.wait_closed())
        raise
    return connection


def _failure(url: str, error: Exception) -> StreamFailed:
    shown = hide_user(url)
    if isinstance(error, InvalidStatus):
        return _refused_upgrade(url, error)
    if isinstance(error, InvalidURI | UnicodeError):
        return StreamFailed(31923, f"{shown!r} is not a URL", fix=_URL_FORM)
    if isinstance(error, InvalidHandshake | EOFError) or type(error) is ValueError:
        # The bare ones are how websockets 14 reports an answer that is not HTTP.
        fix = "Is this the port of a WebSocket server?"
        return StreamFailed(31920, f"{shown} did not answer as WebSocket: {error}", fix=fix)
    if isinstance(error, ssl.SSLError):
        fix = "Twilio wants a certificate that any browser would accept; on this machine use ws://"
        return StreamFailed(31910, f"{shown} failed at TLS: {error}", fix=fix)
    if isinstance(error, gaierror) or _has_errno(error, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return StreamFailed(31904, f"{shown} cannot be reached: {error}", fix="Check the name")
    if _has_errno(error, errno.ECONNREFUSED):
        fix = "Is the server running, and on this port?"
        return StreamFailed(31902, f"{shown} refused the connection", fix=fix)
    if url.startswith("wss:"):
        problem = f"{shown} broke off while TLS was negotiated: {error}"
        return StreamFailed(31910, problem, fix="A server without TLS does that")
    fix = "Look into the log of the server, or of what stands in front of it"
    return StreamFailed(31920, f"{shown} broke off during the handshake: {error}", fix=fix)


def _refused_upgrade(url: str, error: InvalidStatus) -> StreamFailed:
    status = error.response.status_code
    problem = f"{hide_user(url)} answered HTTP {status} instead of 101"
    body = (error.response.body or b"")[:200].decode("utf-8", "replace").strip()
    if body:
        problem += f" ({' '.join(body.split())!r})"
    fix = {
        401: "The signature was not accepted: compare the auth token and the public URL",
        403: "The signature was not accepted: compare the auth token and the public URL; some "
        "frameworks, such as FastAPI, also say 403 where nothing lives at the path",
        404: "Check the path; a query string never arrives",
    }.get(status, "Is this the path of the WebSocket, and does the server speak it there?")
    if 300 <= status < 400:
        fix = "Twilio follows no redirects here: give the address that it leads to"
    return StreamFailed(31920, problem, fix=fix)


def _has_errno(error: Exception, *numbers: int) -> bool:
    # A name with several addresses fails with one error that quotes the errors of all.
    quoted = str(error)
    return any(
        getattr(error, "errno", None) == number or f"[Errno {number}]" in quoted
        for number in numbers
    )


EndingReason = Literal["stopped", "server-closed", "broken", "protocol-error"]


@dataclass(frozen=True, slots=True)
class EndingWords:
    """One way in which a stream ends, in words.

    Attributes:
        for_server: As Twilio's console might say it; ``{}`` stands for the close code.
        for_call: As the report of a simulated caller says it, which shows the code behind it.
    """

    for_server: str
    for_call: str


ENDINGS: dict[EndingReason, EndingWords] = {
    "stopped": EndingWords("the call ended, or its TwiML was replaced", "the caller hung up"),
    "server-closed": EndingWords(
        "your server closed the connection with {}", "the server closed the connection"
    ),
    "broken": EndingWords("the connection died without a Close frame", "the connection died"),
    "protocol-error": EndingWords(
        "your server broke a rule of WebSocket", "the server broke a rule that ends the stream"
    ),
}
"""All ways in which a stream ends."""


@dataclass(frozen=True, slots=True)
class StreamEnding:
    """How a stream ended.

    Attributes:
        reason: One of `ENDINGS`.
        close_code: What the server's Close frame said, 1005 for one without status, 1006 for none.
        error_code: What Twilio logs for it, or None.
        detail: Which rule was broken, in the words of our WebSocket library, or empty.
    """

    reason: EndingReason
    close_code: int
    error_code: int | None = None
    detail: str = ""

    @property
    def failed(self) -> bool:
        """Whether something went wrong: not where the server closed with 1000, which is logged."""
        return self.error_code is not None and not self._is_meant

    @property
    def _is_meant(self) -> bool:
        return self.reason == "server-closed" and self.close_code == NORMAL_CLOSE

    @property
    def in_words(self) -> str:
        """What happened, in a sentence."""
        words = ENDINGS[self.reason].for_server.format(self.close_code)
        if self._is_meant:
            words += "; expected when you meant to end the stream"
        return f"{words}: {self.detail}" if self.detail else words


def ending_of(
    protocol: Protocol, *, broken: bool, stopping: bool, normal_close: NormalClose
) -> StreamEnding:
    """Read from a closed connection how its stream ended.

    Args:
        protocol: The connection's, after it was closed.
        broken: Whether the server said something on a stream that only listens.
        stopping: Whether Twilio's side ended it.
        normal_close: What is logged for a close with 1000 (§10.5).
    """
    received, sent = protocol.close_rcvd, protocol.close_sent
    code = int(received.code) if received else int(CloseCode.ABNORMAL_CLOSURE)
    if broken:
        return StreamEnding("protocol-error", code, PROTOCOL_ERROR)
    if stopping:
        return StreamEnding("stopped", code)
    if received is not None:
        is_silent = code == NORMAL_CLOSE and normal_close == "silent"
        return StreamEnding("server-closed", code, None if is_silent else CLOSED_BY_SERVER)
    if sent is not None and sent.code in _OUR_OBJECTIONS:
        return StreamEnding("protocol-error", code, PROTOCOL_ERROR, sent.reason)
    return StreamEnding("broken", code, BROKEN_PIPE)


_OUR_OBJECTIONS = (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG)
