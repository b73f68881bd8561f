"""The checks of the server: its address, its WebSocket, its signatures, and the TwiML of a call.

They check whether the stream of a call would reach this process, and whether a stream that Twilio
did not sign is refused.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twistream_kit.diagnosis.http_answer import (
    SWITCHING_PROTOCOLS,
    HttpAnswer,
    explain_answer,
)
from twistream_kit.diagnosis.twiml import review_twiml
from twistream_kit.errors import LocalProtocolError, ServerStopped, TwistreamError
from twistream_kit.live.preflight.check import (
    Check,
    fail_by_error,
    fail_check,
    pass_check,
    skip_check,
)
from twistream_kit.live.server.admission import UNSIGNED
from twistream_kit.live.server.probe import probe_handshake, prove
from twistream_kit.live.server.stream_host import sign_own_probe
from twistream_kit.protocol.signature import compute_signed_url, remove_user, sign
from twistream_kit.protocol.twiml import INLINE_LIMIT, connect_stream, review_stream_url

if TYPE_CHECKING:
    from twistream_kit.live.server.stream_host import StreamHost

ADDRESS, SOCKET, SIGNATURES, TWIML = "public address", "WebSocket", "signatures", "TwiML"

_OUT_OF_REACH = (31904, 31922)
"""The codes that the check of the address reports: unreachable, not wss."""


ADDRESS_CHECKS = (ADDRESS, SOCKET, SIGNATURES)
"""What `check_address` checks, in the order of its results."""


def check_address(server: StreamHost, *, loopback: bool, token: str | None) -> list[Check]:
    """Check the address, the WebSocket and the signatures of a server; blocks.

    Args:
        server: The server.
        loopback: Whether the far end is a simulator on this machine, which needs no public address.
        token: The account's auth token, or None if it is not known.
    """
    address = _check_public_address(server, loopback=loopback)
    if not address.passed:
        why = "not tried, because the address does not lead here"
        return [address, skip_check(SOCKET, why), _check_token_or_skip(server, token, why)]
    try:
        answer = probe_handshake(server.stream_url, server.signature_for_handshake())
    except TwistreamError as error:
        why = "not tried, because no WebSocket could be opened"
        return [address, fail_by_error(SOCKET, error), _check_token_or_skip(server, token, why)]
    if answer.status != SWITCHING_PROTOCOLS:
        why = "not tried, because no WebSocket could be opened"
        return [
            address,
            _object_to_answer(server, answer),
            _check_token_or_skip(server, token, why),
        ]
    opened = pass_check(
        SOCKET, f"{server.stream_url} opens to a handshake signed as Twilio signs it"
    )
    return [address, opened, _check_signatures(server, token)]


TWIML_CHECKS = (TWIML,)
"""What `check_twiml` checks."""


def check_twiml(
    server: StreamHost, parameters: Mapping[str, str] | None, *, loopback: bool
) -> list[Check]:
    """Check the TwiML that `place_call` would send.

    Args:
        server: The server for the stream.
        parameters: As for `place_call`.
        loopback: Whether the far end is a simulator on this machine.
    """
    try:
        callback = server.status_url if loopback or server.public_url else None
        twiml = connect_stream(server.stream_url, parameters=parameters, status_callback=callback)
    except ServerStopped:
        return [skip_check(TWIML, "not written, because the server does not run")]
    except LocalProtocolError as error:
        if error.twilio_code in _OUT_OF_REACH:
            return [skip_check(TWIML, "not written, because it needs a public address")]
        return [fail_by_error(TWIML, error)]
    except TypeError as error:
        return [fail_check(TWIML, str(error), "No call would be placed", "Give strings")]
    found = [each for each in review_twiml(twiml) if each.code not in _OUT_OF_REACH]
    for objection in found:
        if objection.severity != "note":
            return [fail_by_error(TWIML, objection)]
    if "_" in (urlsplit(server.status_url).hostname or ""):
        return [_object_to_underscore(server.status_url)]
    remarks = "".join(f"; {each.statement}" for each in found)
    return [pass_check(TWIML, f"valid, {len(twiml)} of {INLINE_LIMIT} characters{remarks}")]


def _check_public_address(server: StreamHost, *, loopback: bool) -> Check:
    try:
        getattr(server, "port", None)  # of one that listens itself; raises if it has stopped
        base, stream_url = server.base_url, server.stream_url
    except TwistreamError as error:
        return fail_by_error(ADDRESS, error)
    if server.disconnect_reason:
        return fail_check(
            ADDRESS,
            f"the public address is gone: {server.disconnect_reason}",
            "No call could open its stream",
            "Open a tunnel again: kit.start(kit.open_tunnel(server))",
        )
    if not loopback:
        for objection in review_stream_url(stream_url):
            if objection.code in _OUT_OF_REACH:
                return fail_by_error(ADDRESS, objection)
    try:
        # On this thread no loop runs; not `asyncio.run`, because notebooks may patch it.
        with asyncio.Runner() as runner:
            runner.run(prove(_as_http(base), server.nonce))
    except TwistreamError as error:
        return fail_by_error(ADDRESS, error)
    return pass_check(ADDRESS, f"{base} leads to this process")


def _as_http(url: str) -> str:
    return re.sub(r"\Aws(s?)://", r"http\1://", url, flags=re.IGNORECASE)


def _object_to_answer(server: StreamHost, answer: HttpAnswer) -> Check:
    url = server.stream_url
    signed_url = compute_signed_url(url) if server.checks_signatures else None
    found = explain_answer(answer, url, signed_url=signed_url)
    problem, fix = found.problem, found.fix
    if answer.status == 403 and answer.text == UNSIGNED and signed_url is not None:
        problem = f"refuses the signature that its own server made (HTTP 403, {answer.quoted})"
        fix = "Look for a proxy that checks or changes headers"
    return fail_check(
        SOCKET,
        f"{remove_user(url)} {problem}",
        "Twilio would answer the call and open no stream (31920)",
        fix,
    )


def _check_token_or_skip(server: StreamHost, token: str | None, why: str) -> Check:
    """Check the token without a WebSocket; if it is right, skip the check because of `why`."""
    return _object_to_token(server, token) or skip_check(SIGNATURES, why)


def _object_to_token(server: StreamHost, token: str | None) -> Check | None:
    if not server.checks_signatures:
        return fail_check(
            SIGNATURES,
            "the server checks none",
            "Anyone who finds the address could listen to your callers and talk to them",
            "Make it with StreamServer(auth_token=…)",
        )
    try:
        wanted = server.signature_for_handshake()
        given = None if token is None else sign(token, compute_signed_url(server.stream_url))
    except TwistreamError:  # it is not running, which the check of its address reports
        return None
    if wanted is None or given is None or hmac.compare_digest(wanted, given):
        return None
    return fail_check(
        SIGNATURES,
        "the server's auth token is not the one of the account that calls",
        "The server would refuse Twilio's requests (403, which Twilio logs as 31920)",
        "Make both with the same account's token, its primary one",
    )


def _check_signatures(server: StreamHost, token: str | None) -> Check:
    objection = _object_to_token(server, token)
    if objection is not None:
        return objection
    try:
        answer = probe_handshake(server.stream_url, None, proof=sign_own_probe(server))
    except TwistreamError as error:
        return skip_check(SIGNATURES, f"could not be found out: {error.problem}")
    if answer.status == SWITCHING_PROTOCOLS:
        return fail_check(
            SIGNATURES,
            "the address opens a WebSocket without one, although the server checks them",
            "A proxy on the way adds signatures, so anyone who finds the address is admitted",
            "Check the tunnel or proxy: it must not change the headers",
        )
    found = explain_answer(answer, server.stream_url)
    if answer.status != 403 or found.source != "server":
        return skip_check(SIGNATURES, f"could not be found out: without one it {found.problem}")
    return pass_check(SIGNATURES, "a handshake without one is refused")


def _object_to_underscore(url: str) -> Check:
    return fail_check(
        TWIML,
        f"the host of {url} has an underscore in its name",
        "Twilio sends no status callbacks there",
        "Use a name without one",
    )
