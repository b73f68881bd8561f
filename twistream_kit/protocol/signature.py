"""Check ``X-Twilio-Signature``, and parse the parameters of a webhook.

A signature is checked against the URL that you configured at Twilio, never against one built from
the headers of the request: proxies change scheme, host and port, and a forger chooses them.

Twilio signs with HMAC-SHA1 and the account's auth token (PROTOCOL.md §2.2 and §7).  A webhook
setting (public beta, September 2026) can make it sign with a shared key instead, with HMAC-SHA1 or
HMAC-SHA256; an additional header then names the algorithm.  The name and form of that header are
taken from ``request_validator`` of the official SDK, 9.13.

The scheme has two weaknesses that no check here can remove: it puts no separator between names and
values, so a forger who has seen one signed form can move characters between them; and it contains
no time, so a request can be replayed.

The parameters of a webhook are names and values in a query, a form or a JSON object (§6.5).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, parse_qsl

SIGNATURE_HEADER = "X-Twilio-Signature"

SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"
"""``key=…,algorithm=HMAC_SHA256``: sent only when a shared key signed instead of the token."""

_HASHES = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
"""The supported algorithms, by the names that `SETTINGS_HEADER` uses."""

FormFields = Mapping[str, str | Sequence[str]]
"""The fields of a POSTed form; a field that was sent more than once has a sequence of values."""

Parameters = dict[str, str | list[str]]
"""The parameters of a webhook by name; a name that was sent several times has a list of values."""


def is_valid(
    auth_token: str,
    url: str,
    params: FormFields | None,
    signature: str | None,
    *,
    body: bytes | None = None,
    settings: str | None = None,
) -> bool:
    """Whether `signature` is valid for a webhook request, with or without the port in its URL.

    Args:
        auth_token: The account's primary token.
        url: Your configured public URL with this request's path and query.
        params: The fields of a POSTed form, else None.
        signature: The header ``X-Twilio-Signature``, or None if there was none.
        body: The raw body when it is not a form.  Twilio then puts its SHA-256 into the query as
            ``bodySHA256``; a body without it is refused, because the signature does not cover it.
        settings: The header `SETTINGS_HEADER`, or None.
    """
    fits = _fits(auth_token, list_webhook_urls(url), params, signature, settings)
    return _check_body_hash(url, body) and fits


def is_valid_handshake(
    auth_token: str, stream_url: str, signature: str | None, *, settings: str | None = None
) -> bool:
    """Whether `signature` is valid for the WebSocket handshake of a stream.

    Args:
        auth_token: The account's primary token.
        stream_url: The configured public URL, as in ``<Stream url>``.
        signature: The header ``x-twilio-signature``, or None if there was none.
        settings: The header `SETTINGS_HEADER`, or None; whether Twilio signs streams with shared
            keys is not documented.
    """
    return _fits(auth_token, list_handshake_urls(stream_url), None, signature, settings)


def sign(
    auth_token: str, url: str, params: FormFields | None = None, *, algorithm: str = "HMAC_SHA1"
) -> str:
    """Compute the signature that Twilio would send.

    Args:
        auth_token: The account's primary token, which also signs for users of API keys; or the
            secret of the shared key that signs.
        url: The URL as requested, query included.  A user and password in it are removed, as
            Twilio does; a port is not, see `compute_signed_url`.
        params: The fields of a POSTed form; None or empty for GET, JSON and WebSocket handshakes.
        algorithm: ``HMAC_SHA1``, or the ``HMAC_SHA256`` of a shared key.

    Returns:
        The signature in base64.

    Raises:
        KeyError: If the algorithm is neither.
    """
    return _sign_text(auth_token, url, _join_fields(params), algorithm)


def has_body_hash(url: str) -> bool:
    """Whether the query of `url` has ``bodySHA256``: then the body is raw and not a form (§7)."""
    return bool(_read_body_hash(url))


def read_algorithm(settings: str | None) -> str:
    """Return the algorithm that `SETTINGS_HEADER` names, or ``HMAC_SHA1`` if it names none."""
    for part in (settings or "").split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


def describe_refusal(signatures: Sequence[str], settings: str | None) -> str:
    """Describe for a log why the signature of a request was refused.

    Args:
        signatures: All headers ``X-Twilio-Signature``.  Their values are not quoted.
        settings: The header `SETTINGS_HEADER`, or None.
    """
    if len(signatures) != 1:
        number = "no" if not signatures else f"{len(signatures)} times the"
        why = "" if signatures else ' ("Try out Voice" of a trial account sends none)'
        return f"it has {number} header {SIGNATURE_HEADER}, where Twilio sends one{why}"
    if not settings:
        return f"its {SIGNATURE_HEADER} does not fit"
    if read_algorithm(settings) not in _HASHES:
        return f"its {SETTINGS_HEADER} names an algorithm that is not known here"
    return (
        f"its {SIGNATURE_HEADER} does not fit, and its {SETTINGS_HEADER} says that a shared key "
        "signed it and not the auth token: give the secret of that key as auth_token, or take the "
        "signature out of the webhook setting"
    )


def compute_signed_url(url: str) -> str:
    """Return `url` as Twilio signs it: without user, and for https and wss without port.

    This is documented for voice webhooks (§7), and assumed for streams (§2.2).
    """
    parts = _split(url)
    if parts is None:
        return url
    keep = parts.port if parts.scheme.lower() in ("http", "ws") else ""
    return parts.join(port=keep)


def remove_user(url: str) -> str:
    """Return `url` without user and password, as Twilio signs it and as it may be logged."""
    return re.sub(r"\A([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@", r"\1", url)


def list_webhook_urls(url: str) -> list[str]:
    """Return the forms in which Twilio may have signed the webhook `url`, the usual form first.

    Webhooks use http and https only, so a public address configured as wss is taken as https.
    """
    parts = _split(url)
    if parts is None:
        return [url]
    web = {"wss": "https", "ws": "http"}.get(parts.scheme.lower(), parts.scheme)
    ports = (parts.port, "", parts.default_port)
    return _drop_duplicates(
        each.join(port=port) for each in parts._replace(scheme=web).spellings for port in ports
    )


def list_handshake_urls(public_url: str) -> list[str]:
    """Return the forms in which Twilio may have signed the handshake of a stream, the usual first.

    In practice Twilio signs wss, even where a framework behind a proxy sees ws; and some
    handshakes are signed with a slash at the end that the TwiML does not have (§2.2).

    Args:
        public_url: As configured: ``wss://host/path``, or its https form.
    """
    parts = _split(public_url)
    if parts is None:
        return [public_url]
    secure = parts.scheme.lower() in ("wss", "https")
    path, mark, query = parts.rest.partition("?")
    return _drop_duplicates(
        each._replace(scheme=scheme, rest=end + mark + query).join(port=port)
        for each in parts.spellings
        for scheme in (("wss", "https") if secure else ("ws", "http"))
        for end in (path, path if path.endswith("/") else f"{path}/")
        for port in ("", parts.port, parts.default_port)
    )


def parse_query(query: str) -> Parameters:
    """Parse the query of a URL, or a form that is decoded already."""
    grouped: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        grouped.setdefault(name, []).append(value)
    return {name: values if values[1:] else values[0] for name, values in grouped.items()}


def parse_form(body: bytes) -> Parameters:
    """Parse the body of a form; bytes that are not UTF-8 are replaced."""
    return parse_query(body.decode("utf-8", "replace"))


def parse_json(body: bytes) -> Parameters:
    """Return the strings and whole numbers of a JSON object; an empty dict for any other body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: str(value) for name, value in found.items() if isinstance(value, str | int)}


def _fits(
    auth_token: str,
    urls: list[str],
    params: FormFields | None,
    signature: str | None,
    settings: str | None,
) -> bool:
    """Compare the signature with those of all candidates, also after one has matched.

    The time it takes then reveals neither which URL nor how much of a signature was right.
    """
    algorithm = read_algorithm(settings)
    usable = bool(auth_token) and algorithm in _HASHES
    algorithm = algorithm if usable else "HMAC_SHA1"
    # Bytes, because compare_digest raises on text outside ASCII.
    given = (signature or "").encode("utf-8", "surrogatepass")
    fields = _join_fields(params)  # once: an unsigned form may have thousands
    found = False
    for url in urls:
        expected = _sign_text(auth_token, url, fields, algorithm).encode()
        found |= hmac.compare_digest(expected, given)
    return found and usable


def _sign_text(auth_token: str, url: str, fields: str, algorithm: str) -> str:
    text = remove_user(url) + fields
    # No real request contains a lone surrogate, but checking a forged one must not raise.
    message = text.encode("utf-8", "surrogatepass")
    # The token's bytes are not assigned to a variable: some tracebacks print local variables.
    code = hmac.new(auth_token.encode("utf-8", "surrogatepass"), message, _HASHES[algorithm])
    return b64encode(code.digest()).decode("ascii")


def _check_body_hash(url: str, body: bytes | None) -> bool:
    promised = _read_body_hash(url)
    if not promised:
        return not body
    if body is None:
        return False
    found = hashlib.sha256(body).hexdigest().encode()
    return hmac.compare_digest(found, promised.lower().encode("utf-8", "surrogatepass"))


def _read_body_hash(url: str) -> str:
    query = url.partition("#")[0].partition("?")[2]
    return parse_qs(query).get("bodySHA256", [""])[0]


def _join_fields(params: FormFields | None) -> str:
    """Return names and values as they are signed: sorted, equal values of one name once (§7)."""
    lines: list[str] = []
    for name, value in sorted((params or {}).items(), key=lambda field: field[0]):
        values = [value] if isinstance(value, str) else sorted(set(value))
        lines.extend(name + each for each in values)
    return "".join(lines)


class _Parts(NamedTuple):
    """The parts of a URL, unchanged; `urlunsplit` would normalise them and break the signature."""

    scheme: str
    host: str
    port: str
    rest: str

    @property
    def default_port(self) -> str:
        return "443" if self.scheme.lower() in ("https", "wss") else "80"

    @property
    def spellings(self) -> list[_Parts]:
        """The URL as configured, and with scheme and host in lower case.

        Twilio signs the host as it was written (§7), and the URL configured for a number may be
        written differently.
        """
        lower = self._replace(scheme=self.scheme.lower(), host=self.host.lower())
        return [self] if lower == self else [self, lower]

    def join(self, *, port: str) -> str:
        return f"{self.scheme}://{self.host}{f':{port}' if port else ''}{self.rest}"


_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?>(?:[^/?#]*@)?)"  # atomic: trying every @ of many would take quadratic time
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


def _drop_duplicates(urls: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(urls))
