"""X-Twilio-Signature: who may speak to your server; and the parameters that a webhook carries.

The URL to check against is the one that you told Twilio, never one put together from a request's
own headers: proxies change scheme, host and port, and one who forges a request chooses them.

Twilio signs with HMAC-SHA1 and the account's auth token (PROTOCOL.md §2.2 and §7).  A webhook
setting (public beta, September 2026) may have it sign with a shared key instead, HMAC-SHA1 or
HMAC-SHA256; a header then says so.  Its name and form are those of the official SDK's
``request_validator``, 9.13.

The scheme puts nothing between names and values, so one who has seen one signed form can shift the
borders in it; and nothing in it says when it was made.  Both are Twilio's, and no check mends them.

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
"""``key=…,algorithm=HMAC_SHA256``: there only when a shared key signed, in place of the token."""

_HASHES = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
"""The algorithms that may sign, by the names that `SETTINGS_HEADER` gives them."""

FormFields = Mapping[str, str | Sequence[str]]
"""The fields of a POSTed form; a field that was sent more than once has a sequence of values."""

Parameters = dict[str, str | list[str]]
"""What a webhook says, by name; a name that was given several times has a list of values."""


def is_valid(
    auth_token: str,
    url: str,
    params: FormFields | None,
    signature: str | None,
    *,
    body: bytes | None = None,
    settings: str | None = None,
) -> bool:
    """Whether `signature` fits a webhook request, with or without the port in its URL.

    Args:
        auth_token: The account's primary token.
        url: Your configured public URL with this request's path and query.
        params: The form of a POST, else None.
        signature: The header ``X-Twilio-Signature``, or None if it was not there.
        body: The raw body when it is not a form.  Twilio then puts its SHA-256 into the query as
            ``bodySHA256``; a body without it is refused, because nothing vouches for it.
        settings: The header `SETTINGS_HEADER`, or None.
    """
    fits = _fits(auth_token, candidate_urls(url), params, signature, settings)
    return _body_is_vouched_for(url, body) and fits


def is_valid_handshake(
    auth_token: str, stream_url: str, signature: str | None, *, settings: str | None = None
) -> bool:
    """Whether `signature` fits the WebSocket handshake of a stream.

    Args:
        auth_token: The account's primary token.
        stream_url: The configured public URL, as in ``<Stream url>``.
        signature: The header ``x-twilio-signature``, or None if it was not there.
        settings: The header `SETTINGS_HEADER`, or None; whether Twilio signs streams with shared
            keys is not documented.
    """
    return _fits(auth_token, websocket_urls(stream_url), None, signature, settings)


def sign(
    auth_token: str, url: str, params: FormFields | None = None, *, algorithm: str = "HMAC_SHA1"
) -> str:
    """Compute the signature that Twilio would send.

    Args:
        auth_token: The account's primary token; those who use API keys need it too.  Or the secret
            of the shared key that signs.
        url: The URL as requested, query included.  A user and password in it are left out, as
            Twilio does; a port is not: see `signed_url`.
        params: The form of a POST; None or empty for GET, JSON and WebSocket handshakes.
        algorithm: ``HMAC_SHA1``, or the ``HMAC_SHA256`` of a shared key.

    Returns:
        The code in base64.

    Raises:
        KeyError: If the algorithm is neither.
    """
    text = without_user(url) + "".join(_sorted_fields(params or {}))
    # A lone surrogate cannot come from a real request; it must not raise in the check of one.
    message = text.encode("utf-8", "surrogatepass")
    # The token's bytes get no name here: a traceback that prints variables would print them.
    code = hmac.new(auth_token.encode("utf-8", "surrogatepass"), message, _HASHES[algorithm])
    return b64encode(code.digest()).decode("ascii")


def vouches_for_body(url: str) -> bool:
    """Whether the query of `url` holds ``bodySHA256``: then the body is no form but raw (§7)."""
    return bool(_promised_hash(url))


def algorithm_of(settings: str | None) -> str:
    """Return the algorithm that `SETTINGS_HEADER` names; ``HMAC_SHA1`` where it names none."""
    for part in (settings or "").split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


def refusal(signatures: Sequence[str], settings: str | None) -> str:
    """Say for a log what was wrong with a request that was refused, as far as can be told.

    Args:
        signatures: All headers ``X-Twilio-Signature``.  Nothing of them is quoted.
        settings: The header `SETTINGS_HEADER`, or None.
    """
    if len(signatures) != 1:
        number = "no" if not signatures else f"{len(signatures)} times the"
        why = "" if signatures else ' ("Try out Voice" of a trial account sends none)'
        return f"it has {number} header {SIGNATURE_HEADER}, where Twilio sends one{why}"
    if not settings:
        return f"its {SIGNATURE_HEADER} does not fit"
    if algorithm_of(settings) not in _HASHES:
        return f"its {SETTINGS_HEADER} names an algorithm that is not known here"
    return (
        f"its {SIGNATURE_HEADER} does not fit, and its {SETTINGS_HEADER} says that a shared key "
        "signed it and not the auth token: give the secret of that key as auth_token, or take the "
        "signature out of the webhook setting"
    )


def signed_url(url: str) -> str:
    """Return what Twilio signs for `url`: no user, and no port where the scheme is https or wss.

    Documented for voice webhooks (§7), taken to hold for streams too (§2.2).
    """
    parts = _split(url)
    if parts is None:
        return url
    keep = parts.port if parts.scheme.lower() in ("http", "ws") else ""
    return parts.join(port=keep)


def without_user(url: str) -> str:
    """Return `url` without user and password: as Twilio signs it, and as it may be shown."""
    return re.sub(r"\A([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@", r"\1", url)


def candidate_urls(url: str) -> list[str]:
    """Return the forms in which Twilio may have signed the webhook `url`, the usual form first.

    No webhook is asked for by wss: a public address that was configured so stands for https.
    """
    parts = _split(url)
    if parts is None:
        return [url]
    web = {"wss": "https", "ws": "http"}.get(parts.scheme.lower(), parts.scheme)
    ports = (parts.port, "", parts.default_port)
    return _distinct(
        each.join(port=port) for each in parts._replace(scheme=web).spellings for port in ports
    )


def websocket_urls(public_url: str) -> list[str]:
    """Return the forms in which Twilio may have signed the handshake of a stream, the usual first.

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
        each._replace(scheme=scheme, rest=end + mark + query).join(port=port)
        for each in parts.spellings
        for scheme in (("wss", "https") if secure else ("ws", "http"))
        for end in (path, path if path.endswith("/") else f"{path}/")
        for port in ("", parts.port, parts.default_port)
    )


def parse_query(query: str) -> Parameters:
    """Read the part of a URL behind the question mark, or a form that is text already."""
    grouped: Parameters = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        known = grouped.get(name)
        if known is None:
            grouped[name] = value
        else:
            grouped[name] = [*known, value] if isinstance(known, list) else [known, value]
    return grouped


def parse_form(body: bytes) -> Parameters:
    """Read the body of a form; bytes that are no UTF-8 are replaced."""
    return parse_query(body.decode("utf-8", "replace"))


def parse_json(body: bytes) -> Parameters:
    """Read the strings and numbers of a JSON object; anything else has none."""
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
    """Compare with all candidates, whatever the first of them says and whatever came.

    How long it takes tells a forger neither which URL nor how much of a signature was right.
    """
    algorithm = algorithm_of(settings)
    usable = bool(auth_token) and algorithm in _HASHES
    algorithm = algorithm if usable else "HMAC_SHA1"
    # Bytes, because compare_digest raises on text outside ASCII.
    given = (signature or "").encode("utf-8", "surrogatepass")
    found = False
    for url in urls:
        expected = sign(auth_token, url, params, algorithm=algorithm).encode()
        found |= hmac.compare_digest(expected, given)
    return found and usable


def _body_is_vouched_for(url: str, body: bytes | None) -> bool:
    promised = _promised_hash(url)
    if not promised:
        return not body
    if body is None:
        return False
    found = hashlib.sha256(body).hexdigest().encode()
    return hmac.compare_digest(found, promised.lower().encode("utf-8", "surrogatepass"))


def _promised_hash(url: str) -> str:
    query = url.partition("#")[0].partition("?")[2]
    return parse_qs(query).get("bodySHA256", [""])[0]


def _sorted_fields(params: FormFields) -> list[str]:
    """Return name and value of each parameter, sorted; of repeated ones each value once (§7)."""
    lines: list[str] = []
    for name in sorted(params):
        value = params[name]
        values = [value] if isinstance(value, str) else sorted(set(value))
        lines.extend(name + each for each in values)
    return lines


class _Parts(NamedTuple):
    """A URL cut by hand: `urlunsplit` would normalise what has to stay as it was signed."""

    scheme: str
    host: str
    port: str
    rest: str

    @property
    def default_port(self) -> str:
        return "443" if self.scheme.lower() in ("https", "wss") else "80"

    @property
    def spellings(self) -> list[_Parts]:
        """As configured, and with scheme and host in lower case.

        Twilio signs a host as it was written (§7); what was written for a number may differ.
        """
        lower = self._replace(scheme=self.scheme.lower(), host=self.host.lower())
        return [self] if lower == self else [self, lower]

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


def _distinct(urls: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(urls))
