"""What test credentials may do, and the numbers that are magic to them (PROTOCOL.md §6.7).

Twilio's page on test credentials and Twilio's dictionary (21210) have the codes: a call is checked
like any other and then not placed, no status callback is sent, and everything else is refused.
Here only calls and look-ups are let through; numbers are not bought and messages not sent.
"""

from __future__ import annotations

from aiohttp import web

from twistream_kit.simulator.rest.errors import Refusal
from twistream_kit.simulator.rest.resources import account_uri

CALLS_FROM = "+15005550006"
"""The only number that test credentials can call from."""

_TO = {
    "+15005550001": (21217, "Phone number does not appear to be valid"),
    "+15005550002": (21214, "The 'To' phone number cannot be reached"),
    "+15005550003": (21215, "Account not authorized to call phone number"),
    "+15005550004": (21216, "Account not allowed to call phone number"),
}

_FROM = {"+15005550001": 21212}


def allow(to: str, from_: str) -> None:
    """Return if a call between these numbers would be placed.

    Raises:
        Refusal: With the code that belongs to a magic number.
    """
    if from_ != CALLS_FROM:
        code = _FROM.get(from_, 21210)
        raise Refusal(code, f"The 'From' number {from_} cannot be used with test credentials")
    if to in _TO:
        code, why = _TO[to]
        raise Refusal(code, f"{why}: {to}")


def may_ask(request: web.Request, test_sid: str) -> bool:
    """Tell whether test credentials open what `request` asks for."""
    if request.method == "POST":
        return request.path == f"{account_uri(test_sid)}/Calls.json"
    return request.method == "GET" and request.path.startswith("/v2/PhoneNumbers/")
