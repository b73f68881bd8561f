"""What an inspector answers itself: a proof of health, and no to what Twilio did not sign."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus

from twistream_kit.live.inspector.http import RequestHead
from twistream_kit.live.server.admission import host_refusal, origin_refusal, page_refusal
from twistream_kit.live.server.probe import HEALTH_OF_HEADER, health_of
from twistream_kit.live.server.server_options import HEALTH_PATH
from twistream_kit.live.settings.secret import Secret, revealed
from twistream_kit.protocol import signature

logger = logging.getLogger("twistream_kit.live")


class InspectorGate:
    """The requests that do not get through to the server.

    ``/health`` is the server's own, if it has one, so it is passed on; but a tunnel that wants to
    know whether it leads to this inspector says whom it asks, and gets the answer here.

    Handshakes are checked when there is a token; other requests are for the server to judge, which
    may have pages for everybody.  But what pages of other sites send is refused, since the server
    cannot tell it any more once ``Host`` is its own.

    Args:
        auth_token: The account's token, or None to check nothing.
        stream_url_at: Returns the public address of a path, as it is when a request comes;
            signatures are made over it.
        is_own_host: Whether a ``Host`` header names the inspector.
    """

    def __init__(
        self,
        auth_token: str | Secret | None,
        stream_url_at: Callable[[str], str],
        is_own_host: Callable[[str], bool],
    ) -> None:
        self._auth_token = None if auth_token is None else Secret(revealed(auth_token))
        self._stream_url_at = stream_url_at
        self._is_own_host = is_own_host
        self.nonce = secrets.token_hex(16)

    @property
    def checks_signatures(self) -> bool:
        """Whether there is a token."""
        return self._auth_token is not None

    def answer(self, head: RequestHead) -> bytes | None:
        """Answer a request, or return None to let it through."""
        if refusal := self._refusal(head):
            logger.warning("refused: %s", refusal)
            return response(HTTPStatus.FORBIDDEN, f"{refusal}\n")
        if head.path == HEALTH_PATH and head.all(HEALTH_OF_HEADER) == [health_of(self.nonce)]:
            return response(HTTPStatus.OK, self.nonce)
        if not head.is_upgrade or self._auth_token is None:
            return None
        headers = head.all(signature.SIGNATURE_HEADER)
        settings = ",".join(head.all(signature.SETTINGS_HEADER)) or None
        url = self._stream_url_at(head.path) + head.target[len(head.path) :]
        token = self._auth_token.reveal()
        header = headers[0] if len(headers) == 1 else None
        if signature.is_valid_handshake(token, url, header, settings=settings):
            return None
        logger.warning(
            "a stream without a valid signature was refused: %s; is the public address right? "
            "It is %s here",
            signature.refusal(headers, settings),
            signature.without_user(self._stream_url_at(head.path)),
        )
        return response(HTTPStatus.FORBIDDEN, "The signature is missing or does not fit.\n")

    def _refusal(self, head: RequestHead) -> str:
        """Say why a request is refused whatever its signature says; empty if it may go on."""
        if head.is_upgrade:
            if (refusal := page_refusal(head.all)) or self.checks_signatures:
                return refusal
        elif not _is_from_own_page(head) and (refusal := origin_refusal(head.all)):
            return refusal
        elif head.method == "GET" and head.path == HEALTH_PATH:
            return ""
        return host_refusal(head.all, self._is_own_host)


def _is_from_own_page(head: RequestHead) -> bool:
    """Whether a page of the server itself asks, loaded through this inspector."""
    origins, hosts = head.all("Origin"), head.all("Host")
    own = [f"{scheme}://{host}".lower() for scheme in ("http", "https") for host in hosts]
    return len(origins) == len(hosts) == 1 and origins[0].lower() in own


def response(status: HTTPStatus, text: str) -> bytes:
    """Return a whole HTTP response, the last of its connection."""
    body = text.encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
