"""`StreamApp`: the server of `StreamServer` as an ASGI application, for production.

`stream_host` has the streams and `webhooks` the answers, as for `StreamServer`; `_asgi_socket`
brings a stream its WebSocket, and `_shutdown_signals` the drain before the server stops.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import threading
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote, unquote

from twistream_kit.errors import (
    ServerStopped,
    WrongState,
    WrongValue,
    is_finite,
    require_type,
)
from twistream_kit.live.server._asgi_socket import ASGISocket, Event, Receive, Send
from twistream_kit.live.server._shutdown_signals import shutdown_signals
from twistream_kit.live.server.addresses import HEALTH_PATH
from twistream_kit.live.server.request_head import MAX_HEAD_BYTES, MAX_HEADERS
from twistream_kit.live.server.stream_host import DEAD_AFTER_SECONDS, StreamHost
from twistream_kit.live.server.web_request import MAX_BODY_BYTES, Answer, WebRequest
from twistream_kit.live.settings.secret import Secret, reveal_text
from twistream_kit.live.stream.handler import Handler
from twistream_kit.pending import Pending, Subject, fulfil
from twistream_kit.protocol import signature
from twistream_kit.protocol.ending import NORMAL_CLOSURE
from twistream_kit.protocol.playout import SEND_AHEAD_SECONDS

logger = logging.getLogger("twistream_kit.live")

DRAIN_SECONDS = 20.0
"""Less than the 30 s that Kubernetes gives a pod, and than the 90 s of systemd."""

STOP_SECONDS = 5.0
"""How long the streams may take to end that are not finished after `drain_seconds`."""

DRAINING = "This process is about to stop and opens no stream any more.\n"


_DRAIN = Subject("drain of the application", "None", kind=type(None))


class StreamApp(StreamHost):
    """A server for Twilio's bidirectional Media Streams, as an ASGI application.

    It answers as `StreamServer` does: streams at `path`, TwiML at ``/twiml``, status callbacks at
    ``/status``, and ``/health``.  Run it with uvicorn, hypercorn or granian, alone or mounted in
    Starlette or FastAPI: ``app.mount("/voice", stream_app)``.

    Each worker process has its own streams: `next_stream`, `streams` and `status_events` speak of
    their own process.

    Before the server stops, the streams are *drained*: no new one is opened (503), what is queued
    is heard, and each is closed with 1000.  This begins at SIGTERM or SIGINT, before the server's
    own handlers, if the application runs on the main thread; at the end of its lifespan; or with
    `drain`.  A second signal, at least a second after the first, goes to the server at once.

    Args:
        handler: As for `StreamServer`.
        auth_token: The account's auth token, by which handshakes and webhooks are checked; None
            checks no signature, but ``Host``: see `allowed_hosts`.
        public_url: The address at which Twilio reaches this application, with the path at which it
            is mounted, such as ``https://example.com/voice``.  Signatures are computed over it,
            whatever a proxy says in its headers.
        path: The path at which streams connect, below `public_url`.
        allowed_hosts: Hosts for which requests are accepted without a token, besides loopback and
            the host of `public_url`.
        send_ahead_seconds: How much sound is sent ahead of its playout, 0.2 to 590 s.
        dead_after: Seconds without a message after which a stream is taken as lost.
        drain_seconds: How long a drain waits for what is queued to be heard.

    Raises:
        SettingsError: If `path`, `public_url`, `auth_token` or `allowed_hosts` cannot be used.
        TypeError: If `handler` is no function of one stream, or is a generator function.
        ValueError: If a number is out of range.

    Example:
        >>> import twistream_kit as kit
        >>> import threading
        >>> import uvicorn
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        ...     stream.close()
        >>> stream_app = kit.StreamApp(
        ...     answer, auth_token="the account's token", public_url="http://127.0.0.1:8765"
        ... )
        >>> server = uvicorn.Server(uvicorn.Config(stream_app, port=8765, log_level="error"))
        >>> thread = threading.Thread(target=server.run)
        >>> thread.start()
        >>> while not server.started:
        ...     thread.join(0.01)
        >>> report = kit.simulate_call(
        ...     stream_app.stream_url, auth_token="the account's token"
        ... ).result(10)
        >>> report.sound_seconds, report.close_code
        (0.2, 1000)
        >>> server.should_exit = True
        >>> thread.join()
    """

    _called = ("the stream application", "stream_app")

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        auth_token: str | Secret | None,
        public_url: str,
        path: str = "/media",
        allowed_hosts: Sequence[str] = (),
        send_ahead_seconds: float = SEND_AHEAD_SECONDS,
        dead_after: float = DEAD_AFTER_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        require_type("a number", drain_seconds=drain_seconds)
        if not (is_finite(drain_seconds) and drain_seconds >= 0):
            raise WrongValue(f"drain_seconds is {drain_seconds}; it is a number of seconds from 0")
        super().__init__(
            handler,
            path=path,
            auth_token=auth_token,
            send_ahead_seconds=send_ahead_seconds,
            dead_after=dead_after,
            nonce=_derive_nonce(auth_token, public_url),
            public_url=public_url,
            allowed_hosts=allowed_hosts,
        )
        self._drain_seconds = drain_seconds
        self._drained: Pending[None] | None = None
        self._lock = threading.Lock()
        self._serving: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        n_open = sum(stream.is_open for stream in self.streams)
        # The address may contain a password.
        url = signature.remove_user(self.stream_url) if self.public_url else "without an address"
        state = ", draining" if self._is_draining else ""
        return f"<StreamApp {url}: {n_open} open of {len(self.streams)} streams{state}>"

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one connection, request or lifespan, as ASGI 3 defines it."""
        self._enter()
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve_request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
        else:
            raise ValueError(f"a scope of type {scope['type']!r} is not served here")

    @property
    def is_serving(self) -> bool:
        """Whether a stream is open in this process, or about to begin."""
        return bool(self._serving)

    def refuse_streams(self) -> None:
        """Open no stream any more: answer each with 503, and ``/health``, too."""
        self._is_draining = True

    def drain(self) -> Pending[None]:
        """Open no stream any more, and close each open one once what is queued was heard.

        Callable from any thread, and more than once.  ``/health`` answers 503 from now on, so that
        a load balancer sends no new calls; webhooks are still answered.

        Returns:
            A `Pending` that is done when no stream is open any more: at the latest some seconds
            after `drain_seconds`.
        """
        with self._lock:
            if self._drained is None:
                self._is_draining = True
                loop = self._home.loop
                if loop is None or loop.is_closed():
                    self._drained = Pending(None, _DRAIN)
                    fulfil(self._drained, None)
                else:
                    self._drained = self._home.start(self._end_in_order(), _DRAIN)
            return self._drained

    def _enter(self) -> None:
        """Use the running loop, when the first scope arrives."""
        if self._home.is_current():
            return
        if (earlier := self._home.loop) is not None:
            if not earlier.is_closed():
                raise WrongState(
                    "a StreamApp is used on one event loop, and got a connection on another: make "
                    "one StreamApp for each loop"
                )
            self._reset()
        self._home.enter()
        self._begin_run()
        if not shutdown_signals.put_before(self):
            logger.info(
                "the application does not run on the main thread, so it sees no signals: call "
                "drain() before the server stops"
            )

    def _reset(self) -> None:
        self._is_draining, self._drained = False, None
        self._serving.clear()

    @property
    def _local_url(self) -> str:
        raise ServerStopped(
            "the stream application has no public address any more, and none of its own",
            consequence="Twilio cannot reach it",
            fix="Set stream_app.public_url to the address at which it is reached now",
        )

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self.drain()
        shutdown_signals.remove(self)
        self._end_streams()
        await self._home.leave()
        self._end_run()
        self._reset()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve_request(self, scope: Event, receive: Receive, send: Send) -> None:
        web = _read_head(scope)
        if not web.refusal:
            body = await _read_body(receive)
            if body is None:
                return  # nobody waits for the answer
            web.body = body
            web.refusal = 413 if len(body) > MAX_BODY_BYTES else 0
        answer = self._admission.answer(web)
        if answer is None:
            raise RuntimeError("only a WebSocket can be admitted as a stream")
        if self._is_draining and web.path == HEALTH_PATH and answer.status == HTTPStatus.OK:
            answer = Answer(HTTPStatus.SERVICE_UNAVAILABLE, DRAINING)
        await _send_answer(send, answer, "http.response")

    async def _serve_socket(self, scope: Event, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        web = _read_head(scope)
        answer = self._admission.answer(web)
        if answer is None and self._is_draining:
            logger.info("a stream was refused, because the streams are drained")
            answer = Answer(HTTPStatus.SERVICE_UNAVAILABLE, DRAINING)
        if answer is not None:
            if "websocket.http.response" in (scope.get("extensions") or {}):
                await _send_answer(send, answer, "websocket.http.response")
            else:
                await send({"type": "websocket.close"})  # the server says 403
            return
        try:
            await send({"type": "websocket.accept"})
        except OSError:
            return  # the peer has gone before it could be accepted
        served = asyncio.get_running_loop().create_future()
        self._serving.add(served)
        socket = ASGISocket(receive, send)
        try:
            await self._serve_stream(socket)
        finally:
            try:
                await socket.close(NORMAL_CLOSURE)  # without effect after the end of a stream
            finally:
                self._serving.discard(served)
                served.set_result(None)

    async def _end_in_order(self) -> None:
        """Carry out a drain."""
        is_open = [stream for stream in self.streams if stream.is_open]
        logger.info("draining: %d streams are open", len(is_open))
        for stream in is_open:
            stream.close()
        if not await self._wait_served(self._drain_seconds):
            logger.warning(
                "%d streams are ended before all was heard: drain_seconds is %g",
                len(self._sessions), self._drain_seconds,
            )  # fmt: skip
            for session in list(self._sessions):
                session.stop()
            await self._wait_served(STOP_SECONDS)

    async def _wait_served(self, seconds: float) -> bool:
        """Wait until no stream is served; return False if one still is."""
        if not self._serving:
            return True
        _, left = await asyncio.wait(self._serving, timeout=seconds)
        return not left


def _derive_nonce(auth_token: str | Secret | None, public_url: str) -> str | None:
    """Return what ``/health`` answers: the same in each worker of an application.

    It shows whether an address leads to this application, and a request through a load balancer
    reaches any of its workers.  Only who has the token can compute it, so that no other server
    answers it by chance or guesses it; and an application at another address has another.  From a
    token of 128 random bits nothing can be learned by the hash.  Without a token each process has
    a random one.
    """
    if auth_token is None:
        return None
    token = reveal_text(auth_token)
    require_type("a string", public_url=public_url)
    key = token.encode()
    return hmac.new(
        key, b"twistream_kit /health " + public_url.encode(), hashlib.sha256
    ).hexdigest()


def _read_head(scope: Event) -> WebRequest:
    """Return the request of a scope without its body; `refusal` is set if its head is refused."""
    is_upgrade = scope["type"] == "websocket"
    headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    query = bytes(scope.get("query_string") or b"").decode("latin-1")
    path = quote(_find_path(scope), safe="/:@!$&'()*+,;=~")
    web = WebRequest(
        "GET" if is_upgrade else scope["method"],
        path + ("?" + query if query else ""),
        is_upgrade=is_upgrade,
        headers=headers,
    )
    first_line_bytes = len(f"{web.method} {web.target} HTTP/1.1")
    head_bytes = sum(len(name) + len(value) + 4 for name, value in headers)
    lengths = web.get_all("Content-Length")
    body_bytes = int(lengths[0]) if lengths and lengths[0].isdecimal() else 0
    web.refusal = web.check_head(first_line_bytes, body_bytes)
    if not web.refusal and (head_bytes > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS):
        web.refusal = 431
    return web


def _find_path(scope: Event) -> str:
    """Return the path below the one at which the application is mounted.

    ``path`` contains ``root_path`` by the specification and in Starlette since 0.33; in older
    versions it does not, and neither below a proxy that removes it.  The raw path, which is never
    changed, distinguishes a mounted path that is repeated.
    """
    path: str = scope["path"]
    root: str = (scope.get("root_path") or "").rstrip("/")
    if not root or not (path == root or path.startswith(root + "/")):
        return path
    raw = unquote(bytes(scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1"))
    return path if raw == root + path else path[len(root) :]


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body, and no more of it than shows that it is too long; None if nobody waits."""
    body = bytearray()
    while len(body) <= MAX_BODY_BYTES:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        body += event.get("body", b"")
        if not event.get("more_body", False):
            break
    return bytes(body)


async def _send_answer(send: Send, answer: Answer, kind: str) -> None:
    body = answer.text.encode()
    headers = {**answer.headers, "Content-Length": str(len(body))}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": int(answer.status), "headers": raw})
    await send({"type": f"{kind}.body", "body": body})
