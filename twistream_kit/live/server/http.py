"""HTTP requests on the port of the WebSocket: parsing, admission and answers.

`websockets` reads only the head of a request, and closes the connection on a POST with a body.
Twilio's webhooks are such POSTs.  Therefore `RequestConnection` collects the head and the body
first, keeps both, and passes a GET without a body to `websockets`.  h11 parses the head
(`request_head`), and the GET is serialized from its result, so that two parsers cannot interpret
the same bytes differently.

`RequestAdmission` then admits a stream or answers the request.  `Webhooks` has the answers: TwiML,
status callbacks, and the health check.  Twilio sends POST or GET (PROTOCOL.md §6.5) and signs each
request over the URL that was configured (§7), which behind a tunnel is not the one this process
sees.  So the signature is checked over the *configured* public address.

Nothing here reads or writes a WebSocket frame.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.protocol import State

from twistream_kit.errors import LocalProtocolError
from twistream_kit.live.calls.status import StatusEvent
from twistream_kit.live.server.addresses import (
    HEALTH_PATH,
    STATUS_PATH,
    TWIML_PATH,
    ServerAddresses,
)
from twistream_kit.live.server.admission import (
    UNSIGNED,
    describe_host_refusal,
    describe_page_refusal,
)
from twistream_kit.live.server.probe import PROBE_HEADER, sign_probe
from twistream_kit.live.server.request_head import (
    MAX_HEAD_BYTES,
    REFUSALS,
    BadRequest,
    RequestHead,
    is_malformed_start,
)
from twistream_kit.live.settings.secret import Secret, reveal_text
from twistream_kit.live.stream.session import DeliveringConnection
from twistream_kit.pending import LosesTransport
from twistream_kit.protocol import signature
from twistream_kit.protocol.twiml import connect_stream

logger = logging.getLogger("twistream_kit.live")

MAX_LINE_BYTES = 8192
"""The limit of `websockets` for a request line or a header, including its end."""

MAX_QUERY_FIELDS = 256
"""Twilio sends some forty.  Parsing thousands in an unsigned request would take milliseconds."""

URL_TOO_LONG = (
    f"The URL of this request is too long: at most {MAX_LINE_BYTES} bytes and {MAX_QUERY_FIELDS} "
    "fields in its query are read.  Send such data in the body of a POST.\n"
)
"""The body of a 414."""

MAX_BODY_BYTES = 65_536
"""The limit of a body.  A webhook of Twilio is a form of some hundred bytes."""

_EMPTY_LINE = re.compile(rb"\n\r?\n")
"""The end of a head.  Other programs end it without CR; waiting for more would be useless."""

_BODY_HEADERS = ("Content-Length", "Expect")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestConnection(LosesTransport, DeliveringConnection):
    """A server connection that accepts one HTTP request, with a body or without."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reader = RequestReader()
        self._is_handed_over = False
        # Of a WebSocket, until its handshake is answered; then None.
        self._early: bytearray | None = bytearray()

    @property
    def web(self) -> WebRequest:
        """The request, when its head and body are complete."""
        return self._reader.request

    def give_up(self) -> None:
        """Abort the connection if its request is not complete; for a server that stops."""
        if not self._is_handed_over and hasattr(self, "transport"):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect data until the request is complete, then pass it to `websockets`."""
        if self._is_handed_over:
            if self.web.is_upgrade:
                self._receive_frames(data)
            return  # one request for each connection: what follows it is ignored
        request = self._reader.take(data)
        if request is not None:
            self._is_handed_over = True
            self._receive_frames(self._reader.rest)
            super().data_received(request)
        elif self._reader.must_continue():
            self.transport.write(_CONTINUE)

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """Answer the request; then pass on the data after it, if it became a WebSocket.

        `websockets` parses frames as soon as they arrive.  Before the answer, an invalid frame or a
        Close frame would replace the answer, and be logged as an internal error.
        """
        await super().handshake(*args, **kwargs)
        early, self._early = self._early, None
        if early and self.state is State.OPEN:
            super().data_received(bytes(early))

    def _receive_frames(self, data: bytes) -> None:
        if self._early is None:
            super().data_received(data)
        elif self.response is None or self.state is State.OPEN:
            self._early += data  # for an iteration or two: `RequestAdmission` never waits
        # Otherwise the request is refused, and further data of the client is discarded.


class RequestReader:
    """Collects a request from pieces of any size; it does no I/O.

    The request is not authenticated yet, so the work is linear in its size, and at most
    `MAX_HEAD_BYTES` and `MAX_BODY_BYTES` are read.

    Attributes:
        request: The request, as far as it has been read.
        rest: The data after the head of a handshake: the first frames, if it is accepted.
    """

    def __init__(self) -> None:
        self.request = WebRequest()
        self.rest = b""
        self._received = bytearray()
        self._get = b""
        self._head_size = self._body_size = 0
        self._client_waits = False

    def take(self, data: bytes) -> bytes | None:
        """Add data; return the bytes for `websockets` when the request is complete or refused."""
        searched = len(self._received)
        self._received += data
        if not self._head_size:
            if is_malformed_start(self._received):
                return self._refuse(400)
            # Search the new data only: searching all of it each time would be quadratic.
            found = _EMPTY_LINE.search(self._received, max(0, searched - 2), MAX_HEAD_BYTES)
            if found is None:
                return self._refuse(431) if len(self._received) >= MAX_HEAD_BYTES else None
            self._head_size = found.end()
            try:
                head = RequestHead.parse(bytes(self._received[: self._head_size]))
            except BadRequest as error:
                return self._refuse(error.status)
            if refusal := self._read(head):
                return self._refuse(refusal)
        whole = self._head_size + self._body_size
        if len(self._received) < whole:
            return None
        self.request.body = bytes(self._received[self._head_size : whole])
        if self.request.is_upgrade:
            self.rest = bytes(self._received[whole:])
        return self._get

    def must_continue(self) -> bool:
        """Whether to send ``100 Continue`` now: the client expects it and has sent no body yet."""
        is_due = self._client_waits and len(self._received) == self._head_size
        self._client_waits = False
        return is_due

    def _read(self, head: RequestHead) -> int:
        """Read the head into `request`; return the status with which to refuse it, or 0."""
        first = head.build_first_line("GET")
        if len(first) + 2 > MAX_LINE_BYTES or head.target.count("&") >= MAX_QUERY_FIELDS:
            return 414
        if any(len(name) + len(value) + 4 > MAX_LINE_BYTES for name, value in head.headers):
            return 431
        self.request.method = head.method
        self.request.target = head.target
        self.request.is_upgrade = any(
            value.lower() == "websocket" for value in head.get_all("Upgrade")
        )
        if head.method not in ("GET", "POST") or (self.request.is_upgrade and head.method != "GET"):
            return 405
        if self.request.is_upgrade and head.body_bytes:
            return 400  # the body would be read as the first WebSocket frames
        if head.body_bytes > MAX_BODY_BYTES:
            return 413
        self._body_size = head.body_bytes
        self._client_waits = head.expects_continue and head.body_bytes > 0
        self._get = head.serialize(head.drop_headers(_BODY_HEADERS), method="GET")
        return 0

    def _refuse(self, status: int) -> bytes:
        self.request.refusal = status
        self.request.is_upgrade = False
        self._received.clear()
        # No part of a refused request is passed to `websockets`, which has limits of its own.
        return b"GET / HTTP/1.1\r\n\r\n"


@dataclass(slots=True)
class WebRequest:
    """An HTTP request, as far as it has been read.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        target: The path with its query, as requested.
        body: The raw body.
        refusal: The HTTP status with which to refuse it, or 0.
        is_upgrade: Whether it asks for a WebSocket.
    """

    method: str = "GET"
    target: str = "/"
    body: bytes = field(default=b"", repr=False)
    refusal: int = 0
    is_upgrade: bool = False

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def has_form(self) -> bool:
        """Whether the body is a form: a POST without ``bodySHA256`` in its query (§7)."""
        return self.method == "POST" and not signature.has_body_hash(self.target)

    def parse_parameters(self) -> signature.Parameters:
        """Parse the parameters from the query, the form, or a JSON object in the body."""
        if self.method != "POST":
            return self.parse_query()
        return self.parse_form() if self.has_form else signature.parse_json(self.body)

    def parse_form(self) -> signature.Parameters:
        """Parse the form of a POST; a name that was sent several times has a list of values."""
        return signature.parse_form(self.body)

    def parse_query(self) -> signature.Parameters:
        """Parse the query."""
        return signature.parse_query(self.target.partition("?")[2])


class RequestAdmission:
    """Decides on each request of a server: it opens a stream, is answered, or is refused.

    Args:
        webhooks: Answers requests that are not for streams; it holds the token.
        addresses: The addresses over which signatures are computed.
        path: The path at which streams connect.
        is_own_host: Whether a ``Host`` header names the server.
    """

    def __init__(
        self,
        webhooks: Webhooks,
        addresses: ServerAddresses,
        path: str,
        is_own_host: Callable[[str], bool],
    ) -> None:
        self._webhooks = webhooks
        self._addresses = addresses
        self._path = path
        self._is_own_host = is_own_host

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer a request, or return None to admit a stream."""
        web = socket.web if isinstance(socket, RequestConnection) else None
        if web is None:
            raise TypeError("the stream server makes its own connections")
        if web.refusal:
            text = URL_TOO_LONG if web.refusal == 414 else REFUSALS[web.refusal]
            return _build_response(socket, Answer(HTTPStatus(web.refusal), text))
        if refusal := self._find_refusal(web.path, request):
            logger.warning("refused: %s", refusal)
            return _build_response(socket, Answer(HTTPStatus.FORBIDDEN, f"{refusal}\n"))
        headers = request.headers.get_all(signature.SIGNATURE_HEADER)
        header = headers[0] if len(headers) == 1 else None
        settings = ",".join(request.headers.get_all(signature.SETTINGS_HEADER)) or None
        if web.path != self._path:
            answer = self._webhooks.answer(
                web, header, self._addresses.base_url, self._addresses.stream_url, settings=settings
            )
            if answer.status == HTTPStatus.FORBIDDEN:
                logger.warning("because %s", signature.describe_refusal(headers, settings))
            return _build_response(socket, answer)
        if not web.is_upgrade:
            text = "This is the address of a WebSocket; Twilio's <Stream> connects here.\n"
            return _build_response(socket, Answer(HTTPStatus.UPGRADE_REQUIRED, text))
        query = web.target[len(web.path) :]  # Twilio sends none; the signature must cover one
        if self._webhooks.admits(self._addresses.stream_url + query, header, settings=settings):
            return None
        if request.headers.get(PROBE_HEADER) == sign_probe(self._webhooks.nonce):
            # The preflight of this process checks that unsigned streams are refused: no warning.
            logger.info("a probe without a signature was refused, as it should be")
            return _build_response(socket, Answer(HTTPStatus.FORBIDDEN))
        logger.warning(
            "a stream without a valid signature was refused: %s; is the public address right? "
            "It is %s here",
            signature.describe_refusal(headers, settings),
            signature.remove_user(self._addresses.stream_url),
        )
        return _build_response(socket, Answer(HTTPStatus.FORBIDDEN, UNSIGNED))

    def _find_refusal(self, path: str, request: Request) -> str:
        """Say why a request is refused before it is read; return an empty string if it is not."""
        values = request.headers.get_all
        if refusal := describe_page_refusal(values):
            return refusal
        # A signature proves more than Host does, and a health check may come from anywhere.
        if self._webhooks.checks_signatures or path == HEALTH_PATH:
            return ""
        return describe_host_refusal(values, self._is_own_host)


class Webhooks:
    """Answers webhooks and ``/health`` for a server.

    Args:
        auth_token: The token for checking signatures; None checks none.
        note: A function that is called with each status callback.
        note_call: A function that is called with the SID and the direction of each call for which
            TwiML is fetched.

    Attributes:
        nonce: The random string that ``/health`` returns; it identifies this process.
    """

    def __init__(
        self,
        auth_token: str | Secret | None,
        note: Callable[[StatusEvent], None],
        note_call: Callable[[str, str], object] = lambda _sid, _direction: None,
    ) -> None:
        self._auth_token = None if auth_token is None else Secret(reveal_text(auth_token))
        self._note = note
        self._note_call = note_call
        self.nonce = secrets.token_hex(16)

    @property
    def checks_signatures(self) -> bool:
        """Whether an auth token was given."""
        return self._auth_token is not None

    def answer(
        self,
        request: WebRequest,
        signature_header: str | None,
        base_url: str,
        stream_url: str,
        *,
        settings: str | None = None,
    ) -> Answer:
        """Answer a request.

        Args:
            request: The request.
            signature_header: ``X-Twilio-Signature``, or None.
            base_url: The configured public address, without a path.
            stream_url: The URL for ``<Stream>``.
            settings: `signature.SETTINGS_HEADER`, or None.
        """
        if request.path == HEALTH_PATH:
            return Answer(HTTPStatus.OK, self.nonce)
        if request.path not in (TWIML_PATH, STATUS_PATH):
            return Answer(HTTPStatus.NOT_FOUND, f"There is nothing at {request.path}.\n")
        url = base_url.rstrip("/") + request.target
        if not self._is_signed(request, signature_header, url, settings):
            logger.warning("a request for %s without a valid signature was refused", request.path)
            return Answer(HTTPStatus.FORBIDDEN, UNSIGNED)
        parameters = request.parse_parameters()
        if request.path == STATUS_PATH:
            return self._note_status(StatusEvent.of(parameters, time.monotonic()))
        call_sid, direction = (_get_first(parameters.get(n, "")) for n in ("CallSid", "Direction"))
        if call_sid:
            self._note_call(call_sid, direction)
        return _build_twiml_answer(stream_url, base_url.rstrip("/") + STATUS_PATH, parameters)

    def admits(
        self, stream_url: str, signature_header: str | None, *, settings: str | None = None
    ) -> bool:
        """Whether a handshake with this signature may open a stream."""
        if self._auth_token is None:
            return True
        token = self._auth_token.reveal()
        return signature.is_valid_handshake(token, stream_url, signature_header, settings=settings)

    def sign_handshake(self, stream_url: str) -> str | None:
        """Return the signature that Twilio's handshake would bear; None if none is checked."""
        if self._auth_token is None:
            return None
        return signature.sign(self._auth_token.reveal(), signature.compute_signed_url(stream_url))

    def _is_signed(
        self, request: WebRequest, header: str | None, url: str, settings: str | None
    ) -> bool:
        if self._auth_token is None:
            return True
        if not header:
            return False  # and its body is not even parsed
        form = request.parse_form() if request.has_form else None
        body = None if request.has_form or request.method == "GET" else request.body
        token = self._auth_token.reveal()
        return signature.is_valid(token, url, form, header, body=body, settings=settings)

    def _note_status(self, event: StatusEvent) -> Answer:
        logger.info("call %s: %s", event.call_sid, event.name)
        self._note(event)
        return Answer(HTTPStatus.NO_CONTENT)  # as §6.5 asks


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: The HTTP status.
        text: The body.
        content_type: Of the body.
    """

    status: HTTPStatus
    text: str = ""
    content_type: str = "text/plain; charset=utf-8"


def _build_response(socket: ServerConnection, answer: Answer) -> Response:
    response = socket.respond(answer.status, answer.text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = answer.content_type
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "GET, POST"
    return response


def _build_twiml_answer(
    stream_url: str, status_url: str, parameters: dict[str, str | list[str]]
) -> Answer:
    numbers = {
        name.lower(): _get_first(parameters[name])
        for name in ("From", "To")
        if parameters.get(name)
    }
    try:
        twiml = connect_stream(
            stream_url, parameters=numbers, status_callback=status_url, inline=False
        )
        return Answer(HTTPStatus.OK, twiml, "text/xml")
    except LocalProtocolError as error:
        logger.error("no TwiML for an incoming call: %s", error)
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n")


def _get_first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else value[0]
