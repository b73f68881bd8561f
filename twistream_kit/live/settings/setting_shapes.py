"""Whether a value has the shape it should, and what is said of one that has another.

A value is never part of what is said.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import Setting, Source
from twistream_kit.live.settings.secret import QuietText
from twistream_kit.protocol.twiml import is_loopback

_SAID = {
    "argument": "given as an argument",
    "environment": "from the environment",
    ".env": "from the file .env",
    "prompt": "typed into the form",
}

_LOOKS_LIKE = (
    (r"AC[0-9a-fA-F]{32}", "account_sid", "an account SID"),
    (r"SK[0-9a-fA-F]{32}", "api_key", "the SID of an API key"),
    (r"[A-Z]{2}[0-9a-fA-F]{32}", "", "the SID of something else"),
    (r"[0-9a-fA-F]{32}", "auth_token", "an auth token"),
    (r"[0-9A-Za-z]{32}", "api_secret", "the secret of an API key"),
    (r"\+[1-9][0-9]{6,14}", "", "a telephone number"),
)

_PAIRS = {
    frozenset({"account_sid", "auth_token"}): "SID and token may be swapped",
    frozenset({"api_key", "api_secret"}): "the key's SID and its secret may be swapped",
    frozenset({"account_sid", "api_key"}): "the account's SID and the key's may be swapped",
    frozenset({"auth_token", "api_secret"}): "auth token and API secret may be swapped",
}


def check(setting: Setting, text: QuietText, source: Source) -> None:
    """Refuse a value of another shape.

    Args:
        setting: What it is the value of.
        text: Neither empty nor with blanks around it.
        source: Where it came from.

    Raises:
        SettingsError: In words that do not hold the value.
    """
    if re.fullmatch(setting.shape, text) and (setting.name != "public_url" or _is_public(text)):
        return
    raise SettingsError(
        f"{setting.variable}, {_SAID[source]}, {_fault(setting, text)}: "
        f"it should be {setting.words}",
        consequence=setting.if_malformed,
        fix=setting.fix,
    )


def shown(setting: Setting, text: QuietText) -> str:
    """Return what may be shown of a value: of a secret that it is set, of SIDs their ends."""
    if setting.is_secret:
        return "set"
    if setting.name in ("account_sid", "api_key"):
        return f"{text[:4]}…{text[-2:]}"
    if setting.name in ("phone_number", "call_to"):
        return f"{text[:2]}…{text[-4:]}"
    return re.sub(r"//[^/@]*@", "//…@", text)


def _fault(setting: Setting, text: QuietText) -> str:
    if text[0] in "\"'`“”‘’" or text[-1] in "\"'`“”‘’":
        return "stands in quotes"
    if re.search(r"\s", text):
        return "contains blanks or line breaks"
    if not (text.isascii() and text.isprintable()):
        return "contains characters beyond plain ASCII, which come along from web pages"
    if re.search(r"x{6}|\.\.\.|^<.*>$|your|change.?me|replace", text, re.IGNORECASE):
        return "is a placeholder"
    return _likeness(setting, text) or _particulars(setting, text) or "does not look like one"


def _likeness(setting: Setting, text: QuietText) -> str:
    for shape, name, words in _LOOKS_LIKE:
        if not re.fullmatch(shape, text):
            continue
        if setting.name in ("phone_number", "call_to") and name == "auth_token":
            continue  # 32 digits are a number with too many of them
        pair = _PAIRS.get(frozenset({setting.name, name}), "")
        return f"looks like {words}" + (f" ({pair})" if pair else "")
    return ""


def _particulars(setting: Setting, text: QuietText) -> str:
    if setting.name in ("phone_number", "call_to"):
        return "" if text.startswith("+") else "does not begin with a plus"
    if setting.name == "public_url":
        return fault_of_address(text)
    if setting.name == "ngrok_domain" and "://" in text:
        return "is a whole address"
    if setting.name == "region" and re.fullmatch(r"[a-z-]{3,}", text):
        return "looks like an edge (TWILIO_EDGE)"
    if setting.name == "edge" and re.fullmatch(r"[a-z]{2}[1-9]", text):
        return "looks like a region (TWILIO_REGION)"
    if setting.name in ("account_sid", "api_key", "auth_token", "api_secret"):
        return f"has {len(text)} characters" if len(text) != _length(setting) else ""
    return ""


def _length(setting: Setting) -> int:
    return 34 if setting.name in ("account_sid", "api_key") else 32


def _is_public(text: QuietText) -> bool:
    return not fault_of_address(text)


def fault_of_address(text: str) -> str:
    """Return what keeps Twilio from reaching an address, in words without it; empty if nothing."""
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address cut off, or a port that is none
        return "is no address"
    if parts.scheme in ("ws", "wss") and has_host:
        return "is the address of a stream"
    if parts.scheme not in ("http", "https") or not has_host:
        return "has no scheme or no host"
    if parts.query or parts.fragment:
        return "has a query or a fragment"
    if parts.scheme == "http" and not is_loopback(text):
        return "is http, which is for this machine alone"
    return ""
