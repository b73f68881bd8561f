"""Admission of streams, and the answers to webhooks and health checks.

`RequestAdmission` admits a stream or answers the request.  `Webhooks` has the answers: TwiML,
status callbacks, and the health check.  Twilio sends POST or GET (PROTOCOL.md §6.5) and signs each
request over the URL that was configured (§7), which behind a tunnel is not the one this process
sees.  So the signature is checked over the *configured* public address.

Nothing here reads or writes a socket: a request is a `WebRequest`, whatever received it.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from twistream_kit.errors import LocalProtocolError
from twistream_kit.live.calls.status import StatusEvent
from twistream_kit.live.server.addresses import (
    HEALTH_PATH,
    STATUS_PATH,
    TWIML_PATH,
    PublicAddress,
)
from twistream_kit.live.server.admission import (
    UNSIGNED,
    describe_host_refusal,
    describe_page_refusal,
)
from twistream_kit.live.server.probe import PROBE_HEADER, sign_probe
from twistream_kit.live.server.request_head import REFUSALS
from twistream_kit.live.server.web_request import URL_TOO_LONG, Answer, WebRequest
from twistream_kit.live.settings.secret import Secret, reveal_text
from twistream_kit.protocol import signature
from twistream_kit.protocol.twiml import connect_stream

logger = logging.getLogger("twistream_kit.live")


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
        addresses: PublicAddress,
        path: str,
        is_own_host: Callable[[str], bool],
    ) -> None:
        self._webhooks = webhooks
        self._addresses = addresses
        self._path = path
        self._is_own_host = is_own_host

    def answer(self, web: WebRequest) -> Answer | None:
        """Answer a request, or return None to admit a stream."""
        if web.refusal:
            text = URL_TOO_LONG if web.refusal == 414 else REFUSALS[web.refusal]
            return Answer(HTTPStatus(web.refusal), text)
        if refusal := self._find_refusal(web):
            logger.warning("refused: %s", refusal)
            return Answer(HTTPStatus.FORBIDDEN, f"{refusal}\n")
        headers = web.get_all(signature.SIGNATURE_HEADER)
        header = headers[0] if len(headers) == 1 else None
        settings = ",".join(web.get_all(signature.SETTINGS_HEADER)) or None
        if web.path != self._path:
            answer = self._webhooks.answer(
                web, header, self._addresses.base_url, self._addresses.stream_url, settings=settings
            )
            if answer.status == HTTPStatus.FORBIDDEN:
                logger.warning("because %s", signature.describe_refusal(headers, settings))
            return answer
        if not web.is_upgrade:
            text = "This is the address of a WebSocket; Twilio's <Stream> connects here.\n"
            return Answer(HTTPStatus.UPGRADE_REQUIRED, text)
        query = web.target[len(web.path) :]  # Twilio sends none; the signature must cover one
        if self._webhooks.admits(self._addresses.stream_url + query, header, settings=settings):
            return None
        if self._webhooks.is_probe(web.get_all(PROBE_HEADER)):
            # A preflight of this application checks that unsigned streams are refused: no warning.
            logger.info("a probe without a signature was refused, as it should be")
            return Answer(HTTPStatus.FORBIDDEN)
        logger.warning(
            "a stream without a valid signature was refused: %s; is the public address right? "
            "It is %s here",
            signature.describe_refusal(headers, settings),
            signature.remove_user(self._addresses.stream_url),
        )
        return Answer(HTTPStatus.FORBIDDEN, UNSIGNED)

    def _find_refusal(self, web: WebRequest) -> str:
        """Say why a request is refused before it is read; return an empty string if it is not."""
        if refusal := describe_page_refusal(web.get_all):
            return refusal
        # A signature proves more than Host does, and a health check may come from anywhere.
        if self._webhooks.checks_signatures or web.path == HEALTH_PATH:
            return ""
        return describe_host_refusal(web.get_all, self._is_own_host)


class Webhooks:
    """Answers webhooks and ``/health`` for a server.

    Args:
        auth_token: The token for checking signatures; None checks none.
        note: A function that is called with each status callback.
        note_call: A function that is called with the SID and the direction of each call for which
            TwiML is fetched.

        nonce: What ``/health`` returns; None takes a random string.

    Attributes:
        nonce: What ``/health`` returns: it identifies the server.
    """

    def __init__(
        self,
        auth_token: str | Secret | None,
        note: Callable[[StatusEvent], None],
        note_call: Callable[[str, str], object] = lambda _sid, _direction: None,
        nonce: str | None = None,
    ) -> None:
        self._auth_token = None if auth_token is None else Secret(reveal_text(auth_token))
        self._note = note
        self._note_call = note_call
        self.nonce = nonce or secrets.token_hex(16)

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

    def sign_probe(self) -> str:
        """Return the value of `PROBE_HEADER` for a probe of this server; empty without a token."""
        return sign_probe(self.nonce, self._auth_token.reveal()) if self._auth_token else ""

    def is_probe(self, values: Sequence[str]) -> bool:
        """Whether these values of `PROBE_HEADER` are those of a preflight of this application."""
        proof = self.sign_probe().encode()
        return len(values) == 1 and bool(proof) and hmac.compare_digest(values[0].encode(), proof)

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
