"""Probe an address before a call: does it lead to this process, and does a WebSocket open?

`prove` requests ``/health`` at a public address and checks that this process answers.
`probe_handshake` opens a WebSocket as Twilio does, and closes it (PROTOCOL.md §2.1).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import ssl
import time
from http import HTTPStatus
from typing import Any

from twistream_kit.errors import TunnelError
from twistream_kit.live.server.addresses import HEALTH_PATH
from twistream_kit.pending import on_worker
from twistream_kit.protocol.signature import remove_user
from twistream_kit.protocol.twiml import is_loopback

HEALTH_OF_HEADER = "X-Twistream-Health-Of"
"""Names the process whose health is requested; an `Inspector` passes other requests on."""

PROOF_SECONDS = 8.0
"""How long one attempt of `prove` may take."""

PAUSE_SECONDS = 0.4
"""The pause between two attempts."""

# The statuses that a proxy returns while its upstream is not available yet; 530 is Cloudflare's
# own, with error 1033, for a tunnel that is not registered.
_NOT_YET = {
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
    530,
}

_ANSWER_BYTES = 1024

PROBE_HEADER = "x-twistream-preflight"
"""Carries a signature of the probed server's nonce, so that the server recognises its own probe."""

OPENED = 101
"""The HTTP status of a handshake that opened a WebSocket."""

PROBE_SECONDS = 10.0
"""How long the handshake of a probe may take; Twilio's limit is not known (PROTOCOL.md §10)."""

_CLOSE_SECONDS = 2.0


_SECRET = secrets.token_bytes(32)
"""Known to this process alone: everybody may read a nonce at ``/health``."""


def sign_probe(nonce: str) -> str:
    """Return the value of `PROBE_HEADER` for a probe of the server with this nonce.

    >>> sign_probe("abc") == sign_probe("abc") != sign_probe("abd")
    True
    """
    return hmac.new(_SECRET, nonce.encode(), hashlib.sha256).hexdigest()


async def prove(url: str, nonce: str, *, settles_within: float = 0.0) -> None:
    """Request ``/health`` through `url` until the answer is `nonce`.

    While the address is not available yet (no name, no connection, HTTP 502, 503, 504, 530), the
    request is repeated; an answer of another process is final.  Cancelling is safe.

    Args:
        url: The public address, without a slash at the end.
        nonce: The string that only this process returns.
        settles_within: For how many seconds to repeat the request.

    Raises:
        TunnelError: If the address does not lead here.
    """
    end = time.monotonic() + settles_within
    while True:
        try:
            # The timeout of `requests` does not include the DNS lookup.
            async with asyncio.timeout(PROOF_SECONDS + 1):
                failure = await on_worker("tunnel proof", lambda: _ask(url, nonce))
        except TimeoutError:
            failure = "does not answer (timed out)"
        if failure is None:
            return
        if time.monotonic() + PAUSE_SECONDS > end:
            raise TunnelError(
                f"{remove_user(url) + HEALTH_PATH} {failure}",
                consequence="Twilio would not reach this server either",
                fix="Start the proxy or tunnel that leads to this server's port, and try again",
            )
        await asyncio.sleep(PAUSE_SECONDS)


def hash_nonce(nonce: str) -> str:
    """Return the value of `HEALTH_OF_HEADER` for the process with this nonce.

    It is a hash, because any server that echoes its input could return the nonce itself.
    """
    return hashlib.sha256(nonce.encode()).hexdigest()[:32]


def probe_handshake(stream_url: str, signature: str | None, *, nonce: str = "") -> int:
    """Open a WebSocket and close it without a message; blocks.

    Args:
        stream_url: The URL, ``wss://`` or ``ws://``.
        signature: The value of ``x-twilio-signature``, or None to send none.
        nonce: The nonce of the probed server, for `PROBE_HEADER`; empty to send none.

    Returns:
        The HTTP status: 101 if the WebSocket opened.  Redirects are not followed.

    Raises:
        TunnelError: If there was no answer, or it was not HTTP.
    """
    from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
    from websockets.sync.client import connect

    headers = {"x-twilio-signature": signature} if signature is not None else {}
    if nonce:
        headers[PROBE_HEADER] = sign_probe(nonce)
    options: dict[str, Any] = {
        "additional_headers": headers,
        "compression": None,  # Twilio offers none (§2.1)
        "create_connection": _connect_once(),
        "open_timeout": PROBE_SECONDS,
        "close_timeout": _CLOSE_SECONDS,
        "ping_interval": None,
        # Requests to loopback must not use a proxy from the environment.
        "proxy": None if is_loopback(stream_url) else True,
    }
    try:
        with connect(stream_url, **options):
            return OPENED
    except InvalidStatus as refused:
        return int(refused.response.status_code)
    except _Redirected:
        return 302
    except ssl.SSLError as error:
        raise _build_tls_error(stream_url, error) from error
    except (OSError, EOFError, InvalidHandshake, InvalidURI) as error:
        raise _build_open_error(stream_url, error) from error


def _ask(url: str, nonce: str) -> str | None:
    """Return None if the address leads here, or the reason to try again; raise if it never will."""
    import requests

    address = url + HEALTH_PATH
    session = requests.Session()
    # Requests to loopback must not use a proxy from the environment.
    session.trust_env = not is_loopback(url)
    failed = ""
    try:
        with (
            session,
            session.get(
                address,
                timeout=PROOF_SECONDS,
                allow_redirects=False,
                stream=True,
                headers={HEALTH_OF_HEADER: hash_nonce(nonce)},
            ) as response,
        ):
            status = response.status_code
            text = next(response.iter_content(_ANSWER_BYTES), b"")
    except requests.exceptions.SSLError:
        raise _build_certificate_error(address) from None
    except (requests.RequestException, OSError) as error:
        failed = type(error).__name__
    if failed:
        return f"does not answer ({failed})"
    if text.decode(errors="replace").strip() == nonce:
        return None
    if status in _NOT_YET:
        return f"leads nowhere (HTTP {status})"
    raise TunnelError(
        f"{remove_user(address)} answers, but not from this process (HTTP {status})",
        consequence="Calls would go to somebody else's server, or to an earlier one of yours",
        fix="Point the proxy or tunnel at this server's port" + _suggest_login(status),
    )


def _suggest_login(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or 300 <= status < 400:
        return ", and make it public: it asks for a login, which Twilio does not have"
    return ""


def _build_certificate_error(address: str) -> TunnelError:
    return TunnelError(
        f"the certificate of {remove_user(address)} does not hold",
        consequence="Twilio would refuse the connection with 31910",
        fix="Give the proxy a certificate for this very name from a public authority",
    )


def _connect_once() -> Any:
    """Return a factory that makes one connection, and raises `_Redirected` for a second one."""
    from websockets.sync.client import ClientConnection

    made: list[ClientConnection] = []

    def make(*args: Any, **kwargs: Any) -> ClientConnection:
        if made:
            raise _Redirected
        made.append(ClientConnection(*args, **kwargs))
        return made[0]

    return make


class _Redirected(Exception):
    """The host redirects the handshake; the signature must not be sent to another host."""


def _build_tls_error(url: str, error: ssl.SSLError) -> TunnelError:
    reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
    return TunnelError(
        f"{url} cannot be reached by TLS ({reason})",
        consequence="Twilio would not open the stream (31910)",
        fix="Put something with a valid certificate in front: an HTTPS tunnel or a reverse proxy",
    )


def _build_open_error(url: str, error: Exception) -> TunnelError:
    return TunnelError(
        f"no WebSocket could be opened at {url} ({type(error).__name__})",
        consequence="Twilio would answer the call and open no stream (31901, 31902 or 31920)",
        fix="See that the tunnel or proxy leads to this server's port and passes WebSockets on",
    )
