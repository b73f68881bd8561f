"""The checks of the server: its address, its WebSocket, its signatures, and the TwiML of a call.

They find out whether a call's stream would reach this process, and whether a stream that Twilio did
not sign would be refused.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twistream_kit.diagnosis.twiml import review_twiml
from twistream_kit.errors import LocalProtocolError, Objection, ServerStopped, TwistreamError
from twistream_kit.live.preflight.check import Check, failed, failed_by, passed, unknown
from twistream_kit.live.server.probe import OPENED, probe_handshake, prove
from twistream_kit.protocol.signature import compute_signed_url, sign
from twistream_kit.protocol.twiml import INLINE_LIMIT, connect_stream, review_stream_url

if TYPE_CHECKING:
    from twistream_kit.live.server.server import StreamServer

ADDRESS, SOCKET, SIGNATURES, TWIML = "public address", "WebSocket", "signatures", "TwiML"

_OUT_OF_REACH = (31904, 31922)
"""What the address itself is at fault for, so that its own check says it: unreachable, not wss."""


def address_checks(server: StreamServer, *, loopback: bool, token: str | None) -> list[Check]:
    """Check the way to a server; blocks.

    Args:
        server: Whose address is meant.
        loopback: Whether the far end is a simulator on this machine, which needs no public one.
        token: The account's auth token, or None if it is not known.
    """
    address = _address(server, loopback=loopback)
    if not address.passed:
        why = "not tried, because the address does not lead here"
        return [address, unknown(SOCKET, why), _token_or(server, token, why)]
    try:
        status = probe_handshake(server.stream_url, server.signature_for_handshake())
    except TwistreamError as error:
        why = "not tried, because no WebSocket could be opened"
        return [address, failed_by(SOCKET, error), _token_or(server, token, why)]
    if status != OPENED:
        why = "not tried, because no WebSocket could be opened"
        return [address, _not_opened(server, status), _token_or(server, token, why)]
    opened = passed(SOCKET, f"{server.stream_url} opens to a handshake signed as Twilio signs it")
    return [address, opened, _signatures(server, token)]


def twiml_checks(
    server: StreamServer, parameters: Mapping[str, str] | None, *, loopback: bool
) -> list[Check]:
    """Look at the TwiML that `place_call` would send.

    Args:
        server: Where the stream is to connect.
        parameters: As for `place_call`.
        loopback: Whether the far end is a simulator on this machine.
    """
    try:
        callback = server.status_url if loopback or server.public_url else None
        twiml = connect_stream(server.stream_url, parameters=parameters, status_callback=callback)
    except ServerStopped:
        return [unknown(TWIML, "not written, because the server does not run")]
    except LocalProtocolError as error:
        if error.twilio_code in _OUT_OF_REACH:
            return [unknown(TWIML, "not written, because it needs a public address")]
        return [failed(TWIML, f"{error.field} {error.problem}", error.consequence, error.fix)]
    except TypeError as error:
        return [failed(TWIML, str(error), "No call would be placed", "Give strings")]
    found = [each for each in review_twiml(twiml) if each.code not in _OUT_OF_REACH]
    for objection in found:
        if objection.severity != "note":
            return [_objected(TWIML, objection)]
    if "_" in (urlsplit(server.status_url).hostname or ""):
        return [_underscore(server.status_url)]
    remarks = "".join(f"; {each.field} {each.problem}" for each in found)
    return [passed(TWIML, f"valid, {len(twiml)} of {INLINE_LIMIT} characters{remarks}")]


def _address(server: StreamServer, *, loopback: bool) -> Check:
    try:
        base, stream_url, _ = server.base_url, server.stream_url, server.port
    except TwistreamError as error:  # a public address does not tell that the server has stopped
        return failed_by(ADDRESS, error)
    if server.trouble:
        return failed(
            ADDRESS,
            f"the public address is gone: {server.trouble}",
            "No call could open its stream",
            "Open a tunnel again: kit.start(kit.open_tunnel(server))",
        )
    if not loopback:
        for objection in review_stream_url(stream_url):
            if objection.code in _OUT_OF_REACH:
                return _objected(ADDRESS, objection)
    try:
        # This is a thread without a loop; `asyncio.run` may be somebody's patched one.
        with asyncio.Runner() as runner:
            runner.run(prove(_as_http(base), server.nonce))
    except TwistreamError as error:
        return failed_by(ADDRESS, error)
    return passed(ADDRESS, f"{base} leads to this process")


def _as_http(url: str) -> str:
    return re.sub(r"\Aws(s?)://", r"http\1://", url, flags=re.IGNORECASE)


def _not_opened(server: StreamServer, status: int) -> Check:
    if status == 403:
        problem = "refuses the signature that its own server made"
        fix = "Look for a proxy that checks or changes headers; a browser warning may sit there too"
    elif 300 <= status < 400:
        problem = "answers with a redirection"
        fix = "Give the address that it leads to as public_url"
    else:
        problem = f"answers HTTP {status}, where 101 opens a WebSocket"
        fix = (
            "Let the tunnel or proxy pass the headers Upgrade and Connection on, over HTTP/1.1; "
            "nginx needs proxy_http_version 1.1 and proxy_set_header Upgrade $http_upgrade"
        )
    return failed(
        SOCKET,
        f"{server.stream_url} {problem}",
        "Twilio would answer the call and open no stream (31920)",
        fix,
    )


def _token_or(server: StreamServer, token: str | None, why: str) -> Check:
    """Say what can be said of the signatures without a WebSocket, else `why` nothing can."""
    return _token_objection(server, token) or unknown(SIGNATURES, why)


def _token_objection(server: StreamServer, token: str | None) -> Check | None:
    if not server.checks_signatures:
        return failed(
            SIGNATURES,
            "the server checks none",
            "Anybody who finds the address could listen to your callers and talk to them",
            "Make it with StreamServer(auth_token=…)",
        )
    try:
        wanted = server.signature_for_handshake()
        given = None if token is None else sign(token, compute_signed_url(server.stream_url))
    except TwistreamError:  # it does not run, which the check of its address says
        return None
    if wanted is None or given is None or hmac.compare_digest(wanted, given):
        return None
    return failed(
        SIGNATURES,
        "the server's auth token is not the one of the account that calls",
        "The server would take Twilio for a stranger and refuse it (403, which Twilio logs as "
        "31920)",
        "Make both with the same account's token, its primary one",
    )


def _signatures(server: StreamServer, token: str | None) -> Check:
    objection = _token_objection(server, token)
    if objection is not None:
        return objection
    try:
        status = probe_handshake(server.stream_url, None, nonce=server.nonce)
    except TwistreamError as error:
        return unknown(SIGNATURES, f"could not be found out: {error.problem}")
    if status == OPENED:
        return failed(
            SIGNATURES,
            "the address opens a WebSocket without one, although the server checks them",
            "Somebody on the way adds signatures, so anybody who finds the address gets in",
            "Look at the tunnel or proxy: it must pass the headers on as they are",
        )
    if status != 403:
        return unknown(SIGNATURES, f"without one the address answers HTTP {status}, not 403")
    return passed(SIGNATURES, "a handshake without one is refused")


def _objected(name: str, objection: Objection) -> Check:
    detail = f"{objection.field} {objection.problem}".strip()
    return failed(name, detail, objection.consequence, objection.fix)


def _underscore(url: str) -> Check:
    return failed(
        TWIML,
        f"the host of {url} has an underscore in its name",
        "Twilio sends no status callbacks there",
        "Use a name without one",
    )
