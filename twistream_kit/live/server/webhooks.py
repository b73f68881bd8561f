"""What the server answers besides the WebSocket: TwiML, status callbacks, and a proof of itself.

Twilio asks with POST or GET (PROTOCOL.md §6.5) and signs each request over the URL that it was
given (§7), which behind a tunnel is not the one this process sees.  So the signature is checked
over the *configured* public address.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from twistream_kit.errors import LocalProtocolError
from twistream_kit.live.calls.status import StatusEvent
from twistream_kit.live.server.http import WebRequest
from twistream_kit.live.server.server_options import HEALTH_PATH, STATUS_PATH, TWIML_PATH
from twistream_kit.live.settings.secret import Secret, revealed
from twistream_kit.protocol import signature
from twistream_kit.protocol.twiml import connect_stream

logger = logging.getLogger("twistream_kit.live")


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


class Webhooks:
    """The answers of one server.

    Args:
        auth_token: Signatures are checked when it is given.
        note: Told of each status callback.
    """

    def __init__(
        self, auth_token: str | Secret | None, note: Callable[[StatusEvent], None]
    ) -> None:
        self._auth_token = None if auth_token is None else Secret(revealed(auth_token))
        self._note = note
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
        """Answer one request.

        Args:
            request: What was asked.
            signature_header: ``X-Twilio-Signature``, or None.
            base_url: The configured public address, without a path of ours.
            stream_url: Where ``<Stream>`` shall connect.
            settings: `signature.SETTINGS_HEADER`, or None.
        """
        if request.path == HEALTH_PATH:
            return Answer(HTTPStatus.OK, self.nonce)
        if request.path not in (TWIML_PATH, STATUS_PATH):
            return Answer(HTTPStatus.NOT_FOUND, f"Nothing lives at {request.path}.\n")
        url = base_url.rstrip("/") + request.target
        if not self._is_signed(request, signature_header, url, settings):
            logger.warning("a request for %s without a valid signature was refused", request.path)
            return Answer(HTTPStatus.FORBIDDEN, "The signature is missing or does not fit.\n")
        parameters = request.parameters()
        if request.path == STATUS_PATH:
            return self._noted(StatusEvent.of(parameters, time.monotonic()))
        return _twiml(stream_url, base_url.rstrip("/") + STATUS_PATH, parameters)

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
        return signature.sign(self._auth_token.reveal(), signature.signed_url(stream_url))

    def _is_signed(
        self, request: WebRequest, header: str | None, url: str, settings: str | None
    ) -> bool:
        if self._auth_token is None:
            return True
        form = request.form() if request.has_form else None
        body = None if request.has_form or request.method == "GET" else request.body
        token = self._auth_token.reveal()
        return signature.is_valid(token, url, form, header, body=body, settings=settings)

    def _noted(self, event: StatusEvent) -> Answer:
        logger.info("call %s: %s", event.call_sid, event.name)
        self._note(event)
        return Answer(HTTPStatus.NO_CONTENT)  # as §6.5 asks


def _twiml(stream_url: str, status_url: str, parameters: dict[str, str | list[str]]) -> Answer:
    numbers = {
        name.lower(): _first(parameters[name]) for name in ("From", "To") if parameters.get(name)
    }
    try:
        twiml = connect_stream(
            stream_url, parameters=numbers, status_callback=status_url, inline=False
        )
        return Answer(HTTPStatus.OK, twiml, "text/xml")
    except LocalProtocolError as error:
        logger.error("no TwiML for an incoming call: %s", error)
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n")


def _first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else value[0]
