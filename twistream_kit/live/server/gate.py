"""Who gets in: every request to a server's port is answered here, or becomes a stream."""

from __future__ import annotations

import logging
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from twistream_kit.live.inspector.http import TOO_LONG
from twistream_kit.live.server.addresses import ServerAddresses
from twistream_kit.live.server.admission import host_refusal, page_refusal
from twistream_kit.live.server.handshake_probe import PROBE_HEADER
from twistream_kit.live.server.http import URL_TOO_LONG, RequestConnection
from twistream_kit.live.server.server_options import HEALTH_PATH
from twistream_kit.live.server.webhooks import Answer, Webhooks
from twistream_kit.protocol import signature

logger = logging.getLogger("twistream_kit.live")


class Gate:
    """The requests of one server.

    Args:
        webhooks: Answers those that are not for streams, and knows the token.
        addresses: The addresses that signatures are made over, as they are when a request comes.
        path: Where streams connect.
    """

    def __init__(self, webhooks: Webhooks, addresses: ServerAddresses, path: str) -> None:
        self._webhooks = webhooks
        self._addresses = addresses
        self._path = path

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer one request, or return None to let a stream in."""
        web = socket.web if isinstance(socket, RequestConnection) else None
        if web is None:
            raise TypeError("the stream server makes its own connections")
        if web.refusal:
            text = {414: URL_TOO_LONG, 431: TOO_LONG}.get(web.refusal, "")
            return _response(socket, Answer(HTTPStatus(web.refusal), text))
        if refusal := self._refusal(web.path, request):
            logger.warning("refused: %s", refusal)
            return _response(socket, Answer(HTTPStatus.FORBIDDEN, f"{refusal}\n"))
        headers = request.headers.get_all(signature.SIGNATURE_HEADER)
        header = headers[0] if len(headers) == 1 else None
        settings = ",".join(request.headers.get_all(signature.SETTINGS_HEADER)) or None
        if web.path != self._path:
            answer = self._webhooks.answer(
                web, header, self._addresses.base_url, self._addresses.stream_url, settings=settings
            )
            if answer.status == HTTPStatus.FORBIDDEN:
                logger.warning("because %s", signature.refusal(headers, settings))
            return _response(socket, answer)
        if not web.is_upgrade:
            text = "This is the address of a WebSocket; Twilio's <Stream> connects here.\n"
            return _response(socket, Answer(HTTPStatus.UPGRADE_REQUIRED, text))
        query = web.target[len(web.path) :]  # Twilio sends none; who adds one has to sign it
        if self._webhooks.admits(self._addresses.stream_url + query, header, settings=settings):
            return None
        if request.headers.get(PROBE_HEADER) == self._webhooks.nonce:
            # This process itself asks whether strangers are refused; nobody need worry.
            logger.info("a probe without a signature was refused, as it should be")
            return _response(socket, Answer(HTTPStatus.FORBIDDEN))
        logger.warning(
            "a stream without a valid signature was refused: %s; is the public address right? "
            "It is %s here",
            signature.refusal(headers, settings),
            signature.without_user(self._addresses.stream_url),
        )
        text = "The signature is missing or does not fit.\n"
        return _response(socket, Answer(HTTPStatus.FORBIDDEN, text))

    def _refusal(self, path: str, request: Request) -> str:
        """Say why nothing of a request is looked at; empty if it may go on."""
        values = request.headers.get_all
        if refusal := page_refusal(values):
            return refusal
        # A signature proves more than Host does, and a probe of health has to come from anywhere.
        if self._webhooks.checks_signatures or path == HEALTH_PATH:
            return ""
        return host_refusal(values, self._addresses.is_own_host)


def _response(socket: ServerConnection, answer: Answer) -> Response:
    response = socket.respond(answer.status, answer.text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = answer.content_type
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "GET, POST"
    return response
