"""How Twilio opens the socket of a stream, and which number it gives to each way to fail.

The request is the one seen in captures (PROTOCOL.md §2.1): no Origin, no subprotocol, no
extensions, the signature in a header of lower case.  ``ws://`` is accepted for this machine only,
which Twilio never does: it is where a server under development listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from socket import gaierror
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.uri import parse_uri

from twistream_kit.errors import CallRefused
from twistream_kit.protocol.codes import explain
from twistream_kit.protocol.signature import sign, signed_url
from twistream_kit.simulator.model.assumptions import (
    APPENDS_SLASH_TO_BARE_HOST,
    CLOSE_WAIT_SECONDS,
    HANDSHAKE_SECONDS,
    MESSAGE_LIMIT,
    Behaviour,
)

USER_AGENT = "Twilio.TmeWs/1.0"
"""What Twilio calls itself on the socket [OBS] (§2.1)."""

_FORM = "Write wss://host/path; on this machine ws://127.0.0.1:port/path will do"


class StreamFailed(CallRefused):
    """A stream could not be opened.

    Attributes:
        code: Twilio's number, 31901 to 31923.
        text: Twilio's title for it, as the status callback says it (§8).
    """

    def __init__(self, code: int, problem: str, *, fix: str = "") -> None:
        known = explain(code)
        consequence = f"Twilio would end the stream with {code} ({known.name})"
        super().__init__(problem, code=code, consequence=consequence, fix=fix)
        self.text = known.name


@dataclass(frozen=True, slots=True)
class StreamUrl:
    """Where to connect, and what to sign.

    Attributes:
        url: As given, without query string and fragment.
        signed: What the signature is computed over (§10.25).
        dropped: The query string that was taken away, or empty.
    """

    url: str
    signed: str
    dropped: str = ""


def read_url(url: str, behaviour: Behaviour) -> StreamUrl:
    """Take the URL of a stream apart as Twilio would.

    Raises:
        StreamFailed: 31923 if it is no URL, 31922 if it is not wss (or ws on this machine), 31920
            if it has a query string and `behaviour` is strict.
    """
    if not isinstance(url, str):
        raise TypeError(f"url is {url!r}; give a string. {_FORM}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise StreamFailed(31923, f"{url!r} is not a URL: {error}", fix=_FORM) from error
    if not url:
        raise StreamFailed(31923, "the URL of the stream is empty", fix=_FORM)
    if parts.scheme not in ("ws", "wss"):
        raise StreamFailed(31922, f"{url!r} is not a wss URL", fix=_FORM)
    if not host:
        raise StreamFailed(31923, f"{url!r} is not a URL: it names no host", fix=_FORM)
    if any(character.isspace() for character in url):
        raise StreamFailed(31923, f"{url!r} is not a URL: it contains a space", fix="Write %20")
    if parts.scheme == "ws" and not is_loopback(host):
        fix = "Twilio speaks TLS only: put the server behind a tunnel and use its wss address"
        raise StreamFailed(31922, f"{url!r} is not encrypted", fix=fix)
    if parts.query and behaviour.strict:
        fix = "Pass values as <Parameter>; they arrive in the start message"
        raise StreamFailed(31920, f"{url!r} has a query string", fix=fix)
    url = urlunsplit(parts._replace(query="", fragment=""))
    bare = APPENDS_SLASH_TO_BARE_HOST and not parts.path
    return StreamUrl(url, signed_url(f"{url}/" if bare else url), parts.query)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name or number alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def open_socket(url: str, signed: str, auth_token: str | None) -> ClientConnection:
    """Connect and shake hands; redirects and proxies are not followed.

    It ends after `HANDSHAKE_SECONDS` at the latest.  Cancelling it leaves nothing open.

    Raises:
        StreamFailed: With the number that Twilio gives to the failure (§2.3, §5.1).
    """
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            return await _connect(url, signed, auth_token)
    except TimeoutError as error:
        problem = f"{url} did not answer within {HANDSHAKE_SECONDS:g} s"
        fix = "Is it the right address, and does anything in between forward WebSockets?"
        raise StreamFailed(31901, problem, fix=fix) from error
    except (OSError, EOFError, ValueError, InvalidHandshake, InvalidURI) as error:
        raise _failure(url, error) from error


async def _connect(url: str, signed: str, auth_token: str | None) -> ClientConnection:
    uri = parse_uri(url)
    loop = asyncio.get_running_loop()

    def protocol() -> ClientConnection:
        # Not websockets.connect: it follows redirects, which Twilio does not (§2.3).
        return ClientConnection(
            ClientProtocol(uri, max_size=MESSAGE_LIMIT),
            ping_interval=None,
            close_timeout=CLOSE_WAIT_SECONDS,
        )

    _, connection = await loop.create_connection(
        protocol, uri.host, uri.port, ssl=True if uri.secure else None
    )
    headers = {} if auth_token is None else {"x-twilio-signature": sign(auth_token, signed)}
    try:
        await connection.handshake(headers, USER_AGENT)
    except BaseException:
        connection.transport.abort()
        with contextlib.suppress(OSError):
            await asyncio.shield(connection.wait_closed())
        raise
    return connection


def _failure(url: str, error: Exception) -> StreamFailed:
    if isinstance(error, InvalidStatus):
        return _refused_upgrade(url, error)
    if isinstance(error, InvalidURI | UnicodeError):
        return StreamFailed(31923, f"{url!r} is not a URL: {error}", fix=_FORM)
    if isinstance(error, InvalidHandshake | EOFError) or type(error) is ValueError:
        # The bare ones are how websockets 14 reports an answer that is not HTTP.
        fix = "Is this the port of a WebSocket server?"
        return StreamFailed(31920, f"{url} did not answer as WebSocket: {error}", fix=fix)
    if isinstance(error, ssl.SSLError):
        fix = "Twilio wants a certificate that any browser would accept; on this machine use ws://"
        return StreamFailed(31910, f"{url} failed at TLS: {error}", fix=fix)
    if isinstance(error, gaierror) or _is(error, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return StreamFailed(31904, f"{url} cannot be reached: {error}", fix="Check the name")
    if _is(error, errno.ECONNREFUSED):
        fix = "Is the server running, and on this port?"
        return StreamFailed(31902, f"{url} refused the connection", fix=fix)
    if url.startswith("wss:"):
        problem = f"{url} broke off while TLS was negotiated: {error}"
        return StreamFailed(31910, problem, fix="A server without TLS does that")
    fix = "Look into the log of the server, or of what stands in front of it"
    return StreamFailed(31920, f"{url} broke off during the handshake: {error}", fix=fix)


def _refused_upgrade(url: str, error: InvalidStatus) -> StreamFailed:
    status = error.response.status_code
    problem = f"{url} answered HTTP {status} instead of 101"
    body = (error.response.body or b"")[:200].decode("utf-8", "replace").strip()
    if body:
        problem += f" ({' '.join(body.split())!r})"
    fix = {
        401: "The signature was not accepted: compare the auth token and the public URL",
        403: "The signature was not accepted: compare the auth token and the public URL; some "
        "frameworks, such as FastAPI, also say 403 where nothing lives at the path",
        404: "Check the path; a query string never arrives",
    }.get(status, "Is this the path of the WebSocket, and does the server speak it there?")
    if 300 <= status < 400:
        fix = "Twilio follows no redirects here: give the address that it leads to"
    return StreamFailed(31920, problem, fix=fix)


def _is(error: Exception, *numbers: int) -> bool:
    # A name with several addresses fails with one error that quotes the errors of all.
    quoted = str(error)
    return any(
        getattr(error, "errno", None) == number or f"[Errno {number}]" in quoted
        for number in numbers
    )
