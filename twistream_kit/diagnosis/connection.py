"""Tell why no connection came about: the name, the port, the network, TLS, a proxy.

The tunnel's proof, the preflight and the simulated call all ask `explain_connection_error`, so they
say the same.  The errors of `requests`, `websockets` and asyncio hold the cause somewhere in a
chain of exceptions; it is searched for.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Literal
from urllib.parse import urlsplit

from twistream_kit.errors import Explained, quote

ConnectionKind = Literal[
    "name", "name-server", "refused", "unreachable", "timeout", "certificate", "tls", "proxy",
    "closed", "not-http", "other",
]  # fmt: skip
"""What may keep a connection from coming about."""

NEGATIVE_CACHE_MINUTES = 30
"""How long name servers may keep in mind that a name of Cloudflare's did not exist: its zones say
1800 s (RFC 2308)."""

_NAME_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME), 11001, 11004}
"""The last two are those of Windows (WSAHOST_NOT_FOUND, WSANO_DATA)."""

_KINDS_OF_ERRNO: dict[int, ConnectionKind] = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "closed",
    errno.EPIPE: "closed",
}

_MOST_ERRORS = 40


@dataclass(frozen=True, slots=True)
class ConnectionFault(Explained):
    """Why no connection came about, and what to do.

    Attributes:
        kind: One of `ConnectionKind`.
        problem: What happened; continues the sentence that the URL begins.
        fix: What to do.
        consequence: What follows, where that depends on the kind; else empty.
    """

    kind: ConnectionKind
    problem: str
    fix: str
    consequence: str = ""


def explain_connection_error(
    error: BaseException, url: str, *, opened_before: float | None = None
) -> ConnectionFault:
    """Explain why a connection to a URL failed.

    Args:
        error: The exception that a client library raised.
        url: The URL, with or without a user, which is not quoted.
        opened_before: For the address of a tunnel, how many seconds ago it was opened: its name
            may be too new to be known everywhere.

    Example:
        >>> error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        >>> fault = explain_connection_error(error, "https://nobody.invalid/health")
        >>> fault.kind, fault.problem
        ('name', "does not resolve: the name server of this machine knows no 'nobody.invalid'")
    """
    chain = list(_walk(error))
    kind, cause = _classify(chain)
    if kind in ("name", "name-server"):
        return _explain_name(kind, cause, url, opened_before)
    port = _get_port(url)
    reason = _describe(cause)
    problem, fix = _WORDS[kind]
    return ConnectionFault(kind, problem.format(port=port, reason=reason), fix)


_WORDS: dict[ConnectionKind, tuple[str, str]] = {
    "refused": (
        "refused the connection",
        "Is the server running, and on this port?",
    ),
    "unreachable": (
        "cannot be reached: this machine has no way to it ({reason})",
        "Check the network, and the address",
    ),
    "timeout": (
        "did not answer in time",
        "Is it the right address, and does anything in between forward WebSockets?",
    ),
    "certificate": (
        "has a certificate that does not hold ({reason})",
        (
            "Give it a certificate for this very name from a public authority, by an HTTPS tunnel "
            "or a reverse proxy; where a network opens TLS with an authority of its own, try "
            "from another"
        ),
    ),
    "tls": (
        (
            "failed at TLS ({reason}): what listens on port {port} does not speak it, or no "
            "version that is accepted"
        ),
        (
            "Put something with a valid certificate in front, an HTTPS tunnel or a reverse proxy; "
            "on this machine use ws://"
        ),
    ),
    "proxy": (
        (
            "was not reached: the proxy of this machine's settings (HTTPS_PROXY, HTTP_PROXY) "
            "refused, or does not answer ({reason})"
        ),
        "Correct the proxy, or except the host from it in NO_PROXY",
    ),
    "closed": (
        "closed the connection without an answer",
        (
            "Check the log of the server, or of a proxy in front of it; a port that speaks TLS "
            "does this to ws:// and http://"
        ),
    ),
    "not-http": (
        "did not answer in HTTP",
        "Is this the port of a web server? Compare it with the one that the server listens on",
    ),
    "other": ("gave no answer ({reason})", "Check the address, and the server's log"),
}


def _explain_name(
    kind: ConnectionKind, cause: BaseException | None, url: str, opened_before: float | None
) -> ConnectionFault:
    host = quote(urlsplit(url).hostname or "", 80)
    if kind == "name":
        problem = f"the name server of this machine knows no {host}"
    else:
        problem = f"this machine's name server did not answer for {host} ({_describe(cause)})"
    if opened_before is None:
        fix = "Check the spelling: a tunnel's name of yesterday is gone"
        if kind == "name-server":
            fix = "Check the network and the name server of this machine"
        return ConnectionFault(kind, f"does not resolve: {problem}", fix)
    return ConnectionFault(
        kind,
        f"does not resolve yet: the tunnel was opened {opened_before:.0f} s ago, and {problem}",
        "Wait a minute and open the tunnel again: a quick tunnel gets another name then. If no "
        "name of it ever resolves here, use another name server (1.1.1.1 or 8.8.8.8) or network, "
        "or another tunnel",
        "No connection was tried, so nothing is known of the tunnel itself. A new name takes some "
        f"seconds; a name server that was asked too early may say for {NEGATIVE_CACHE_MINUTES} "
        "minutes that it does not exist (negative caching). Twilio asks other name servers and "
        "may reach it already",
    )


def _classify(chain: list[BaseException]) -> tuple[ConnectionKind, BaseException | None]:
    """Return the kind of a failure, and the exception that shows it."""
    for find_kind in (
        _find_proxy,
        _find_name,
        _find_tls,
        _find_errno,
        _find_silence,
        _find_other_protocol,
    ):
        for error in chain:
            if kind := find_kind(error):
                return kind, chain[-1] if kind == "proxy" else error
    return "other", chain[-1] if chain else None


def _find_proxy(error: BaseException) -> ConnectionKind | None:
    name = type(error).__name__  # urllib3's, requests', websockets'
    return "proxy" if "ProxyError" in name or "InvalidProxy" in name else None


def _find_name(error: BaseException) -> ConnectionKind | None:
    if not isinstance(error, socket.gaierror):
        return None
    return "name" if error.errno in _NAME_UNKNOWN else "name-server"


def _find_tls(error: BaseException) -> ConnectionKind | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    return "tls" if isinstance(error, ssl.SSLError) else None


def _find_silence(error: BaseException) -> ConnectionKind | None:
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "timeout"
    return "closed" if isinstance(error, ConnectionError | EOFError) else None


def _find_other_protocol(error: BaseException) -> ConnectionKind | None:
    is_http_client = isinstance(error, HTTPException)
    return "not-http" if is_http_client or type(error).__name__ == "InvalidMessage" else None


def _find_errno(error: BaseException) -> ConnectionKind | None:
    number = error.errno if isinstance(error, OSError) else None
    if number in _KINDS_OF_ERRNO:
        return _KINDS_OF_ERRNO[number]
    # For a name with several addresses, one error of asyncio's quotes those of all of them.
    for found in re.finditer(r"\[Errno (\d{1,5})\]", str(error)):
        if int(found[1]) in _KINDS_OF_ERRNO:
            return _KINDS_OF_ERRNO[int(found[1])]
    return None


def _walk(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it holds or came from, the outermost first."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_ERRORS:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, getattr(current, "reason", None), *current.args]
        if not current.__suppress_context__:
            inner.append(current.__context__)
        if isinstance(current, BaseExceptionGroup):
            inner.extend(current.exceptions)
        waiting.extend(each for each in inner if isinstance(each, BaseException))


def _describe(error: BaseException | None) -> str:
    """Return the reason that an exception gives; never its whole text, which may quote a URL."""
    if isinstance(error, ssl.SSLError):
        reason = (
            getattr(error, "verify_message", "")
            or getattr(error, "reason", "")
            or type(error).__name__
        )
        return str(reason)
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return type(error).__name__


def _get_port(url: str) -> int:
    try:
        parts = urlsplit(url)
        return parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    except ValueError:
        return 0
