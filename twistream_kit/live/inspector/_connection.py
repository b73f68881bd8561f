"""One connection through an inspector, from its first byte to its last.

`ProxyConnection` reads the head of a request.  Either `ProxyAdmission` answers it, or the
connection to the `Upstream` is made and the bytes of both sides are relayed.  The inspector itself
answers a probe of its own health, a request that it refuses (403), and a request whose server
cannot be reached (502).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from socket import gaierror
from typing import Any
from urllib.parse import urlsplit

from twistream_kit.errors import SettingsError, hide_user
from twistream_kit.live.inspector._http import (
    READ_AHEAD_BYTES,
    ResponseHead,
    build_forwarded_head,
    read_head,
    read_response_head,
)
from twistream_kit.live.inspector._relay import (
    PIECE_BYTES,
    Peer,
    StreamTap,
    end_gracefully,
    has_failed,
    relay,
)
from twistream_kit.live.inspector.stream import UNASKED_EXTENSION, InspectedStream
from twistream_kit.live.server.addresses import HEALTH_PATH
from twistream_kit.live.server.admission import (
    UNSIGNED,
    describe_host_refusal,
    describe_origin_refusal,
    describe_page_refusal,
)
from twistream_kit.live.server.probe import HEALTH_OF_HEADER, hash_nonce
from twistream_kit.live.server.request_head import REFUSALS, BadRequest, RequestHead
from twistream_kit.live.settings.secret import Secret, reveal_text
from twistream_kit.pending import HomeLoop, end_tasks
from twistream_kit.protocol import signature
from twistream_kit.protocol.url_repair import repair_url

logger = logging.getLogger("twistream_kit.live")

HEAD_SECONDS = 10.0
"""How long a client may take to send the head of its request."""

CONNECT_SECONDS = 10.0
"""How long connecting may take; Twilio's own limit is not documented (PROTOCOL.md §2.3)."""

GONE_SECONDS = 30.0
"""How long to wait for the server's response after the client has half-closed its connection."""

_FORM = "Give it as ws://localhost:8080/media, or wss://example.com/media"


@dataclass(frozen=True, slots=True)
class ProxyContext:
    """What all connections of one inspector share: its loop, its options and its callbacks.

    Attributes:
        home: The inspector's loop.
        admission: Answers the requests that are not passed on.
        upstream: The server behind the inspector.
        ssl_context: For TLS to the server, or None.
        scheme: Returns the scheme that clients use: ``http``, or ``https`` through a tunnel.
        opened: Called with each stream whose handshake the server has accepted.
        started: Called with each stream whose start message has arrived.
        ended: Called with each stream that has ended.
    """

    home: HomeLoop
    admission: ProxyAdmission
    upstream: Upstream
    ssl_context: ssl.SSLContext | None
    scheme: Callable[[], str]
    opened: Callable[[InspectedStream], None]
    started: Callable[[InspectedStream], None]
    ended: Callable[[InspectedStream], None]


class ProxyConnection:
    """One client's connection, and the connection to the server that is made for it.

    Args:
        context: What all connections of the inspector share.
        client: Twilio, a tunnel, or any other client.
    """

    def __init__(self, context: ProxyContext, client: Peer) -> None:
        self._context = context
        self._client = client

    async def run(self) -> None:
        """Run until the connection ends; cancelling closes both connections."""
        try:
            await self._serve_request()
        except BadRequest as error:
            with contextlib.suppress(OSError):
                await self._refuse(HTTPStatus(error.status), REFUSALS[error.status])
        except (OSError, TimeoutError):
            pass  # the client has disconnected, or never sent a whole head
        finally:
            await self._client.close()

    async def _serve_request(self) -> None:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await read_head(self._client.reader)
        if head is None:
            return
        answer = self._context.admission.answer(head)
        if answer is not None:
            await self._answer(answer)
            return
        if head.is_upgrade and head.body_bytes:
            raise BadRequest(400)  # the server would read the body as the first WebSocket frames
        server = await self._connect()
        if server is None:
            return
        try:
            passed_on = build_forwarded_head(
                head,
                self._context.upstream.authority,
                came_from=self._client.address,
                scheme=self._context.scheme(),
            )
            await server.send(passed_on)
            if head.is_upgrade:
                await self._pass_handshake(server)
            else:
                await self._pass_request(server, head.body_bytes)
        finally:
            await server.close()

    async def _connect(self) -> Peer | None:
        upstream = self._context.upstream
        try:
            reader, writer = await upstream.connect(self._context.ssl_context, READ_AHEAD_BYTES)
        except Unreachable as error:
            logger.error(
                "your server at %s cannot be reached: %s. Twilio, connecting there itself, would "
                "log %d; through the inspector it logs 31920, because it gets HTTP 502",
                upstream.url,
                error.problem,
                error.code,
            )
            text = f"The server behind this inspector cannot be reached: {error.problem}.\n"
            await self._refuse(HTTPStatus.BAD_GATEWAY, text)
            return None
        return Peer(reader, writer)

    async def _refuse(self, status: HTTPStatus, text: str) -> None:
        await self._answer(_build_response(status, text))

    async def _answer(self, answer: bytes) -> None:
        """Send an answer of the inspector's own, the last of its connection."""
        await self._client.send(answer)
        # Closing over unread bytes would reset the connection, and the client lose the answer.
        await end_gracefully(self._client)

    async def _pass_request(self, server: Peer, size: int) -> None:
        """Relay a request with its body, and the response; the last of the connection."""
        body = asyncio.create_task(_pass_body(self._client, server, size))
        answer = asyncio.create_task(_pass_rest(server, self._client))
        try:
            await asyncio.wait((body, answer), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and not has_failed(body):
                await asyncio.wait((answer,), timeout=GONE_SECONDS)
        finally:
            await end_tasks({body, answer})
            for task in (body, answer):
                has_failed(task)

    async def _pass_handshake(self, server: Peer) -> None:
        """Relay the server's response to a handshake; relay the stream if it is accepted."""
        status, early = 100, b""
        while 100 <= status < 200 and status != HTTPStatus.SWITCHING_PROTOCOLS:
            raw, said = await _wait_unless_gone(read_response_head(server.reader), self._client)
            early += said
            if not raw and self._client.reader.at_eof():
                logger.warning("the client closed the connection before your server answered")
                return
            head = ResponseHead.parse(raw)
            status = head.status
            await self._client.send(raw)
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            await self._relay_stream(server, head, early)
            return
        how = f"refused a stream with HTTP {status}" if status else "did not answer a handshake"
        hint = "" if status or self._context.upstream.is_secure else "; is its address wss, not ws?"
        logger.warning("your server %s; Twilio would log 31920%s", how, hint)
        rest = asyncio.create_task(_pass_rest(server, self._client))
        client = asyncio.create_task(self._client.read_out())
        try:
            await asyncio.wait((rest, client), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks({rest, client})
            has_failed(rest)

    async def _relay_stream(self, server: Peer, head: ResponseHead, early: bytes) -> None:
        context = self._context
        stream = InspectedStream(context.home, time.monotonic())
        tap = StreamTap(stream, lambda: context.started(stream))
        context.opened(stream)
        if head.has("Sec-WebSocket-Extensions"):
            stream.object_to_handshake(UNASKED_EXTENSION, time.monotonic())
        is_stopped = True
        try:
            if early:
                tap.note_passed("twilio", early)
                await server.send(early)
            with context.home.hurry_loop():
                await relay(
                    self._client,
                    server,
                    lambda piece: tap.note_passed("twilio", piece),
                    lambda piece: tap.note_passed("server", piece),
                    tap.has_room,
                )
            is_stopped = False
        except OSError:
            is_stopped = False
            await end_gracefully(self._client, server)
        finally:
            await tap.finish()
            stream.end(time.monotonic(), stopped_here=is_stopped)
            context.ended(stream)


async def _pass_body(client: Peer, server: Peer, size: int) -> None:
    """Relay exactly `size` bytes, then wait until the client disconnects.

    Bytes after a body would be another request, whose head has not been checked.
    """
    while size:
        piece = await client.reader.read(min(size, PIECE_BYTES))
        if not piece:
            break
        size -= len(piece)
        await server.send(piece)
    await client.read_out()


async def _pass_rest(source: Peer, to: Peer) -> None:
    """Relay everything that `source` still sends."""
    while piece := await source.reader.read(PIECE_BYTES):
        await to.send(piece)


async def _wait_unless_gone(
    waiting: Coroutine[Any, Any, bytes], client: Peer
) -> tuple[bytes, bytes]:
    """Wait for bytes of the server, unless the client disconnects.

    Returns:
        The bytes, empty if the client disconnected first; and what the client sent meanwhile.
    """
    wanted = asyncio.create_task(waiting)
    said = asyncio.create_task(client.reader.read(PIECE_BYTES))
    try:
        await asyncio.wait((wanted, said), return_when=asyncio.FIRST_COMPLETED)
        if said.done() and said.result():
            await asyncio.wait((wanted,))
        early = said.result() if said.done() else b""
        return wanted.result() if wanted.done() else b"", early
    finally:
        await end_tasks({wanted, said})


class ProxyAdmission:
    """Decides which requests are passed on to the server, and answers the others.

    ``/health`` may be a page of the server's own, so it is passed on.  But a tunnel that probes
    whether it leads to this inspector sends the hash of a nonce in a header, and the inspector
    answers that request.

    With a token, the signatures of handshakes are checked.  Other requests are left to the server,
    which may have public pages.  But requests from pages of other sites are refused, because the
    server cannot recognise them once ``Host`` is its own.

    Args:
        auth_token: The account's token; None disables the check of signatures.
        stream_url_at: Returns the present public address of a path; signatures are computed over
            it.
        is_own_host: Whether a ``Host`` header names the inspector.
    """

    def __init__(
        self,
        auth_token: str | Secret | None,
        stream_url_at: Callable[[str], str],
        is_own_host: Callable[[str], bool],
    ) -> None:
        self._auth_token = None if auth_token is None else Secret(reveal_text(auth_token))
        self._stream_url_at = stream_url_at
        self._is_own_host = is_own_host
        self.nonce = secrets.token_hex(16)

    @property
    def checks_signatures(self) -> bool:
        """Whether there is a token."""
        return self._auth_token is not None

    def answer(self, head: RequestHead) -> bytes | None:
        """Return the response to a request, or None to pass the request on."""
        if refusal := self._describe_refusal(head):
            logger.warning("refused: %s", refusal)
            return _build_response(HTTPStatus.FORBIDDEN, f"{refusal}\n")
        if head.path == HEALTH_PATH and head.get_all(HEALTH_OF_HEADER) == [hash_nonce(self.nonce)]:
            return _build_response(HTTPStatus.OK, self.nonce)
        if not head.is_upgrade or self._auth_token is None:
            return None
        headers = head.get_all(signature.SIGNATURE_HEADER)
        settings = ",".join(head.get_all(signature.SETTINGS_HEADER)) or None
        url = self._stream_url_at(head.path) + head.target[len(head.path) :]
        token = self._auth_token.reveal()
        header = headers[0] if len(headers) == 1 else None
        if signature.is_valid_handshake(token, url, header, settings=settings):
            return None
        logger.warning(
            "a stream without a valid signature was refused: %s; is the public address right? "
            "It is %s here",
            signature.describe_refusal(headers, settings),
            signature.remove_user(self._stream_url_at(head.path)),
        )
        return _build_response(HTTPStatus.FORBIDDEN, UNSIGNED)

    def _describe_refusal(self, head: RequestHead) -> str:
        """Return why a request is refused, with any signature; empty if it is not refused."""
        if head.is_upgrade:
            if (refusal := describe_page_refusal(head.get_all)) or self.checks_signatures:
                return refusal
        elif not _is_from_own_page(head) and (refusal := describe_origin_refusal(head.get_all)):
            return refusal
        elif head.method == "GET" and head.path == HEALTH_PATH:
            return ""
        return describe_host_refusal(head.get_all, self._is_own_host)


def _is_from_own_page(head: RequestHead) -> bool:
    """Whether the request comes from a page of the server itself, loaded through the inspector."""
    origins, hosts = head.get_all("Origin"), head.get_all("Host")
    own = [f"{scheme}://{host}".lower() for scheme in ("http", "https") for host in hosts]
    return len(origins) == len(hosts) == 1 and origins[0].lower() in own


def _build_response(status: HTTPStatus, text: str) -> bytes:
    """Return a whole HTTP response, the last of its connection."""
    body = text.encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Upstream:
    """The address of the server behind an inspector.

    Attributes:
        host: Its name or IP address.
        port: The port that it listens on.
        path: The path at which its streams connect.
        is_secure: Whether it uses TLS.
    """

    host: str
    port: int
    path: str
    is_secure: bool

    @classmethod
    def parse(cls, url: str) -> Upstream:
        """Split a URL.

        Raises:
            SettingsError: If it is no ws or wss URL, or has a query or a user.
        """
        if repair := repair_url(url):
            raise SettingsError(f"the address {repair.problem}", fix=repair.fix)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        secure = {"ws": False, "http": False, "wss": True, "https": True}.get(parts.scheme)
        if secure is None or not host:
            problem = f"{hide_user(url)!r} is not the address of a WebSocket server"
            raise SettingsError(problem, fix=_FORM)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise SettingsError(
                f"the address {hide_user(url)!r} has a query, a fragment or a user",
                consequence="Twilio supports none of them, so nobody would ask for it",
                fix=_FORM,
            )
        return cls(host, port or (443 if secure else 80), parts.path or "/", secure)

    @property
    def authority(self) -> str:
        """Host and port, as a ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address of its WebSocket."""
        return f"{'wss' if self.is_secure else 'ws'}://{self.authority}{self.path}"

    async def connect(
        self, context: ssl.SSLContext | None, limit: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it; cancelling leaves nothing open.

        Args:
            context: For TLS; None uses the certificate authorities of this machine.
            limit: How many bytes to read ahead.

        Raises:
            Unreachable: If the connection cannot be made.
        """
        secure = (context or ssl.create_default_context()) if self.is_secure else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(self.host, self.port, ssl=secure, limit=limit)
        except TimeoutError:
            raise Unreachable(31901, f"no answer within {CONNECT_SECONDS:g} s") from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
            raise Unreachable(31910, f"TLS failed ({reason})") from None
        except ConnectionRefusedError:
            problem = "the connection was refused: it does not run, or not on this port"
            raise Unreachable(31902, problem) from None
        except gaierror:
            raise Unreachable(31904, "its name is not known") from None
        except ConnectionResetError:
            broken = "it reset the connection"
            problem = f"{broken} before TLS began; is it ws, not wss?" if secure else broken
            raise Unreachable(31904, problem) from None
        except OSError as error:
            reason = str(error.strerror or error) or type(error).__name__
            raise Unreachable(31904, reason) from None


class Unreachable(Exception):
    """The server cannot be connected to.

    Attributes:
        code: What Twilio would log if it connected there itself (§5.1).
        problem: A description of the error.
    """

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem
