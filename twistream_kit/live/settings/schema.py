"""What can be set: names, shapes and what follows (PROTOCOL.md §1.7, §6.1, §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["argument", "environment", ".env", "prompt"]

_CONSOLE = "Copy it anew from the Twilio console (console.twilio.com, Account Info)"
_KEYS = "Copy it anew from the Twilio console (Account, API keys & tokens), or make a new key"
_NGROK = "Copy it anew from dashboard.ngrok.com"
_E164 = "Write a plus, the country code and the number, without blanks"
_REFUSES_ALL = "Twilio would refuse every request with 20003"


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set.

    Attributes:
        name: The attribute of `Settings`, and the argument of `settings`.
        variable: The name in the environment and in a file ``.env``.
        label: What a person calls it.
        shape: What the whole value matches.
        words: The same in words.
        if_malformed: What follows from a value of another shape.
        if_missing: What follows when there is none.
        fix: Where the right value is found.
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
        f"{_REFUSES_ALL}, and no signature of Twilio's would fit",
        "Without it no signature of Twilio's can be checked, so nobody could be let in",
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
        r"\+[1-9][0-9]{6,14}",
        "a number in E.164, such as +15551234567",
        "Twilio would refuse the call with 21212",
        "Without a number of yours there is none to call from",
        _E164,
    ),
    Setting(
        "call_to",
        "TWISTREAM_CALL_TO",
        "Number to call",
        r"\+[1-9][0-9]{6,14}",
        "a number in E.164, such as +15551234567",
        "Twilio would refuse the call with 21211",
        "Without it there is nobody to call",
        _E164,
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
"""Everything that can be set, in the order in which it is shown."""

BY_NAME = {setting.name: setting for setting in SETTINGS} | {
    setting.variable: setting for setting in SETTINGS
}
"""By attribute and by name in the environment."""


def named(name: str) -> Setting:
    """Return a setting by its attribute or its name in the environment.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in BY_NAME:
        names = ", ".join(setting.name for setting in SETTINGS)
        raise ValueError(f"there is no setting {name!r}; there are {names}")
    return BY_NAME[name]
