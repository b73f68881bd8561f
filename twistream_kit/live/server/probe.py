"""Probe an address before a call: does it lead to this process, and does a WebSocket open?

`prove` requests ``/health`` at a public address and checks that this process answers.
`probe_handshake` opens a WebSocket as Twilio does, and closes it (PROTOCOL.md §2.1).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from typing import Any
from urllib.parse import urlsplit

from twistream_kit.diagnosis.connection import (
    NEGATIVE_CACHE_MINUTES,
    ConnectionFault,
    explain_connection_error,
)
from twistream_kit.diagnosis.http_answer import (
    ANSWER_BYTES,
    SWITCHING_PROTOCOLS,
    AnswerExplanation,
    HttpAnswer,
    explain_health_answer,
    read_status_line,
)
from twistream_kit.errors import Explained, TunnelError
from twistream_kit.live.server.addresses import HEALTH_PATH
from twistream_kit.pending import on_worker
from twistream_kit.protocol.signature import remove_user
from twistream_kit.protocol.twiml import is_loopback

logger = logging.getLogger("twistream_kit.live")

HEALTH_OF_HEADER = "X-Twistream-Health-Of"
"""Names the process whose health is requested; an `Inspector` passes other requests on."""

PROOF_SECONDS = 8.0
"""How long one attempt of `prove` may take."""

PAUSE_SECONDS = 0.4
"""The pause between two attempts."""

PROBE_HEADER = "x-twistream-preflight"
"""Carries the result of `sign_probe`, by which a server recognises the probe of its preflight."""

PROBE_SECONDS = 10.0
"""How long the handshake of a probe may take; Twilio's limit is not known (PROTOCOL.md §10)."""

_CLOSE_SECONDS = 2.0


def sign_probe(nonce: str, auth_token: str) -> str:
    """Return the value of `PROBE_HEADER` for a probe of the server with this nonce and token.

    Everybody may read a nonce at ``/health``, so the token is the key: a probe may reach another
    process of the same application.  Who replays the value opens no stream by it; it only changes
    how a refusal is logged.

    >>> sign_probe("abc", "token") == sign_probe("abc", "token") != sign_probe("abd", "token")
    True
    """
    text = "twistream_kit preflight " + nonce
    return hmac.new(auth_token.encode(), text.encode(), hashlib.sha256).hexdigest()


async def prove(
    url: str, nonce: str, *, settles_within: float = 0.0, lookup_after: float = 0.0
) -> None:
    """Request ``/health`` through `url` until the answer is `nonce`.

    While the address is not available yet (no name, no connection, a page of the tunnel that says
    so, HTTP 502, 503, 504, 530), the request is repeated; any other answer is final.  Cancelling
    is safe.

    Args:
        url: The public address, without a slash at the end.
        nonce: The string that only this process returns.
        settles_within: For how many seconds to repeat the request, because the address is new.
        lookup_after: After how many seconds to look its name up first, unless a proxy does that:
            a name server that is asked too early says for half an hour that there is none.

    Raises:
        TunnelError: If the address does not lead here.
    """
    began = time.monotonic()
    if lookup_after and not await on_worker("tunnel proof", lambda: _uses_proxy(url)):
        logger.info(
            "the name %s is new: it is looked up in %g s, since a name server that is asked too "
            "early may say for %d minutes that it does not exist",
            urlsplit(url).hostname, lookup_after, NEGATIVE_CACHE_MINUTES,
        )  # fmt: skip
        await asyncio.sleep(lookup_after)
    has_warned = False
    while True:
        try:
            # The timeout of `requests` does not include the DNS lookup.
            async with asyncio.timeout(PROOF_SECONDS + 1):
                failure = await on_worker("tunnel proof", lambda: _ask(url, nonce))
        except TimeoutError as error:
            failure = error
        if failure is None:
            return
        now = time.monotonic()
        if now + PAUSE_SECONDS > began + settles_within:
            is_new = settles_within > 0
            raise _build_proof_error(url, failure, now - began if is_new else None)
        if not has_warned and _is_unresolved(failure, url):
            has_warned = True
            logger.warning(
                "the name %s does not resolve here yet; waiting up to %.0f s for it",
                urlsplit(url).hostname, began + settles_within - now,
            )  # fmt: skip
        await asyncio.sleep(PAUSE_SECONDS)


_Failure = AnswerExplanation | Exception
"""Why one attempt of `prove` failed, which may be otherwise at the next."""


def _build_proof_error(url: str, failure: _Failure, opened_before: float | None) -> TunnelError:
    address = url + HEALTH_PATH
    found: Explained
    if isinstance(failure, AnswerExplanation):
        found, fix = failure, failure.fix
    else:
        found = explain_connection_error(failure, address, opened_before=opened_before)
        is_known = found.kind not in ("refused", "timeout", "closed", "other")
        fix = found.fix if is_known else _START_PROXY
    return TunnelError(
        f"{remove_user(address)} {found.problem}",
        consequence=found.consequence or "Twilio would not reach this server either",
        fix=fix,
    )


_START_PROXY = "Start the proxy or tunnel that leads to this server's port, and try again"


def _is_unresolved(failure: _Failure, url: str) -> bool:
    return isinstance(failure, Exception) and (
        explain_connection_error(failure, url).kind in ("name", "name-server")
    )


def _uses_proxy(url: str) -> bool:
    """Whether a proxy of the environment makes the request, and looks the name up; blocks."""
    from requests.utils import get_environ_proxies, select_proxy

    return is_loopback(url) or select_proxy(url, get_environ_proxies(url)) is not None


def hash_nonce(nonce: str) -> str:
    """Return the value of `HEALTH_OF_HEADER` for the process with this nonce.

    It is a hash, because any server that echoes its input could return the nonce itself.
    """
    return hashlib.sha256(nonce.encode()).hexdigest()[:32]


def probe_handshake(stream_url: str, signature: str | None, *, proof: str = "") -> HttpAnswer:
    """Open a WebSocket and close it without a message; blocks.

    Args:
        stream_url: The URL, ``wss://`` or ``ws://``.
        signature: The value of ``x-twilio-signature``, or None to send none.
        proof: The value of `PROBE_HEADER`; empty to send none.

    Returns:
        The answer: its status is 101 if the WebSocket opened.  Redirects are not followed.

    Raises:
        TunnelError: If there was no answer, or it was not HTTP.
    """
    from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
    from websockets.sync.client import ClientConnection, connect

    made: list[ClientConnection] = []

    def connect_once(*args: Any, **kwargs: Any) -> ClientConnection:
        if made:
            raise _Redirected
        made.append(ClientConnection(*args, **kwargs))
        return made[0]

    headers = {"x-twilio-signature": signature} if signature is not None else {}
    if proof:
        headers[PROBE_HEADER] = proof
    options: dict[str, Any] = {
        "additional_headers": headers,
        "compression": None,  # Twilio offers none (§2.1)
        "create_connection": connect_once,
        "open_timeout": PROBE_SECONDS,
        "close_timeout": _CLOSE_SECONDS,
        "ping_interval": None,
        # Requests to loopback must not use a proxy from the environment.
        "proxy": None if is_loopback(stream_url) else True,
    }
    try:
        with connect(stream_url, **options):
            return HttpAnswer(SWITCHING_PROTOCOLS)
    except InvalidStatus as refused:
        return _read_response(refused.response)
    except _Redirected:
        return _read_response(made[0].response)
    except (OSError, EOFError, ValueError, InvalidHandshake, InvalidURI) as error:
        if (answer := read_status_line(error)) is not None:
            return answer
        raise _build_open_error(stream_url, error) from error


def _read_response(response: Any) -> HttpAnswer:
    return HttpAnswer.read(response.status_code, response.headers.raw_items(), response.body or b"")


def _ask(url: str, nonce: str) -> _Failure | None:
    """Return None if the address leads here, or the reason to try again; raise if it never will."""
    import requests

    address = url + HEALTH_PATH
    session = requests.Session()
    # Requests to loopback must not use a proxy from the environment.
    session.trust_env = not is_loopback(url)
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
            body = next(response.iter_content(ANSWER_BYTES), b"")
    except (requests.RequestException, OSError) as error:
        fault = explain_connection_error(error, address)
        if fault.kind in ("certificate", "tls"):
            raise _build_tls_error(address, fault) from None
        return error
    answer = HttpAnswer.read(response.status_code, response.headers.items(), body)
    if answer.text.strip() == nonce:
        return None
    found = explain_health_answer(answer, address)
    if found.is_passing:
        return found
    raise _build_proof_error(url, found, None)


class _Redirected(Exception):
    """The host redirects the handshake; the signature must not be sent to another host."""


def _build_tls_error(url: str, fault: ConnectionFault) -> TunnelError:
    return TunnelError(
        f"{remove_user(url)} {fault.problem}",
        consequence="Twilio would refuse the connection with 31910",
        fix=fault.fix,
    )


def _build_open_error(url: str, error: Exception) -> TunnelError:
    fault = explain_connection_error(error, url)
    if fault.kind in ("certificate", "tls"):
        return _build_tls_error(url, fault)
    problem = fault.problem
    if fault.kind == "other":
        problem = f"did not answer as WebSocket ({type(error).__name__})"
    return TunnelError(
        f"no WebSocket could be opened: {remove_user(url)} {problem}",
        consequence="Twilio would answer the call and open no stream (31901, 31902 or 31920)",
        fix="See that the tunnel or proxy leads to this server's port and passes WebSockets on",
    )
