"""X-Twilio-Signature: who may speak to your server (PROTOCOL.md §2.2 and §7).

The URL to check against is the one that you told Twilio, never one put together from a request's
own headers: proxies change scheme, host and port, and whoever forges a request chooses them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs

Params = Mapping[str, str | Sequence[str]]
"""The fields of a POSTed form; a field that was sent more than once has a sequence of values."""


def sign(auth_token: str, url: str, params: Params | None = None) -> str:
    """Compute the signature that Twilio would send.

    Args:
        auth_token: The account's primary token; those who use API keys need it too.
        url: The URL as requested, query included.  A user and password in it are left out, as
            Twilio does; a port is not: see `signed_url`.
        params: The form of a POST; None or empty for GET, JSON and WebSocket handshakes.

    Returns:
        HMAC-SHA1 in base64.
    """
    text = _without_user(url) + "".join(_lines(params or {}))
    # A lone surrogate cannot come from a real request; it must not raise in the check of one.
    key, message = (part.encode("utf-8", "surrogatepass") for part in (auth_token, text))
    return b64encode(hmac.new(key, message, hashlib.sha1).digest()).decode("ascii")


def is_valid(
    auth_token: str,
    url: str,
    params: Params | None,
    signature: str | None,
    *,
    body: bytes | None = None,
) -> bool:
    """Whether `signature` fits a webhook request, with or without the port in its URL.

    Args:
        auth_token: The account's primary token.
        url: Your configured public URL with this request's path and query.
        params: The form of a POST, else None.
        signature: The header ``X-Twilio-Signature``, or None if it was not there.
        body: The raw body when it is not a form.  Twilio then puts its SHA-256 into the query as
            ``bodySHA256``; a body without it is refused, because nothing vouches for it.
    """
    if not _body_is_vouched_for(url, body):
        return False
    return _fits(auth_token, candidate_urls(url), params, signature)


def is_valid_handshake(auth_token: str, stream_url: str, signature: str | None) -> bool:
    """Whether `signature` fits the WebSocket handshake of a stream.

    Args:
        auth_token: The account's primary token.
        stream_url: The configured public URL, as in ``<Stream url>``.
        signature: The header ``x-twilio-signature``, or None if it was not there.
    """
    return _fits(auth_token, websocket_urls(stream_url), None, signature)


def signed_url(url: str) -> str:
    """Return what Twilio signs for `url`: no user, and no port where the scheme is https or wss.

    Documented for voice webhooks (§7), taken to hold for streams too (§2.2).
    """
    parts = _split(url)
    if parts is None:
        return url
    keep = parts.port if parts.scheme.lower() in ("http", "ws") else ""
    return parts.join(port=keep)


def candidate_urls(url: str) -> list[str]:
    """Return the forms in which Twilio may have signed the webhook `url`, likeliest first."""
    parts = _split(url)
    if parts is None:
        return [url]
    ports = (parts.port, "", parts.default_port)
    return _distinct(parts.join(port=port) for port in ports)


def websocket_urls(public_url: str) -> list[str]:
    """Return the forms in which Twilio may have signed the handshake of a stream, likeliest first.

    The scheme seen in practice is wss, whatever a framework behind a proxy believes; some
    handshakes carry a slash at the end that the TwiML lacks (§2.2).

    Args:
        public_url: As configured: ``wss://host/path``, or its https form.
    """
    parts = _split(public_url)
    if parts is None:
        return [public_url]
    secure = parts.scheme.lower() in ("wss", "https")
    path, mark, query = parts.rest.partition("?")
    return _distinct(
        parts._replace(scheme=scheme, rest=end + mark + query).join(port=port)
        for scheme in (("wss", "https") if secure else ("ws", "http"))
        for end in (path, path if path.endswith("/") else f"{path}/")
        for port in ("", parts.port, parts.default_port)
    )


class _Parts(NamedTuple):
    """A URL cut by hand: `urlunsplit` would normalise what has to stay as it was signed."""

    scheme: str
    host: str
    port: str
    rest: str

    @property
    def default_port(self) -> str:
        return "443" if self.scheme.lower() in ("https", "wss") else "80"

    def join(self, *, port: str) -> str:
        return f"{self.scheme}://{self.host}{f':{port}' if port else ''}{self.rest}"


_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:[^/?#]*@)?"
    r"(?P<host>\[[^\]/?#]*\]|[^:/?#\[\]]*)"
    r"(?::(?P<port>[0-9]*))?"
    r"(?P<rest>(?:[/?#].*)?)",
    re.DOTALL,
)


def _split(url: str) -> _Parts | None:
    match = _URL.fullmatch(url)
    return (
        _Parts(match["scheme"], match["host"], match["port"] or "", match["rest"])
        if match
        else None
    )


def _without_user(url: str) -> str:
    return re.sub(r"\A([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@", r"\1", url)


def _lines(params: Params) -> list[str]:
    """Return name and value of each parameter, sorted; of repeated ones each value once (§7)."""
    lines: list[str] = []
    for name in sorted(params):
        value = params[name]
        values = [value] if isinstance(value, str) else sorted(set(value))
        lines.extend(name + each for each in values)
    return lines


def _body_is_vouched_for(url: str, body: bytes | None) -> bool:
    query = url.partition("?")[2].partition("#")[0]
    promised = parse_qs(query).get("bodySHA256", [""])[0]
    if not promised:
        return not body
    if body is None:
        return False
    return hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), promised.lower().encode())


def _fits(auth_token: str, urls: list[str], params: Params | None, signature: str | None) -> bool:
    if not signature or not auth_token:
        return False
    given = signature.encode("utf-8", "surrogatepass")
    # Bytes, because compare_digest raises on text outside ASCII.
    return any(hmac.compare_digest(sign(auth_token, url, params).encode(), given) for url in urls)


def _distinct(urls: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(urls))
