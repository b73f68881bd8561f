"""What the server answers besides the WebSocket: TwiML, status callbacks, and a proof of itself.

Twilio asks with POST or GET (PROTOCOL.md §6.5) and signs each request over the URL that it was
given (§7), which behind a tunnel is not the one this process sees.  So the signature is checked
over the *configured* public address.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus

from twistream_kit.errors import LocalProtocolError
from twistream_kit.live.web_request import WebRequest
from twistream_kit.protocol import signature
from twistream_kit.protocol.twiml import connect_stream

logger = logging.getLogger("twistream_kit.live")

OWN_PATHS = TWIML_PATH, STATUS_PATH, HEALTH_PATH = "/twiml", "/status", "/health"

KEPT_EVENTS = 1000
"""How many status callbacks are kept; a call makes about six."""


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


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One status callback of a call or a stream (§6.6, §8).

    Attributes:
        at: When it arrived, in seconds of the monotonic clock.
        name: ``CallStatus`` or ``StreamEvent``: ``ringing``, ``completed``, ``stream-started`` …
        call_sid: The call.
        parameters: Everything it said.
    """

    at: float
    name: str
    call_sid: str
    parameters: dict[str, str | list[str]]


class Webhooks:
    """The answers of one server.

    Args:
        auth_token: Signatures are checked when it is given.
    """

    def __init__(self, auth_token: str | None) -> None:
        self._auth_token = auth_token
        self.nonce = secrets.token_hex(16)
        self.events: deque[StatusEvent] = deque(maxlen=KEPT_EVENTS)

    def answer(
        self, request: WebRequest, signature_header: str | None, base_url: str, stream_url: str
    ) -> Answer:
        """Answer one request.

        Args:
            request: What was asked.
            signature_header: ``X-Twilio-Signature``, or None.
            base_url: The configured public address, without a path of ours.
            stream_url: Where ``<Stream>`` shall connect.
        """
        if request.path == HEALTH_PATH:
            return Answer(HTTPStatus.OK, self.nonce)
        if request.path not in (TWIML_PATH, STATUS_PATH):
            return Answer(HTTPStatus.NOT_FOUND, f"Nothing lives at {request.path}.\n")
        if not self._is_signed(request, signature_header, base_url.rstrip("/") + request.target):
            logger.warning("a request for %s without a valid signature was refused", request.path)
            return Answer(HTTPStatus.FORBIDDEN, "The signature is missing or does not fit.\n")
        parameters = request.form() if request.method == "POST" else request.query()
        if request.path == STATUS_PATH:
            return self._note(parameters)
        return _twiml(stream_url, parameters)

    def admits(self, stream_url: str, signature_header: str | None) -> bool:
        """Whether a handshake with this signature may open a stream."""
        if self._auth_token is None:
            return True
        return signature.is_valid_handshake(self._auth_token, stream_url, signature_header)

    def _is_signed(self, request: WebRequest, header: str | None, url: str) -> bool:
        if self._auth_token is None:
            return True
        form = request.form() if request.method == "POST" else None
        return signature.is_valid(self._auth_token, url, form, header)

    def _note(self, parameters: dict[str, str | list[str]]) -> Answer:
        name = parameters.get("StreamEvent") or parameters.get("CallStatus") or ""
        event = StatusEvent(
            time.monotonic(), _first(name), _first(parameters.get("CallSid", "")), parameters
        )
        self.events.append(event)
        logger.info("call %s: %s", event.call_sid, event.name)
        return Answer(HTTPStatus.NO_CONTENT)  # as §6.5 asks


def _twiml(stream_url: str, parameters: dict[str, str | list[str]]) -> Answer:
    numbers = {
        name.lower(): _first(parameters[name]) for name in ("From", "To") if parameters.get(name)
    }
    try:
        return Answer(HTTPStatus.OK, connect_stream(stream_url, parameters=numbers), "text/xml")
    except LocalProtocolError as error:
        logger.error("no TwiML for an incoming call: %s", error)
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n")


def _first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else value[0]
