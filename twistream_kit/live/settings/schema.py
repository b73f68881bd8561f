"""All settings: their names, formats, and error texts (PROTOCOL.md §1.7, §6.1, §7).

`check` refuses a value in another format, and `mask` returns a value in a form that may be shown.
The text of an error never contains the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from twistream_kit.errors import SettingsError, WrongValue
from twistream_kit.live.settings.secret import QuietText
from twistream_kit.protocol.rest import E164
from twistream_kit.protocol.twiml import is_loopback
from twistream_kit.protocol.url_repair import repair_url

Source = Literal["argument", "environment", ".env", "prompt"]
"""The source of a value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting.

    Attributes:
        name: The attribute of `Settings`, and the argument of `settings`.
        variable: The name in the environment and in a file ``.env``.
        label: The label in a form.
        shape: A regular expression that matches the whole value.
        words: A description of the same format.
        if_malformed: The consequence of a value in another format.
        if_missing: The consequence if it is not set.
        fix: Where to find the right value.
        is_secret: Whether the value must never be shown.
    """

    name: str
    variable: str
    label: str
    shape: str
    words: str
    if_malformed: str
    if_missing: str
    fix: str
    is_secret: bool = False


# Where to find the right value.
_CONSOLE = "Copy it anew from the Twilio console (console.twilio.com, Account Info)"

_KEYS = "Copy it anew from the Twilio console (Account, API keys & tokens), or make a new key"

_NGROK = "Copy it anew from dashboard.ngrok.com"

_E164_WORDS = "a number in E.164, such as +15551234567"

_E164_FIX = "Write a plus, the country code and the number, without blanks"

_REFUSES_ALL = "Twilio would refuse every request with 20003"

SETTINGS = (
    Setting(
        "account_sid",
        "TWILIO_ACCOUNT_SID",
        "Account SID",
        r"AC[0-9a-fA-F]{32}",
        "AC and 32 hex digits",
        _REFUSES_ALL,
        "Without an account there is nobody to place a call",
        _CONSOLE,
    ),
    Setting(
        "auth_token",
        "TWILIO_AUTH_TOKEN",
        "Auth token",
        r"[0-9a-fA-F]{32}",
        "32 hex digits",
        f"{_REFUSES_ALL}, and no signature of Twilio's would be valid",
        "Without it no signature of Twilio's can be checked, so every request would be refused",
        _CONSOLE,
        is_secret=True,
    ),
    Setting(
        "api_key",
        "TWILIO_API_KEY",
        "API key SID",
        r"SK[0-9a-fA-F]{32}",
        "SK and 32 hex digits",
        _REFUSES_ALL,
        "Requests are then made with the account's SID and token",
        _KEYS,
    ),
    Setting(
        "api_secret",
        "TWILIO_API_SECRET",
        "API key secret",
        r"[0-9A-Za-z]{32}",
        "32 letters and digits",
        _REFUSES_ALL,
        "An API key is of no use without its secret",
        _KEYS,
        is_secret=True,
    ),
    Setting(
        "phone_number",
        "TWILIO_PHONE_NUMBER",
        "Your Twilio number",
        E164.pattern,
        _E164_WORDS,
        "Twilio would refuse the call with 21212",
        "Without a number of yours there is none to call from",
        _E164_FIX,
    ),
    Setting(
        "call_to",
        "TWISTREAM_CALL_TO",
        "Number to call",
        E164.pattern,
        _E164_WORDS,
        "Twilio would refuse the call with 21211",
        "Without it there is nobody to call",
        _E164_FIX,
    ),
    Setting(
        "region",
        "TWILIO_REGION",
        "Region",
        r"[a-z]{2}[1-9]",
        "two letters and a digit, such as ie1",
        "There would be no such host to send requests to",
        "Requests then go to Twilio's default region, us1",
        "Leave it out for us1, or take ie1 or au1",
    ),
    Setting(
        "edge",
        "TWILIO_EDGE",
        "Edge",
        r"[a-z]+(-[a-z]+)*",
        "the name of a place, such as dublin",
        "There would be no such host to send requests to",
        "Requests then go to Twilio's default edge",
        "Leave it out, or take one of twilio.com/docs/global-infrastructure/edge-locations",
    ),
    Setting(
        "ngrok_authtoken",
        "NGROK_AUTHTOKEN",
        "ngrok authtoken",
        r"[0-9A-Za-z_-]{20,100}",
        "at least 20 letters, digits and underscores",
        "ngrok would open no tunnel",
        "ngrok opens no tunnel without it",
        _NGROK,
        is_secret=True,
    ),
    Setting(
        "ngrok_domain",
        "NGROK_DOMAIN",
        "ngrok domain",
        r"([0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?\.)+[A-Za-z][0-9A-Za-z-]*",
        "the name of a host alone, such as yours.ngrok.app",
        "ngrok would open no tunnel",
        "ngrok then gives each tunnel a name of its own choice",
        _NGROK,
    ),
    Setting(
        "public_url",
        "TWISTREAM_PUBLIC_URL",
        "Public address",
        r"[!-~]+",
        "an https address without a query, such as https://example.com",
        "Twilio connects streams over TLS only, to the host of that address",
        "Without a public address or a tunnel Twilio cannot reach this machine",
        "Give the https address under which this machine is reached",
    ),
)
"""All settings, in the order in which they are shown.

A new one is a property of `Settings` and a line in ``.env.example`` too.
"""

BY_NAME = {setting.name: setting for setting in SETTINGS} | {
    setting.variable: setting for setting in SETTINGS
}
"""The settings by attribute and by name in the environment."""

_SOURCE_WORDS = {
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
    (E164.pattern, "", "a telephone number"),
)

_PAIRS = {
    frozenset({"account_sid", "auth_token"}): "SID and token may be swapped",
    frozenset({"api_key", "api_secret"}): "the key's SID and its secret may be swapped",
    frozenset({"account_sid", "api_key"}): "the account's SID and the key's may be swapped",
    frozenset({"auth_token", "api_secret"}): "auth token and API secret may be swapped",
}


def find_setting(name: str) -> Setting:
    """Return a setting by its attribute or its name in the environment.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in BY_NAME:
        names = ", ".join(setting.name for setting in SETTINGS)
        raise WrongValue(f"there is no setting {name!r}; there are {names}")
    return BY_NAME[name]


def check(setting: Setting, text: QuietText, source: Source) -> None:
    """Refuse a value in another format.

    Args:
        setting: The setting.
        text: Its value, not empty and without surrounding blanks.
        source: The source of the value.

    Raises:
        SettingsError: If it has another format; the text does not contain the value.
    """
    if re.fullmatch(setting.shape, text) and (
        setting.name != "public_url" or not describe_address_fault(text)
    ):
        return
    raise SettingsError(
        f"{setting.variable}, {_SOURCE_WORDS[source]}, {_describe_fault(setting, text)}: "
        f"it should be {setting.words}",
        consequence=setting.if_malformed,
        fix=setting.fix,
    )


def mask(setting: Setting, text: QuietText) -> str:
    """Return a value in a form that may be shown: "set" for a secret, the ends of a SID."""
    if setting.is_secret:
        return "set"
    if setting.name in ("account_sid", "api_key"):
        return f"{text[:4]}…{text[-2:]}"
    if setting.name in ("phone_number", "call_to"):
        return f"{text[:2]}…{text[-4:]}"
    return re.sub(r"//[^/@]*@", "//…@", text)


def describe_address_fault(text: str) -> str:
    """Describe the fault of a public address, without quoting it; empty if there is none."""
    if repair := repair_url(text, "https"):
        return repair.problem.partition(": '")[0]
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # an incomplete IPv6 address, or an invalid port
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


def _describe_fault(setting: Setting, text: QuietText) -> str:
    if text[0] in "\"'`“”‘’" or text[-1] in "\"'`“”‘’":
        return "stands in quotes"
    if re.search(r"\s", text):
        return "contains blanks or line breaks"
    if not (text.isascii() and text.isprintable()):
        return "contains characters beyond plain ASCII, which come along from web pages"
    if re.search(r"x{6}|\.\.\.|^<.*>$|your|change.?me|replace", text, re.IGNORECASE):
        return "is a placeholder"
    return (
        _describe_likeness(setting, text)
        or _describe_details(setting, text)
        or "does not look like one"
    )


def _describe_likeness(setting: Setting, text: QuietText) -> str:
    for shape, name, words in _LOOKS_LIKE:
        if not re.fullmatch(shape, text):
            continue
        if setting.name in ("phone_number", "call_to") and name == "auth_token":
            continue  # 32 digits are a telephone number with too many digits
        pair = _PAIRS.get(frozenset({setting.name, name}), "")
        return f"looks like {words}" + (f" ({pair})" if pair else "")
    return ""


def _describe_details(setting: Setting, text: QuietText) -> str:
    if setting.name in ("phone_number", "call_to"):
        return "" if text.startswith("+") else "does not begin with a plus"
    if setting.name == "public_url":
        return describe_address_fault(text)
    if setting.name == "ngrok_domain" and "://" in text:
        return "is a whole address"
    if setting.name == "region" and re.fullmatch(r"[a-z-]{3,}", text):
        return "looks like an edge (TWILIO_EDGE)"
    if setting.name == "edge" and re.fullmatch(r"[a-z]{2}[1-9]", text):
        return "looks like a region (TWILIO_REGION)"
    if setting.name in ("account_sid", "api_key", "auth_token", "api_secret"):
        return f"has {len(text)} characters" if len(text) != _describe_length(setting) else ""
    return ""


def _describe_length(setting: Setting) -> int:
    return 34 if setting.name in ("account_sid", "api_key") else 32
