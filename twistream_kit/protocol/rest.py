"""Rules of Twilio's REST API for calls that both sides need (PROTOCOL.md §6.1)."""

from __future__ import annotations

import re

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
"""A telephone number in E.164 form: plus, country code, at most 15 digits."""

_NO_NUMBER = re.compile(r"client:\S+|sips?:[^@\s]+@\S+|whatsapp:\+[0-9]{7,15}", re.IGNORECASE)

PROGRESS_EVENTS = ("initiated", "ringing", "answered", "completed")
"""The events of a status callback, in order; by default only the last is sent."""

RING_SECONDS_LIMIT = 600
"""The longest that Twilio lets a call ring."""


def is_e164(number: object) -> bool:
    """Whether `number` is a telephone number in E.164 form, such as +15550100001."""
    return isinstance(number, str) and E164.fullmatch(number) is not None


def is_other_address(to: object) -> bool:
    """Whether `to` is an address to call that is no number: client:alice or sip:alice@example.com.

    Twilio calls them as well as numbers (§6.1).
    """
    return isinstance(to, str) and _NO_NUMBER.fullmatch(to) is not None
