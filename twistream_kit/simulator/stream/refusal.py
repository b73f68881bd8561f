"""Why a stream could not be opened, with Twilio's code for it (PROTOCOL.md §2.3, §5.1)."""

from __future__ import annotations

from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from twistream_kit.diagnosis.connection import ConnectionKind, explain_connection_error
from twistream_kit.diagnosis.http_answer import HttpAnswer, explain_answer, read_status_line
from twistream_kit.errors import CallRefused, hide_user
from twistream_kit.protocol.codes import get_code

URL_FORM = "Write wss://host/path; on this machine ws://127.0.0.1:port/path will do"
"""What to write where a URL cannot be used."""

_CODES: dict[ConnectionKind, int] = {
    "name": 31904,
    "name-server": 31904,
    "unreachable": 31904,
    "refused": 31902,
    "timeout": 31901,
    "certificate": 31910,
    "tls": 31910,
}
"""Twilio's code for each kind of failure; 31920 for the others."""


class StreamFailed(CallRefused):
    """A stream could not be opened.

    Attributes:
        code: Twilio's error code, 31901 to 31923.
        text: Twilio's title of the error, as in the status callback (§8).
    """

    def __init__(self, code: int, problem: str, *, fix: str = "") -> None:
        known = get_code(code)
        consequence = f"Twilio would end the stream with {code} ({known.name})"
        super().__init__(problem, code=code, consequence=consequence, fix=fix)
        self.text = known.name


def explain_failure(url: str, error: Exception, signed_url: str | None) -> StreamFailed:
    """Return the failure of a handshake as Twilio would report it.

    Args:
        url: The URL of the stream.
        error: The exception of the connection or of `websockets`.
        signed_url: The URL that the signature was computed over, or None if none was sent.
    """
    shown = hide_user(url)
    if isinstance(error, InvalidURI | UnicodeError):
        return StreamFailed(31923, f"{shown!r} is not a URL", fix=URL_FORM)
    answer: HttpAnswer | None
    if isinstance(error, InvalidStatus):
        response = error.response
        answer = HttpAnswer.read(
            response.status_code, response.headers.raw_items(), response.body or b""
        )
    else:
        answer = read_status_line(error)
    if answer is not None:
        found = explain_answer(answer, url, signed_url=signed_url)
        return StreamFailed(31920, f"{shown} {found.problem}", fix=found.fix)
    fault = explain_connection_error(error, url)
    if fault.kind in ("not-http", "other"):
        # websockets 14 raises a plain ValueError for a response that is not HTTP.
        fix = "Is this the port of a WebSocket server?"
        return StreamFailed(31920, f"{shown} did not answer as WebSocket: {error}", fix=fix)
    if (
        fault.kind == "closed"
        and not isinstance(error, InvalidHandshake | EOFError)
        and url.startswith("wss:")
    ):
        return StreamFailed(
            31910,
            f"{shown} closed the connection during the TLS handshake",
            fix="A server without TLS does that",
        )
    return StreamFailed(_CODES.get(fault.kind, 31920), f"{shown} {fault.problem}", fix=fault.fix)
